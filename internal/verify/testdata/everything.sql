-- Every kind of table and type that both sides of a test are given.
CREATE ROLE alice;
CREATE ROLE bob;
CREATE SCHEMA "Odd Schema";
CREATE EXTENSION hstore;
CREATE EXTENSION citext;

CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE inner_pair AS (x int, y text);
CREATE TYPE outer_pair AS (p inner_pair, letter "char", at pg_lsn);
CREATE DOMAIN pair_domain AS inner_pair;
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE COLLATION nondeterministic (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION german (provider = icu, locale = 'de');

CREATE TABLE types (
	id bigint PRIMARY KEY,
	c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_float4 float4, c_float8 float8, c_numeric numeric,
	c_money money, c_text text, c_varchar varchar(20), c_char char(6), c_bpchar bpchar, c_letter "char", c_name name,
	c_bytea bytea, c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz,
	c_interval interval, c_uuid uuid, c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml xml, c_point point,
	c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle, c_inet inet, c_cidr cidr,
	c_macaddr macaddr, c_macaddr8 macaddr8, c_bit bit(4), c_varbit varbit, c_tsvector tsvector, c_tsquery tsquery,
	c_int4range int4range, c_tstzrange tstzrange, c_textrange textrange, c_ints int[], c_texts text[][], c_letters "char"[],
	c_lsn pg_lsn, c_lsns pg_lsn[], c_oid oid, c_regclass regclass, c_regtype regtype, c_regrole regrole, c_xid xid,
	c_xid8 xid8, c_tid tid, c_snapshot pg_snapshot, c_mood mood, c_moods mood[], c_positive positive,
	c_pair inner_pair, c_outer outer_pair, c_pair_domain pair_domain, c_pairs inner_pair[], c_nd text COLLATE nondeterministic,
	c_german text COLLATE german, c_hstore hstore, c_citext citext, c_vector int2vector, c_oids oidvector
);
INSERT INTO types VALUES (
	1, true, 1, 2, 3, 1.5, 0, 1.0, 12.34, 'a', 'a', 'a', 'a ', 'a', 'a', '\x00ff', '2024-02-29', '24:00', '12:00+02:30', '2024-01-01 00:00:00.000001',
	'infinity', '1 year 2 months -3 days 4 hours', '00000000-0000-0000-0000-000000000001', '{"a": 1, "a":1}', '{"a": 1.0}', '$.a[*] ? (@ > 1)',
	'<?xml version="1.0"?><a b="1"/>', '(1,2)', '{1,2,3}', '[(1,2),(3,4)]', '(1,2),(3,4)', '[(1,2),(3,4)]', '((1,2),(3,4),(5,0))', '<(1,2),3>', '10.0.0.1/8', '10.0.0.0/8',
	'01:02:03:04:05:06', '01:02:03:04:05:06:07:08', B'0101', B'1', 'a:1 b', 'a & b', '[1,5)', '[2024-01-01,)', '[a,b)', '{1,NULL,3}', '{{a,"NULL"},{"b c",NULL}}', '{a,b}',
	'0/8000160', '{0/0,A/8000160}', 16384, 'types', 'mood', 'alice', '7', '8', '(0,1)', '10:20:10,14,15', 'happy', '{sad,happy}', 5,
	'(1,a)', ROW(ROW(1, NULL), 'x', '0/1'), '(2,b)', ARRAY['(1,a)', NULL]::inner_pair[], 'Straße', 'Ä', 'a=>1,b=>NULL', 'CiText', '1 2', '3 4'
);
INSERT INTO types (id) SELECT g FROM generate_series(2, 20) g;
UPDATE types SET c_float8 = 'NaN', c_float4 = '-infinity', c_numeric = 'NaN', c_text = '', c_pair = ROW(NULL, NULL), c_letter = (-61)::"char" WHERE id = 2;
UPDATE types SET c_float8 = '-0', c_int8 = -9223372036854775808, c_int4range = 'empty', c_interval = '0', c_letters = ARRAY[(-61)::"char"] WHERE id = 3;

CREATE TABLE keyless (a int, b text);
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL), (NULL, NULL), (NULL, '');
CREATE TABLE composite_key (b text, a int, v text, PRIMARY KEY (a, b));
INSERT INTO composite_key SELECT 'k' || g % 10, g, repeat('v', g) FROM generate_series(1, 100) g;
CREATE TABLE identity_by_index (id int NOT NULL, v int);
CREATE UNIQUE INDEX by_index ON identity_by_index (id);
ALTER TABLE identity_by_index REPLICA IDENTITY USING INDEX by_index;
INSERT INTO identity_by_index SELECT g, g * 10 FROM generate_series(1, 50) g;
CREATE TABLE full_identity (a int, b int);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
INSERT INTO full_identity VALUES (1, 2), (3, 4);

CREATE TABLE dropped (id int PRIMARY KEY, gone text, a int, gone_too int, b text);
INSERT INTO dropped SELECT g, 'gone', g, g, 'b' || g FROM generate_series(1, 20) g;
ALTER TABLE dropped DROP gone, DROP gone_too, ADD added int DEFAULT 7;
CREATE TABLE generated (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO generated (a) SELECT g FROM generate_series(1, 20) g;

CREATE TABLE parted (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT PARTITION BY HASH (id);
CREATE TABLE parted_rest_0 PARTITION OF parted_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_rest_1 PARTITION OF parted_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT g, CASE g % 3 WHEN 0 THEN 'eu' ELSE 'us' END, g FROM generate_series(1, 60) g;
CREATE TABLE parent (id int PRIMARY KEY, a text);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO parent VALUES (1, 'parent');
INSERT INTO child VALUES (2, 'child', 3);

CREATE TABLE toasted (id int PRIMARY KEY, v text);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT g, repeat(md5(g::text), 1000) FROM generate_series(1, 30) g;
CREATE TABLE long_bytea (h int, place text, v bytea, PRIMARY KEY (h, place));
INSERT INTO long_bytea VALUES (1, 'k', decode(repeat('ab', 1 << 20), 'hex'));
CREATE TABLE large (id int PRIMARY KEY, v text);
INSERT INTO large SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE "Odd Schema"."Odd ""Table" ("Odd Key" int PRIMARY KEY, "select" text, t int);
INSERT INTO "Odd Schema"."Odd ""Table" VALUES (1, 'a', 1), (2, 'b', 2);

DO $$ BEGIN
	EXECUTE (SELECT 'CREATE TABLE widest (' || string_agg(format('c%s int2', g), ', ') || ', PRIMARY KEY (c1))' FROM generate_series(1, 1600) g);
	EXECUTE (SELECT 'INSERT INTO widest VALUES (' || string_agg(g::text, ', ') || ')' FROM generate_series(1, 1600) g);
END $$;

CREATE SEQUENCE up;
CREATE SEQUENCE down INCREMENT -1 CYCLE MINVALUE -10 MAXVALUE -1;
CREATE SEQUENCE small AS smallint START 7 CACHE 5;
CREATE SEQUENCE owned OWNED BY large.id;
SELECT nextval('up'), nextval('down'), nextval('down');

SELECT lo_from_bytea(100001, decode(repeat('ab', 5000), 'hex')), lo_from_bytea(100002, ''), lo_from_bytea(100003, 'three');
GRANT SELECT ON LARGE OBJECT 100003 TO alice;
COMMENT ON LARGE OBJECT 100003 IS 'the third';

CREATE MATERIALIZED VIEW summary AS SELECT id, v FROM large WHERE id > 19990 ORDER BY id;
CREATE MATERIALIZED VIEW joined AS SELECT l.id, k.b FROM large l JOIN composite_key k ON k.a = l.id;
CREATE MATERIALIZED VIEW unpopulated AS SELECT count(*) FROM keyless WITH NO DATA;
CREATE VIEW plain AS SELECT a, b FROM keyless;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';

ALTER TABLE composite_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_mine ON composite_key FOR SELECT TO alice USING (a > 3);
ALTER TABLE keyless OWNER TO alice;
ALTER SEQUENCE small OWNER TO alice;
GRANT SELECT ON types TO bob;
GRANT UPDATE (v) ON large TO alice WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO bob;
COMMENT ON TABLE types IS 'all types';
COMMENT ON COLUMN large.v IS 'long';

-- Definitions that a dump may word anew.
CREATE VIEW seen AS SELECT id, v FROM large WHERE id < 3;
CREATE RULE unseen AS ON DELETE TO seen DO INSTEAD NOTHING;
CREATE DOMAIN short AS varchar(3) CONSTRAINT is_short CHECK (value IN ('a', 'b'));
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE referenced (id int PRIMARY KEY);
CREATE TABLE checked (
	id int CONSTRAINT known REFERENCES referenced, state varchar(10) DEFAULT 'new' CONSTRAINT known_state CHECK (state IN ('new', 'old'))
);
CREATE INDEX listed ON checked (lower(state)) WHERE state IN ('new', 'old');
CREATE TRIGGER fires AFTER UPDATE ON checked FOR EACH ROW WHEN (old.state IN ('new', 'old')) EXECUTE FUNCTION fires();

-- What is neither a table nor a function.
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4ne, RESTRICT = eqsel);
CREATE OPERATOR FAMILY backwards USING btree;
CREATE OPERATOR CLASS backward FOR TYPE int USING btree FAMILY backwards AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(int, int);
CREATE CAST (inner_pair AS text) WITH INOUT AS ASSIGNMENT;
CREATE COLLATION unused (provider = icu, locale = 'fr');
CREATE STATISTICS related (dependencies) ON a, b FROM composite_key;
CREATE TEXT SEARCH DICTIONARY plainly (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION searched (COPY = english);
CREATE FOREIGN DATA WRAPPER wraps OPTIONS (a 'b');
CREATE SERVER elsewhere VERSION '1' FOREIGN DATA WRAPPER wraps OPTIONS (host 'here');
CREATE USER MAPPING FOR alice SERVER elsewhere OPTIONS (password 'secret');
CREATE FOREIGN TABLE abroad (a int) SERVER elsewhere;
CREATE FUNCTION watches() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watches ON ddl_command_end EXECUTE FUNCTION watches();
CREATE PUBLICATION of_large FOR TABLE large;
CREATE SUBSCRIPTION of_nobody CONNECTION 'host=127.0.0.1 port=1 password=secret' PUBLICATION p WITH (connect = false, slot_name = NONE);
