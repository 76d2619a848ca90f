-- Views of every kind, with what the servers print of them differently, materialized views, rules.
\connect regress
CREATE SCHEMA views;
SET search_path = views, public;

CREATE TABLE base (id int PRIMARY KEY, a int, b text, at timestamptz, j jsonb, x xml);
INSERT INTO base SELECT n, n % 10, 'b' || n, '2020-01-01 00:00+00'::timestamptz + n * interval '1 day', jsonb_build_object('n', n), xmlelement(name e, n) FROM generate_series(1, 200) n;
CREATE VIEW simple AS SELECT * FROM base;
CREATE VIEW renamed (one, "two ""odd""") AS SELECT id, b FROM base;
CREATE VIEW checked WITH (security_barrier) AS SELECT id, a FROM base WHERE a > 5 WITH LOCAL CHECK OPTION;
CREATE VIEW checked_too AS SELECT * FROM checked WHERE id > 3 WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 10;
CREATE VIEW joined AS
    SELECT l.id, r.a, coalesce(l.b, r.b) AS b, m.* FROM base l JOIN base r USING (id) LEFT JOIN LATERAL (SELECT l.a + r.a AS s, count(*) OVER w AS c WINDOW w AS (PARTITION BY l.a ORDER BY r.b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES)) m ON true
    FULL JOIN (VALUES (1, 'x'), (2, NULL)) v (id2, y) ON v.id2 = l.id NATURAL JOIN (SELECT 1 AS one) o;
CREATE VIEW grouped AS SELECT a, grouping(a, b), sum(id) FILTER (WHERE id > 3), string_agg(DISTINCT b, ',' ORDER BY b), percentile_disc(0.5) WITHIN GROUP (ORDER BY id), array_agg(id) FROM base GROUP BY GROUPING SETS ((a), CUBE (a, b), ()) HAVING count(*) > 1;
CREATE VIEW windows AS SELECT id, rank() OVER (ORDER BY a DESC NULLS LAST), lag(b, 2, 'none') OVER w, first_value(id) OVER (w RANGE UNBOUNDED PRECEDING), nth_value(id, 2) OVER (PARTITION BY a ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM base WINDOW w AS (ORDER BY id);
CREATE VIEW expressions AS SELECT
    extract(epoch FROM at) AS e, date_part('year', at) AS d, at AT TIME ZONE 'Asia/Kathmandu' AS z, at::date + 1 AS t,
    overlay(b PLACING 'x' FROM 2 FOR 1) AS o, position('b' IN b) AS p, substring(b FROM 'b(.)') AS s, substring(b FROM 'b#"_#"%' FOR '#') AS ss, trim(BOTH 'b' FROM b) AS tr,
    b LIKE 'b!_' ESCAPE '!' AS li, b SIMILAR TO 'b%|c' AS si, b ~* '^B' AS re, a BETWEEN SYMMETRIC 5 AND 1 AS be, a IN (1, 2, NULL) AS i, a = ANY (ARRAY[1, 2]) AS an,
    (a, b) < (1, 'x') AS r, ROW(a, b) IS NOT NULL AS nn, a IS DISTINCT FROM 1 AS di, CASE a WHEN 1 THEN 'one' ELSE b END AS ca, nullif(a, 1) AS nu, greatest(a, 1, id) AS g,
    ARRAY[a, id] || 3 AS ar, (ARRAY[[1, 2], [3, 4]])[1:2][1] AS sl, j -> 'n' AS jn, j @> '{"n":1}' AS jc, j #>> '{n,x}' AS jp, (SELECT max(id) FROM base s WHERE s.a = base.a) AS sub, EXISTS (SELECT FROM base WHERE id < 0) AS ex,
    xmlserialize(CONTENT x AS text) AS xs, xmlparse(DOCUMENT '<a/>') AS xp, xmlelement(NAME e, xmlattributes(a AS "A"), b) AS xe, xmlforest(a, b AS c) AS xf, xmlexists('/e' PASSING x) AS xx,
    b COLLATE "C" AS co, CAST(a AS numeric(10, 2)) AS nc, interval '1 day 2:03' AS iv, E'\\ \n' AS es, U&'\00E4' AS un, B'101' AS bi, current_user AS cu, current_timestamp(3) AS ct, localtime AS lt, normalize(b, NFC) AS no, b IS NFC NORMALIZED AS isn
FROM base;
CREATE VIEW sources AS SELECT f.*, o.* FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'b'])) WITH ORDINALITY f (n, t, ord), (SELECT id FROM base TABLESAMPLE bernoulli (50) REPEATABLE (7) FETCH FIRST 3 ROWS ONLY) o, XMLTABLE('/e' PASSING (SELECT x FROM base WHERE id = 1) COLUMNS v int PATH '.', o FOR ORDINALITY);
CREATE VIEW combined AS (SELECT id FROM base EXCEPT ALL SELECT a FROM base) UNION (SELECT 1 INTERSECT SELECT 2) ORDER BY 1 LIMIT 10 OFFSET 1;
CREATE VIEW with_parts AS WITH RECURSIVE r (n) AS (SELECT 1 UNION SELECT n + 1 FROM r WHERE n < 5), m AS MATERIALIZED (SELECT id FROM base), nm AS NOT MATERIALIZED (SELECT a FROM base) SELECT DISTINCT ON (r.n) r.n, m.id, nm.a FROM r, m, nm ORDER BY r.n, m.id, nm.a;
CREATE VIEW tied AS SELECT id, a FROM base ORDER BY a FETCH FIRST 3 ROWS WITH TIES;
CREATE VIEW whole_rows AS SELECT base, (base).b, ROW(base.*) IS NULL AS r FROM base;
CREATE VIEW of_partitions AS SELECT tableoid::regclass, ctid, xmin, * FROM parts.by_range;
CREATE VIEW of_catalogs AS SELECT c.relname, pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'views' AND c.oid = 'views.base'::regclass;
CREATE VIEW of_schema AS SELECT table_name, column_name FROM information_schema.columns;
CREATE VIEW with_default AS SELECT id, a, b FROM base;
ALTER VIEW with_default ALTER a SET DEFAULT 99;
COMMENT ON VIEW with_default IS 'a view';
COMMENT ON COLUMN with_default.a IS 'with a default';
-- A column that was renamed beneath, one that went: views keep what they called it.
ALTER TABLE base RENAME a TO alpha;
-- Two that need each other: pg_dump breaks the circle.
CREATE VIEW circle_one AS SELECT 1 AS n;
CREATE FUNCTION of_circle() RETURNS SETOF circle_one LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE VIEW circle_one AS SELECT n FROM of_circle() AS f (n);
CREATE VIEW by_primary_key AS SELECT id, b, alpha, count(*) FROM base GROUP BY id;
\if :source_14
CREATE VIEW searched AS WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SEARCH DEPTH FIRST BY n SET ord CYCLE n SET is_cycle USING path SELECT n, is_cycle FROM t;
CREATE VIEW aliased AS SELECT u.id FROM base l JOIN base r USING (id) AS u;
CREATE VIEW distinct_groups AS SELECT alpha, b FROM base GROUP BY DISTINCT ROLLUP (alpha), ROLLUP (alpha, b);
\endif
\if :source_15
CREATE VIEW by_invoker WITH (security_invoker = true, security_barrier = false) AS SELECT * FROM base;
\endif
\if :source_16
CREATE VIEW sql_json AS SELECT json_array(1, 'a', NULL ABSENT ON NULL RETURNING jsonb) AS a, json_object('k': alpha, 'b': b NULL ON NULL WITH UNIQUE KEYS) AS o, json_objectagg(id: b) OVER () AS oa, b IS JSON OBJECT WITH UNIQUE KEYS AS isj, xmlserialize(CONTENT x AS text INDENT) AS xi, any_value(id) OVER () AS av FROM base;
\endif
\if :source_17
CREATE VIEW json_tables AS SELECT t.*, json_value(j, '$.n' RETURNING int DEFAULT 7 ON EMPTY) AS v, json_query(j, '$.n' WITH WRAPPER) AS q, json_exists(j, '$.n') AS e, json_scalar(id) AS s FROM base, JSON_TABLE(j, '$' AS root COLUMNS (rownum FOR ORDINALITY, n int PATH '$.n' ERROR ON ERROR, NESTED PATH '$.x[*]' COLUMNS (x text PATH '$'))) t;
CREATE FUNCTION merges_more() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC
    MERGE INTO base USING (VALUES (1)) v (id) ON base.id = v.id WHEN NOT MATCHED BY SOURCE AND base.id < 0 THEN DELETE WHEN MATCHED THEN DO NOTHING RETURNING merge_action();
END;
\endif
\if :source_18
CREATE FUNCTION old_and_new() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC UPDATE base SET b = b RETURNING WITH (OLD AS before, NEW AS after) before.b || after.b; END;
\endif

CREATE MATERIALIZED VIEW summed AS SELECT alpha, count(*) AS n FROM base GROUP BY alpha WITH DATA;
CREATE UNIQUE INDEX ON summed (alpha);
ALTER MATERIALIZED VIEW summed CLUSTER ON summed_alpha_idx;
ALTER MATERIALIZED VIEW summed ALTER n SET STATISTICS 33;
CREATE MATERIALIZED VIEW unpopulated WITH (fillfactor = 50) AS SELECT * FROM summed WITH NO DATA;
CREATE MATERIALIZED VIEW upon_that AS SELECT n FROM summed WHERE n > 3;
COMMENT ON MATERIALIZED VIEW summed IS 'by alpha';

CREATE TABLE ruled (id int, t text);
CREATE TABLE rule_log (id int, what text, at timestamptz DEFAULT now());
CREATE RULE also AS ON UPDATE TO ruled WHERE old.t <> new.t DO ALSO (INSERT INTO rule_log (id, what) VALUES (old.id, 'was ' || old.t); UPDATE rule_log SET what = what WHERE id = new.id);
CREATE RULE instead AS ON DELETE TO ruled DO INSTEAD UPDATE ruled SET t = NULL WHERE id = old.id RETURNING old.*;
CREATE RULE tells AS ON UPDATE TO ruled DO ALSO NOTIFY ruled;
CREATE RULE "Odd ""rule""" AS ON INSERT TO ruled WHERE new.id < 0 DO INSTEAD NOTHING;
CREATE RULE off AS ON INSERT TO ruled DO ALSO SELECT new.id;
ALTER TABLE ruled DISABLE RULE off;
ALTER TABLE ruled ENABLE ALWAYS RULE also;
CREATE RULE inserts AS ON INSERT TO renamed DO INSTEAD INSERT INTO base (id, b) VALUES (new.one, new."two ""odd""") ON CONFLICT (id) DO UPDATE SET b = excluded.b WHERE base.id > 0 RETURNING base.id, base.b;
COMMENT ON RULE also ON ruled IS 'a rule';
INSERT INTO ruled VALUES (1, 'x'), (-1, 'y');
UPDATE ruled SET t = 'z';
