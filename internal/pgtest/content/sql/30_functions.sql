-- Functions in every language that is there, procedures, aggregates, operators, casts, operator classes.
\connect regress
CREATE SCHEMA code;
SET search_path = code, public;

CREATE FUNCTION plain(a int, b text DEFAULT 'it''s', VARIADIC c int[] DEFAULT '{1,2}') RETURNS text LANGUAGE sql STABLE AS 'SELECT a || b || c::text';
CREATE FUNCTION many_out(IN a int, OUT b int, INOUT c text) LANGUAGE sql IMMUTABLE LEAKPROOF PARALLEL SAFE COST 7 AS 'SELECT a, c';
CREATE FUNCTION a_table(n int) RETURNS TABLE (x int, "odd ""y""" text) LANGUAGE plpgsql ROWS 77 AS $body$
BEGIN
    RETURN QUERY SELECT g, $$dollar's$$ || E'\\' || chr(10) FROM generate_series(1, n) g;
END
$body$;
CREATE FUNCTION a_set(anyelement, anyarray) RETURNS SETOF anyelement LANGUAGE sql CALLED ON NULL INPUT AS 'SELECT $1 UNION ALL SELECT unnest($2)';
CREATE FUNCTION compatible(anycompatible, anycompatiblearray) RETURNS anycompatible LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION a_record() RETURNS record LANGUAGE sql AS 'SELECT 1, ''x''::text';
CREATE FUNCTION definer() RETURNS name LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '3MB' SET "extra.setting" = 'a, "b"' AS 'SELECT current_user';
CREATE FUNCTION follows() RETURNS void LANGUAGE plpgsql SET timezone FROM CURRENT AS 'BEGIN END';
CREATE FUNCTION refused(a internal) RETURNS int LANGUAGE internal STRICT PARALLEL RESTRICTED AS 'int4in';
CREATE FUNCTION internal_plus(int, int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4pl';
CREATE FUNCTION "Odd ""function"" näme"("select" int, "a b" text) RETURNS int LANGUAGE sql AS 'SELECT "select"';
CREATE SCHEMA "a b";
CREATE FUNCTION "a b"."nowhere"() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE work(INOUT a int, b text DEFAULT NULL) LANGUAGE plpgsql AS $$BEGIN a := a + 1; COMMIT; END$$;
CREATE PROCEDURE nothing() LANGUAGE sql SECURITY DEFINER AS '';
CREATE FUNCTION window_number() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE STRICT AS 'window_row_number';
CREATE FUNCTION supported(int, int) RETURNS SETOF int LANGUAGE internal IMMUTABLE STRICT SUPPORT generate_series_int4_support AS 'generate_series_int4';
COMMENT ON FUNCTION plain(int, text, int[]) IS 'with defaults';
COMMENT ON PROCEDURE work(int, text) IS 'a procedure';
\if :source_14
CREATE PROCEDURE with_out(IN a int, OUT b int, OUT c text) LANGUAGE plpgsql AS 'BEGIN b := a; c := a; END';
CREATE TABLE logged (id int GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION atomic(a int) RETURNS TABLE (x int, y text) LANGUAGE sql BEGIN ATOMIC
    INSERT INTO logged (what) VALUES ('called with ' || a);
    SELECT l.id, l.what FROM logged l WHERE l.id > a ORDER BY l.id;
END;
CREATE FUNCTION returns_at_once(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE RETURN CASE WHEN a > b THEN a ELSE b END;
CREATE PROCEDURE atomic_work() LANGUAGE sql BEGIN ATOMIC UPDATE logged SET what = what || '!' WHERE id = 1; DELETE FROM logged WHERE id < 0; END;
CREATE VIEW uses_atomic AS SELECT returns_at_once(1, 2) AS most;
\endif
\if :source_15
CREATE FUNCTION merges() RETURNS void LANGUAGE sql BEGIN ATOMIC
    MERGE INTO logged l USING (VALUES (1, 'x')) v (id, what) ON l.id = v.id WHEN MATCHED AND v.what <> l.what THEN UPDATE SET what = v.what WHEN NOT MATCHED THEN INSERT (what) VALUES (v.what);
END;
\endif

-- The languages that are packaged apart, where they are installed.
SELECT count(*) FILTER (WHERE name = 'plperl') > 0 AS has_plperl, count(*) FILTER (WHERE name = 'plpython3u') > 0 AS has_plpython,
    count(*) FILTER (WHERE name = 'pltcl') > 0 AS has_pltcl
FROM pg_available_extensions \gset
\if :has_plperl
CREATE EXTENSION plperl;
CREATE FUNCTION in_perl(int) RETURNS text LANGUAGE plperl AS 'return "perl $_[0]";';
\endif
\if :has_plpython
CREATE EXTENSION plpython3u;
CREATE FUNCTION in_python(a int) RETURNS text LANGUAGE plpython3u AS 'return "python %d" % a';
\endif
\if :has_pltcl
CREATE EXTENSION pltcl;
CREATE FUNCTION in_tcl(int) RETURNS text LANGUAGE pltcl AS 'return "tcl $1"';
\endif
-- A language of one's own, by functions of one's own: pg_dump does not write those of pg_catalog, and then not
-- the language's either (pg_dump.c, dumpProcLang), so that pg_upgrade could not restore it.
CREATE FUNCTION own_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION own_inline(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION own_validator(oid) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE own_language HANDLER own_handler INLINE own_inline VALIDATOR own_validator;
CREATE FUNCTION in_own_language() RETURNS int LANGUAGE own_language AS 'BEGIN RETURN 7; END';
COMMENT ON LANGUAGE own_language IS 'PL/pgSQL under another name';
GRANT USAGE ON LANGUAGE own_language TO clerk;
REVOKE USAGE ON LANGUAGE own_language FROM PUBLIC;
CREATE TRANSFORM FOR int LANGUAGE own_language (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
COMMENT ON TRANSFORM FOR int LANGUAGE own_language IS 'of no use';

-- Aggregates.
CREATE AGGREGATE simple_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE AGGREGATE parallel_avg(numeric) (SFUNC = numeric_avg_accum, STYPE = internal, SSPACE = 128, FINALFUNC = numeric_avg, COMBINEFUNC = numeric_avg_combine, SERIALFUNC = numeric_avg_serialize, DESERIALFUNC = numeric_avg_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE moving(int) (SFUNC = int4pl, STYPE = int, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int, MFINALFUNC = int4abs, FINALFUNC = int4abs, FINALFUNC_MODIFY = READ_ONLY);
CREATE AGGREGATE first_one(int) (SFUNC = int4smaller, STYPE = int, SORTOP = <);
CREATE AGGREGATE own_percentile(float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_cont_float8_final);
CREATE AGGREGATE own_rank(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE FUNCTION keep(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, $2)';
CREATE AGGREGATE polymorphic(anyelement) (SFUNC = keep, STYPE = anyelement);
COMMENT ON AGGREGATE simple_sum(int) IS 'sums';
CREATE VIEW uses_aggregates AS SELECT simple_sum(n), parallel_avg(n), own_percentile(0.5) WITHIN GROUP (ORDER BY n), polymorphic(n ORDER BY n DESC) FROM generate_series(1, 10) n;

-- Operators, classes, families, casts, on a type of one's own.
CREATE TYPE grade AS (points int, letter text);
CREATE FUNCTION grade_cmp(grade, grade) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp(($1).points, ($2).points)';
CREATE FUNCTION grade_lt(grade, grade) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1).points < ($2).points';
CREATE FUNCTION grade_gt(grade, grade) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1).points > ($2).points';
CREATE FUNCTION grade_le(grade, grade) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1).points <= ($2).points';
CREATE FUNCTION grade_ge(grade, grade) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1).points >= ($2).points';
CREATE FUNCTION grade_eq(grade, grade) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ($1).points = ($2).points';
CREATE FUNCTION grade_hash(grade) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT hashint4(($1).points)';
CREATE FUNCTION grade_hash64(grade, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS 'SELECT hashint4extended(($1).points, $2)';
CREATE OPERATOR <# (LEFTARG = grade, RIGHTARG = grade, FUNCTION = grade_lt, COMMUTATOR = >#, NEGATOR = >=#, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR ># (LEFTARG = grade, RIGHTARG = grade, FUNCTION = grade_gt, COMMUTATOR = <#, NEGATOR = <=#, RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
CREATE OPERATOR <=# (LEFTARG = grade, RIGHTARG = grade, FUNCTION = grade_le, COMMUTATOR = >=#, NEGATOR = >#);
CREATE OPERATOR >=# (LEFTARG = grade, RIGHTARG = grade, FUNCTION = grade_ge, COMMUTATOR = <=#, NEGATOR = <#);
CREATE OPERATOR =# (LEFTARG = grade, RIGHTARG = grade, FUNCTION = grade_eq, COMMUTATOR = =#, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE FUNCTION grade_not(grade) RETURNS grade LANGUAGE sql IMMUTABLE AS 'SELECT ROW(-($1).points, ($1).letter)::code.grade';
CREATE OPERATOR !# (RIGHTARG = grade, FUNCTION = grade_not);
COMMENT ON OPERATOR <# (grade, grade) IS 'is worse than';
CREATE OPERATOR CLASS grade_ops FOR TYPE grade USING btree AS OPERATOR 1 <#, OPERATOR 2 <=#, OPERATOR 3 =#, OPERATOR 4 >=#, OPERATOR 5 >#, FUNCTION 1 grade_cmp(grade, grade);
CREATE OPERATOR FAMILY grade_hashes USING hash;
CREATE OPERATOR CLASS grade_hash_ops FOR TYPE grade USING hash FAMILY grade_hashes AS OPERATOR 1 =#, FUNCTION 1 grade_hash(grade), FUNCTION 2 grade_hash64(grade, bigint);
CREATE OPERATOR FAMILY loose USING btree;
ALTER OPERATOR FAMILY loose USING btree ADD OPERATOR 1 < (int4, int8), OPERATOR 3 = (int4, int8), FUNCTION 1 btint48cmp(int4, int8);
CREATE OPERATOR CLASS tiny_gin FOR TYPE int[] USING gin AS OPERATOR 1 && (anyarray, anyarray), FUNCTION 1 btint4cmp(int, int), FUNCTION 2 ginarrayextract(anyarray, internal, internal), FUNCTION 3 ginqueryarrayextract(anyarray, internal, int2, internal, internal, internal, internal), FUNCTION 4 ginarrayconsistent(internal, int2, anyarray, int4, internal, internal, internal, internal), STORAGE int;
COMMENT ON OPERATOR CLASS grade_ops USING btree IS 'by points';
COMMENT ON OPERATOR FAMILY loose USING btree IS 'loose';
ALTER OPERATOR FAMILY loose USING btree OWNER TO keeper;
CREATE TABLE grades (g grade, i int[]);
INSERT INTO grades SELECT ROW(n % 17, chr(65 + n % 17))::grade, ARRAY[n % 5, n] FROM generate_series(1, 600) n;
CREATE INDEX ON grades (g grade_ops);
CREATE INDEX ON grades USING hash (g grade_hash_ops);
CREATE INDEX ON grades USING gin (i tiny_gin);
CREATE FUNCTION grade_of(int) RETURNS grade LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1, chr(64 + $1))::code.grade';
CREATE CAST (int AS grade) WITH FUNCTION grade_of(int) AS ASSIGNMENT;
CREATE CAST (grade AS varchar) WITH INOUT;
CREATE CAST (types.myint AS int) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (int AS grade) IS 'by points';
INSERT INTO grades VALUES (5);
CREATE VIEW ordered_grades AS SELECT g FROM grades WHERE g ># ROW(3, 'x')::grade OR !# g =# g ORDER BY g USING OPERATOR(code.<#);
-- pg_upgrade refuses conversions of one's own up to 13 (check.c, check_for_user_defined_encoding_conversions).
\if :source_14
CREATE DEFAULT CONVERSION own_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION own_conversion IS 'of one''s own';
\endif
