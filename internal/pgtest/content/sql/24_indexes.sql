-- Every index method and its operator classes, over enough rows for more than one page.
\connect regress
CREATE SCHEMA indexes;
SET search_path = indexes, public;

CREATE TABLE rows (
    id int, a int, t text, n numeric, at timestamptz, j jsonb, arr int[], words tsvector,
    p point, b box, c circle, g polygon, r int4range, i inet, u uuid, by bytea, f float8
);
INSERT INTO rows SELECT
    n, (n * 7919) % 1009, md5(n::text), n / 7.0, '2020-01-01 00:00+00'::timestamptz + n * interval '1 hour',
    jsonb_build_object('k', n % 50, 't', ARRAY[n % 3, n % 11]), ARRAY[n % 13, n % 17],
    to_tsvector('simple', 'w' || n % 40 || ' w' || n % 23), point(n % 100, n % 37),
    box(point(n % 50, n % 20), point(n % 50 + 3, n % 20 + 2)), circle(point(n % 30, n % 20), n % 5 + 1),
    polygon(box(point(n % 50, n % 20), point(n % 50 + 3, n % 20 + 2))), int4range(n % 200, n % 200 + 10),
    ('10.' || n % 200 || '.' || n % 50 || '.1/24')::inet, md5(n::text)::uuid, decode(md5(n::text), 'hex'), sqrt(n)
FROM generate_series(1, 3000) n;
INSERT INTO rows DEFAULT VALUES;

CREATE UNIQUE INDEX ON rows (id) INCLUDE (a, t);
CREATE INDEX ON rows (a DESC NULLS LAST, t COLLATE "C" text_pattern_ops, n ASC NULLS FIRST) WITH (fillfactor = 60);
CREATE INDEX ON rows (lower(t), (a + 1)) WHERE a > 100 AND t IS NOT NULL;
CREATE INDEX "Odd ""index"" näme" ON rows (at) WITH (deduplicate_items = off);
ALTER INDEX rows_lower_expr_idx ALTER COLUMN 1 SET STATISTICS 400;
CREATE INDEX ON rows (u);
CREATE INDEX ON rows (t varchar_pattern_ops);
CREATE INDEX ON rows ((j ->> 'k'), by, f);
CREATE INDEX ON rows (r);
CREATE INDEX ON rows (arr);
CREATE INDEX ON rows (j);
CREATE INDEX ON rows USING hash (t);
CREATE INDEX ON rows USING hash (a) WITH (fillfactor = 80);
CREATE INDEX ON rows USING hash (j);
CREATE INDEX ON rows USING gist (p) INCLUDE (id);
CREATE INDEX ON rows USING gist (b) WITH (buffering = on, fillfactor = 75);
CREATE INDEX ON rows USING gist (c, r);
CREATE INDEX ON rows USING gist (g);
CREATE INDEX ON rows USING gist (words tsvector_ops (siglen = 200));
CREATE INDEX ON rows USING gist (i inet_ops);
CREATE INDEX ON rows USING spgist (t);
CREATE INDEX ON rows USING spgist (p);
CREATE INDEX ON rows USING spgist (p kd_point_ops);
CREATE INDEX ON rows USING spgist (r);
CREATE INDEX ON rows USING spgist (b);
CREATE INDEX ON rows USING spgist (g);
CREATE INDEX ON rows USING spgist (i);
CREATE INDEX ON rows USING gin (j);
CREATE INDEX ON rows USING gin (j jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX ON rows USING gin (arr) WITH (gin_pending_list_limit = 128);
CREATE INDEX ON rows USING gin (words);
CREATE INDEX ON rows USING gin (to_tsvector('english'::regconfig, t));
CREATE INDEX ON rows USING brin (id, a, t, n, at, u, by, f);
CREATE INDEX ON rows USING brin (b, r, i) WITH (pages_per_range = 4, autosummarize = on);
CREATE INDEX ON rows USING brin (i inet_inclusion_ops);
\if :source_14
CREATE INDEX ON rows USING spgist (p) INCLUDE (id);
CREATE INDEX ON rows USING brin (a int4_bloom_ops (n_distinct_per_range = 100, false_positive_rate = 0.05), t text_bloom_ops);
CREATE INDEX ON rows USING brin (id int4_minmax_multi_ops (values_per_range = 16), n numeric_minmax_multi_ops, at timestamptz_minmax_multi_ops, u uuid_minmax_multi_ops, f float8_minmax_multi_ops);
CREATE INDEX ON rows USING gist (p point_ops);
\endif
\if :source_15
CREATE UNIQUE INDEX nulls_once ON rows (id) NULLS NOT DISTINCT;
\endif
-- Rows that came after the index: pending lists, dead entries, unsummarized ranges.
INSERT INTO rows SELECT id + 10000, a, t, n, at, j, arr, words, p, b, c, g, r, i, u, by, f FROM rows WHERE id % 10 = 0;
DELETE FROM rows WHERE id % 11 = 0;
CREATE TABLE excluded (room int, during tstzrange, at circle, EXCLUDE USING gist (during WITH &&), CONSTRAINT apart EXCLUDE USING gist (at WITH &&) WHERE (room > 1) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO excluded SELECT n, tstzrange('2020-01-01'::timestamptz + n * interval '1 day', '2020-01-02'::timestamptz + n * interval '1 day'), circle(point(n * 10, 0), 1) FROM generate_series(1, 200) n;
-- An access method under another name, with classes of its own.
CREATE ACCESS METHOD own_gist TYPE INDEX HANDLER gisthandler;
CREATE OPERATOR CLASS own_box_ops DEFAULT FOR TYPE box USING own_gist AS
    OPERATOR 1 <<, OPERATOR 2 &<, OPERATOR 3 &&, OPERATOR 4 &>, OPERATOR 5 >>, OPERATOR 6 ~=, OPERATOR 7 @>, OPERATOR 8 <@,
    FUNCTION 1 gist_box_consistent(internal, box, smallint, oid, internal), FUNCTION 2 gist_box_union(internal, internal),
    FUNCTION 5 gist_box_penalty(internal, internal, internal), FUNCTION 6 gist_box_picksplit(internal, internal),
    FUNCTION 7 gist_box_same(box, box, internal);
CREATE INDEX by_own_method ON rows USING own_gist (b);
COMMENT ON INDEX by_own_method IS 'GiST under another name';
CREATE STATISTICS dependent (dependencies, ndistinct) ON a, t, n FROM rows;
CREATE STATISTICS "Odd ""statistics""" (mcv) ON a, at FROM rows;
CREATE STATISTICS moved ON id, f FROM rows;
ALTER STATISTICS moved SET STATISTICS 77;
COMMENT ON STATISTICS dependent IS 'they depend';
\if :source_14
CREATE STATISTICS by_expression ON (a + id), lower(t) FROM rows;
CREATE STATISTICS one_expression ON (date_trunc('day', at AT TIME ZONE 'UTC')) FROM rows;
\endif
ANALYZE rows;
