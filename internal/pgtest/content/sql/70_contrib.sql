-- Every extension that source and target both have, some at an older version, and what is made with them.
\if :few
\quit
\endif
\connect contrib
CREATE SCHEMA "Odd ""extensions""";
CREATE EXTENSION hstore VERSION '1.4' SCHEMA "Odd ""extensions""";
CREATE EXTENSION pg_trgm VERSION '1.4' SCHEMA public;
CREATE EXTENSION pg_stat_statements VERSION '1.7';
CREATE EXTENSION ltree SCHEMA public;
\if :source_19
\else
CREATE EXTENSION btree_gist VERSION '1.5';
\endif
CREATE EXTENSION intarray VERSION '1.2';
-- adminpack went with 17, old_snapshot was there from 14 to 16: pg_upgrade misses their libraries, and the
-- precheck names them.
SELECT format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', name)
FROM pg_available_extensions
WHERE NOT (:target >= 17 AND name IN ('adminpack', 'old_snapshot')) AND name !~ '^(plperl|plpython|pltcl|hstore_pl|ltree_pl|jsonb_pl|bool_pl)'
ORDER BY name
\gexec
SET search_path = public, "Odd ""extensions""";
CREATE TABLE all_of_contrib (
    id int PRIMARY KEY, h hstore, l ltree, lq lquery, c cube, s seg, ci citext, ia int[], isbn isbn13, issn issn, e ean13, t text, u uuid DEFAULT uuid_generate_v4(), lo lo, e_point earth
);
INSERT INTO all_of_contrib SELECT
    n, hstore('k' || n % 5, 'it''s ' || n), text2ltree('Top.L' || n % 7 || '.M' || n), 'Top.*{1,2}', cube(n, n + 1), (n || ' .. ' || n + 5)::seg, 'CaSe' || n,
    ARRAY[n % 11, n % 5], isbn13('978-0-11-000533-1'), issn('1436-4522'), ean13('220-0-00-000000-2'), 'words of ' || md5(n::text), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', NULL, ll_to_earth(n % 80, n % 170)
FROM generate_series(1, 1500) n;
CREATE INDEX ON all_of_contrib USING gist (h);
CREATE INDEX ON all_of_contrib USING gin (h);
CREATE INDEX ON all_of_contrib USING hash (h);
CREATE INDEX ON all_of_contrib (h);
CREATE INDEX ON all_of_contrib USING gist (l);
CREATE INDEX ON all_of_contrib (l);
CREATE INDEX ON all_of_contrib USING gist (c);
CREATE INDEX ON all_of_contrib USING gist (s);
CREATE UNIQUE INDEX ON all_of_contrib (ci);
CREATE INDEX ON all_of_contrib USING hash (ci);
CREATE INDEX ON all_of_contrib USING gist (ia gist__int_ops);
CREATE INDEX ON all_of_contrib USING gist (ia gist__intbig_ops);
CREATE INDEX ON all_of_contrib USING gin (ia gin__int_ops);
CREATE INDEX ON all_of_contrib USING gist (t gist_trgm_ops);
CREATE INDEX ON all_of_contrib USING gin (t gin_trgm_ops);
CREATE INDEX ON all_of_contrib USING bloom (id, t) WITH (length = 80, col1 = 2, col2 = 4);
CREATE INDEX ON all_of_contrib USING gin (id, u);
CREATE INDEX ON all_of_contrib USING gist (id, t, u);
CREATE INDEX ON all_of_contrib (isbn);
CREATE INDEX ON all_of_contrib USING hash (e);
CREATE INDEX ON all_of_contrib USING gist (e_point);
CREATE TABLE rooms (room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO rooms SELECT n % 5, tsrange('2020-01-01'::timestamp + n * interval '1 hour', '2020-01-01'::timestamp + (n + 1) * interval '1 hour') FROM generate_series(1, 300) n;
-- The classes of btree_gist for inet and cidr cannot go to 19, which the precheck names.
CREATE TABLE nets (i inet, c cidr);
INSERT INTO nets SELECT ('10.0.' || n % 200 || '.1')::inet, ('10.0.' || n % 200 || '.0/24')::cidr FROM generate_series(1, 300) n;
\if :target_19
CREATE INDEX ON nets USING gist (i inet_ops);
\else
CREATE INDEX ON nets USING gist (i gist_inet_ops, c gist_cidr_ops);
\endif
CREATE TABLE sealed (id int, secret bytea DEFAULT digest('x', 'sha256'), pw text);
INSERT INTO sealed VALUES (1, pgp_sym_encrypt('secret', 'key'), crypt('pw', 'ab'));
CREATE TEXT SEARCH DICTIONARY own_unaccent (TEMPLATE = unaccent, RULES = 'unaccent');
CREATE TEXT SEARCH DICTIONARY own_int (TEMPLATE = intdict_template, MAXLEN = 4, REJECTLONG = true);
CREATE TEXT SEARCH DICTIONARY own_xsyn (TEMPLATE = xsyn_template, RULES = 'xsyn_sample', KEEPORIG = false);
CREATE TEXT SEARCH CONFIGURATION unaccented (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION unaccented ALTER MAPPING FOR hword, hword_part, word WITH own_unaccent, simple;
CREATE VIEW crossed AS SELECT * FROM crosstab('SELECT 1, ''a'', 1') AS c (r int, a int);
CREATE VIEW of_functions AS SELECT unaccent('ü') AS un, soundex('x') AS so, levenshtein('a', 'b') AS le, similarity('a', 'b') AS si, 'x' % 'y' AS pct, earth_distance(ll_to_earth(1, 2), ll_to_earth(3, 4)) AS ed, xml_valid('<a/>') AS xv;
CREATE VIEW of_statistics AS SELECT userid, dbid, queryid, calls, rows FROM pg_stat_statements;
CREATE VIEW sampled AS SELECT id FROM all_of_contrib TABLESAMPLE system_rows (10);
CREATE VIEW linked AS SELECT * FROM dblink('dbname=contrib', 'SELECT 1') AS d (one int);
CREATE SERVER other FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'contrib');
CREATE TABLE stamped (id int PRIMARY KEY, at timestamp, who text, no int, up int);
CREATE SEQUENCE stamp_numbers;
CREATE TRIGGER stamps BEFORE UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION moddatetime(at);
CREATE TRIGGER names BEFORE INSERT OR UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION insert_username(who);
CREATE TRIGGER numbers BEFORE INSERT ON stamped FOR EACH ROW EXECUTE FUNCTION autoinc(no, stamp_numbers);
CREATE TRIGGER tells AFTER INSERT ON stamped FOR EACH ROW EXECUTE FUNCTION triggered_change_notification();
CREATE TRIGGER manages BEFORE UPDATE OR DELETE ON all_of_contrib FOR EACH ROW EXECUTE FUNCTION lo_manage(lo);
INSERT INTO stamped (id) VALUES (1), (2);
-- Privileges and comments on what extensions brought, a member that was added, an extension of another owner.
REVOKE EXECUTE ON FUNCTION digest(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION digest(text, text) TO clerk;
GRANT SELECT ON pg_stat_statements TO clerk;
REVOKE SELECT ON pg_stat_statements FROM PUBLIC;
COMMENT ON EXTENSION citext IS 'without regard to case';
CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION tablefunc ADD FUNCTION added();
CREATE DOMAIN tree AS ltree CHECK (nlevel(VALUE) < 5);
CREATE TABLE trees (t tree DEFAULT 'a.b', h hstore[] DEFAULT ARRAY['a=>1'::hstore]);
INSERT INTO trees DEFAULT VALUES;
