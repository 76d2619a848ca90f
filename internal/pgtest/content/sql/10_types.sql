-- Every type: base types with their extremes, arrays, ranges, domains, enums, composites, own types.
\connect regress
CREATE SCHEMA types;
SET search_path = types, public;

-- One column of each type that a table may have, and that an upgrade can carry: pg_upgrade refuses reg*
-- but for these three, and aclitem up to 15, whose format 16 changed (check.c, data_types_usage_checks).
SELECT format('CREATE TABLE every_type (id int PRIMARY KEY, %s)', string_agg(format('%I %s', 'c_' || typname, format_type(oid, NULL)), ', ' ORDER BY typname))
FROM pg_type
WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typisdefined
    AND NOT (typname ~ '^_?reg' AND typname !~ '^_?reg(class|role|type)$')
    AND (typname !~ 'aclitem' OR :source >= 16)
    AND typelem NOT IN (SELECT oid FROM pg_type WHERE typtype IN ('c', 'p'))
\gexec
INSERT INTO every_type (id) VALUES (1);

CREATE TABLE numbers (id int PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(30, 10), m money, o oid);
INSERT INTO numbers VALUES
    (1, -32768, -2147483648, -9223372036854775808, '-Infinity', '-Infinity', 'NaN', -12345678901234567890.0123456789, '-92233720368547758.08', 0),
    (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 'NaN', 1e1000, 0, '92233720368547758.07', 4294967295),
    (3, 0, 0, 0, 1e-45, 4.9e-324, 1e-1000, NULL, 0, 1259),
    (4, 1, 1, 1, 3.4028235e38, 1.7976931348623157e308, 123456789.123456789, 1, 1, 1);
\if :source_14
INSERT INTO numbers (id, n) VALUES (5, 'Infinity'), (6, '-Infinity');
\endif
\if :source_15
CREATE TABLE scales (a numeric(3, -2), b numeric(3, 5));
INSERT INTO scales VALUES (12345, 0.00123);
\endif

CREATE TABLE strings (id int PRIMARY KEY, t text, v varchar(10), c char(10), n name, q "char", b bytea, bi bit(5), vb bit varying(9));
INSERT INTO strings VALUES
    (1, '', '', '', '', '', '', B'00000', B''),
    (2, E'tab\t newline\n return\r backslash \\ quote '' ', 'ümläut', 'pad', 'a name', 'x', '\x00ff5c27', B'10101', B'101'),
    (3, '漢字 🐘 Ω e' || U&'\0301', U&'\00E9', 'é', '漢字', NULL, decode(repeat('00ff', 1000), 'hex'), NULL, NULL);
INSERT INTO strings (id, q) SELECT 1000 + n, chr(n)::"char" FROM generate_series(1, 126) n;

CREATE TABLE times (id int PRIMARY KEY, d date, t time, t0 time(0), ttz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, i interval, i_dh interval day to hour);
INSERT INTO times VALUES
    (1, 'infinity', '00:00', '00:00', '00:00+14', 'infinity', 'infinity', 'infinity', '-178000000 years', '1 day 2 hours'),
    (2, '-infinity', '24:00', '24:00', '24:00-14', '-infinity', '-infinity', '-infinity', '1 year -2 months +3 days -04:05:06.789', NULL),
    (3, '4713-01-01 BC', '23:59:59.999999', '12:30:31', '12:34:56.789+05:45', '4713-11-24 00:00 BC', '1999-12-31 23:59:59.999', '2000-02-29 12:00+05:45', '0', '0'),
    (4, '5874897-12-31', '01:02:03', '01:02:03', '01:02:03 UTC', '294276-12-31 23:59:59.999999', NULL, '0001-01-01 00:00:00+00 BC', '1 microsecond', NULL);
\if :source_17
INSERT INTO times (id, i) VALUES (5, 'infinity'), (6, '-infinity');
\endif

CREATE TABLE shapes (id int PRIMARY KEY, p point, l line, s lseg, b box, o path, c path, g polygon, k circle);
INSERT INTO shapes VALUES
    (1, '(1,2)', '{1,-1,0}', '[(0,0),(1,1)]', '(2,2),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(1,2),3>'),
    (2, '(Infinity,NaN)', NULL, NULL, '(Infinity,Infinity),(-Infinity,-Infinity)', NULL, NULL, NULL, '<(0,0),0>');

CREATE TABLE addresses (id int PRIMARY KEY, i inet, c cidr, m macaddr, m8 macaddr8, u uuid);
INSERT INTO addresses VALUES
    (1, '192.168.1.5/24', '192.168.1.0/24', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    (2, '2001:db8::1/64', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00:00:00', '00000000-0000-0000-0000-000000000000'),
    (3, '::ffff:1.2.3.4', '0.0.0.0/0', NULL, NULL, NULL);

CREATE TABLE documents (id int PRIMARY KEY, j json, jb jsonb, jp jsonpath, x xml, tv tsvector, tq tsquery);
INSERT INTO documents VALUES
    (1, '{"a" : 1, "a":2, "b": [1, 2.50, null, true, "\u00e9"]}', '{"a": {"b": [1, 2.50, null, {"c": "漢"}]}, "": 1e400}', '$.a[*] ? (@.b > 1 && exists (@.c))', '<a b="c">d<e/></a>', '''a'':1A,2B ''it''''s'':3 b', '''a'':*B & !(b | c) <2> d'),
    (2, 'null', '"scalar"', 'strict $', 'text <only/>', '', ''),
    (3, '[]', '[]', '$', NULL, array_to_tsvector(ARRAY['x', 'y']), NULL);

CREATE TABLE machinery (id int PRIMARY KEY, l pg_lsn, s pg_snapshot, t txid_snapshot, x xid, x8 xid8, c cid, ti tid, rc regclass, ro regrole, rt regtype, ov oidvector, iv int2vector, rf refcursor);
INSERT INTO machinery VALUES (1, '16/B374D848', '10:20:10,14,15', '10:20:10,14,15', '4294967295', '18446744073709551615', '7', '(4294967295,65535)', 'pg_class', 'pg_monitor', 'timestamptz', '1 2 3', '4 5', 'cursor');

-- Arrays.
CREATE TABLE arrays (id int PRIMARY KEY, i int[], t text[][], n numeric[3], j jsonb[], tr tstzrange[], c char(3)[], b bytea[]);
INSERT INTO arrays VALUES
    (1, '{}', '{{a,b},{c,NULL}}', '{1,NaN,NULL}', ARRAY['{"a":1}'::jsonb, NULL], ARRAY['[2001-01-01,2002-01-01)'::tstzrange], '{a,bb,ccc}', ARRAY['\x00'::bytea]),
    (2, '[-1:1]={1,2,3}', '{"with \"quotes\"","and, commas",""," "}', NULL, NULL, NULL, NULL, NULL),
    (3, '[2:3][5:6]={{1,2},{3,4}}', NULL, NULL, NULL, NULL, NULL, NULL);

-- Ranges, and multiranges.
CREATE TABLE ranges (id int PRIMARY KEY, i4 int4range, i8 int8range, n numrange, d daterange, t tsrange, tz tstzrange);
INSERT INTO ranges VALUES
    (1, 'empty', '(,)', '(1.5,2.5]', '[2020-01-01,)', '[2001-01-01,2002-01-01]', '(,2001-01-01)'),
    (2, '[1,10]', '[1,1]', '[NaN,NaN]', '[-infinity,infinity]', 'empty', '[-infinity,infinity)');
CREATE FUNCTION time_subtype_diff(x time, y time) RETURNS float8 LANGUAGE sql STRICT IMMUTABLE AS $$SELECT extract(epoch FROM (x - y))::float8$$;
CREATE TYPE timerange AS RANGE (subtype = time, subtype_diff = types.time_subtype_diff);
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C", subtype_opclass = text_pattern_ops);
CREATE TABLE own_ranges (id int PRIMARY KEY, t timerange, x textrange);
INSERT INTO own_ranges VALUES (1, '[08:00,17:00)', '["a","b, c"]');
\if :source_14
CREATE TABLE multiranges (id int PRIMARY KEY, i4 int4multirange, n nummultirange, d datemultirange, tz tstzmultirange, own timemultirange);
INSERT INTO multiranges VALUES (1, '{}', '{[1,2],(3,4)}', '{[2020-01-01,2020-02-01),[2021-01-01,)}', '{(,)}', '{[08:00,12:00),[13:00,17:00)}');
CREATE TYPE odd_range AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = "several odd ones");
CREATE TABLE odd_ranges (a odd_range, b "several odd ones");
INSERT INTO odd_ranges VALUES ('[1,2)', '{[1,2),[3,4)}');
\endif

-- Domains.
CREATE DOMAIN positive AS int CHECK (VALUE > 0) DEFAULT 1;
CREATE DOMAIN percent AS positive CONSTRAINT at_most_100 CHECK (VALUE <= 100) NOT NULL;
CREATE DOMAIN code AS varchar(5) COLLATE "C" CONSTRAINT upper_only CHECK (VALUE ~ '^[A-Z]+$');
CREATE DOMAIN later AS text;
ALTER DOMAIN later ADD CONSTRAINT not_blank CHECK (VALUE <> '') NOT VALID;
CREATE DOMAIN positives AS positive[] CHECK (array_length(VALUE, 1) < 4);
CREATE DOMAIN hours AS timerange CHECK (NOT isempty(VALUE));
CREATE TABLE domains (p positive, q percent DEFAULT 50, c code, l later, ps positives, h hours);
INSERT INTO domains VALUES (1, 100, 'ABC', 'x', '{1,2}', '[08:00,09:00)'), (DEFAULT, DEFAULT, NULL, NULL, NULL, NULL);
COMMENT ON CONSTRAINT at_most_100 ON DOMAIN percent IS 'of a hundred';

-- Enums whose order is not the one in which the values were added, renamed and odd values.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'it''s "odd"', '');
ALTER TYPE mood ADD VALUE 'content' BEFORE 'happy';
ALTER TYPE mood ADD VALUE 'first' BEFORE 'sad';
ALTER TYPE mood ADD VALUE 'between' AFTER 'sad';
ALTER TYPE mood RENAME VALUE 'ok' TO 'so so';
CREATE TYPE no_value AS ENUM ();
CREATE TABLE moods (m mood DEFAULT 'so so', ms mood[], UNIQUE (m));
INSERT INTO moods SELECT m, enum_range(NULL, m) FROM unnest(enum_range(NULL::mood)) m;

-- Composites, nested, in domains and in arrays.
CREATE TYPE address AS (street text COLLATE "C", number int, tags text[]);
CREATE TYPE person AS (name text, home address, others address[]);
ALTER TYPE person ADD ATTRIBUTE age int;
ALTER TYPE person DROP ATTRIBUTE age;
ALTER TYPE person ADD ATTRIBUTE born date;
CREATE DOMAIN grown_up AS person CHECK ((VALUE).born < '2010-01-01');
CREATE TABLE people (id int PRIMARY KEY, p person, g grown_up, ps person[], whole moods);
INSERT INTO people VALUES (1, ROW('A', ROW('Main, "Street"', 1, '{a,b}'), ARRAY[ROW('x', NULL, '{}')::address], '2001-01-01'), ROW('G', NULL, NULL, '1999-01-01'), NULL, ROW('happy', '{sad}'));

-- A type of one's own, a shell that was never filled, and one by another's storage.
CREATE TYPE never_filled;
CREATE TYPE myint;
CREATE FUNCTION myint_in(cstring) RETURNS myint LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION myint_out(myint) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE FUNCTION myint_recv(internal) RETURNS myint LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
CREATE FUNCTION myint_send(myint) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
CREATE TYPE myint (INPUT = myint_in, OUTPUT = myint_out, RECEIVE = myint_recv, SEND = myint_send, LIKE = integer, CATEGORY = 'N', PREFERRED = false, DEFAULT = '42', DELIMITER = ';', COLLATABLE = false);
CREATE TABLE own_type (m myint, ms myint[]);
INSERT INTO own_type VALUES ('7', '{1;2}'), (DEFAULT, NULL);

-- Out of line, compressed and not.
CREATE TABLE toasted (id int PRIMARY KEY, plain text, main text, ext text, extd text, b bytea) WITH (toast_tuple_target = 256);
ALTER TABLE toasted ALTER plain SET STORAGE PLAIN, ALTER main SET STORAGE MAIN, ALTER ext SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT n, 'short', repeat('main', 2000), repeat('ext' || n, 5000), string_agg(md5(n || 'x' || g), ''), decode(repeat('00', 100000), 'hex')
    FROM generate_series(1, 5) n, generate_series(1, 500) g GROUP BY n;
\if :source_14
CREATE TABLE compressed (id int PRIMARY KEY, p text COMPRESSION pglz, d text);
INSERT INTO compressed VALUES (1, repeat('pglz ', 3000), repeat('default ', 3000));
SELECT 'lz4' = ANY (enumvals) AS has_lz4 FROM pg_settings WHERE name = 'default_toast_compression' \gset
\if :has_lz4
ALTER TABLE compressed ADD l text COMPRESSION lz4;
UPDATE compressed SET l = repeat('lz4 ', 3000);
\endif
\endif
