-- Databases of other encodings, locales and names, each with what only they hold.
\if :few
\quit
\endif
\connect latin1
SET client_encoding = 'UTF8';
CREATE TABLE "wörter" (id int PRIMARY KEY, w text DEFAULT 'größe');
INSERT INTO "wörter" SELECT n, 'ÄÖÜäöüßéÿ ' || n FROM generate_series(1, 300) n;
CREATE INDEX ON "wörter" (w);
CREATE INDEX ON "wörter" (upper(w));
COMMENT ON TABLE "wörter" IS 'é';
CREATE FUNCTION grüße() RETURNS text LANGUAGE sql AS 'SELECT ''grüße''::text';
\connect latin9
SET client_encoding = 'UTF8';
CREATE TABLE prices (p text);
INSERT INTO prices VALUES ('5 €'), ('Š');
\connect ascii
SET client_encoding = 'SQL_ASCII';
CREATE TABLE bytes (id int, t text);
INSERT INTO bytes VALUES (1, E'\xE4\xF6\xFC'), (2, E'\xC3\xA4'), (3, E'\x80\xFF');
CREATE INDEX ON bytes (t);
\connect euc_jp
SET client_encoding = 'UTF8';
CREATE TABLE "日本" (t text PRIMARY KEY);
INSERT INTO "日本" SELECT '漢字かな' || n FROM generate_series(1, 100) n;
\connect mixed
CREATE TABLE mixed (t text PRIMARY KEY);
INSERT INTO mixed SELECT 'Ä' || n FROM generate_series(1, 100) n;
CREATE INDEX ON mixed (lower(t));
\connect spaced
CREATE TABLE in_default (a int PRIMARY KEY, t text);
INSERT INTO in_default SELECT n, repeat('x', n) FROM generate_series(1, 500) n;
CREATE TABLE in_pg_default (a int) TABLESPACE pg_default;
CREATE TABLE in_odd (a int PRIMARY KEY) TABLESPACE "Odd space, with ""quotes""";
INSERT INTO in_odd VALUES (1);
\connect -reuse-previous=on "dbname='dbname=postgres port=1'"
CREATE TABLE named_as_a_connection (a int PRIMARY KEY);
INSERT INTO named_as_a_connection VALUES (1);
\connect "a database whose name takes 63 bytes, the most that a name has "
CREATE TABLE t (a int PRIMARY KEY);
\connect " "
CREATE TABLE t (a int PRIMARY KEY);
INSERT INTO t VALUES (1);
\if :source_15
\connect icu
CREATE TABLE sorted (t text PRIMARY KEY);
INSERT INTO sorted SELECT 'Wort ' || n FROM generate_series(1, 300) n;
\endif
\if :source_16
\connect icu_rules
CREATE TABLE sorted (t text PRIMARY KEY);
INSERT INTO sorted SELECT 'word ' || n FROM generate_series(1, 300) n;
\endif
\if :source_17
\connect builtin
CREATE TABLE sorted (t text PRIMARY KEY, CHECK (upper(t) = upper(t)));
INSERT INTO sorted SELECT 'Wort ' || n FROM generate_series(1, 300) n;
CREATE INDEX ON sorted (lower(t));
\endif
\if :source_18
\connect full_case
CREATE TABLE sorted (t text PRIMARY KEY);
INSERT INTO sorted SELECT 'Straße ' || n FROM generate_series(1, 300) n;
\endif
-- An event trigger that refuses whatever it can must not stand in the way of an upgrade.
\connect "Ödd ""name"", it's \ $1 % 'db' {}"
CREATE TABLE odd_table (a int);
INSERT INTO odd_table SELECT generate_series(1, 100);
CREATE INDEX ON odd_table (a);
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN IF tg_tag NOT LIKE '%EXTENSION' THEN RAISE 'nobody changes definitions here'; END IF; END$$;
CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();
