-- Names: blanks, quotes, backslashes, newlines, other scripts, key words, as long as they may be.
\connect regress
CREATE SCHEMA "Odd ""schema"", it's \ $1 %s {} ünïcödé 漢字";
SET search_path = "Odd ""schema"", it's \ $1 %s {} ünïcödé 漢字", public;
CREATE TABLE "select" ("from" int PRIMARY KEY, "a b" text, "Ünïcödé" text, "c""d" int, "e'f" int, "g\h" int, "i
j" int, "%s" int, " " int, "." int, "$1" int, "ctid_" int);
INSERT INTO "select" VALUES (1, 'x', 'y', 1, 2, 3, 4, 5, 6, 7, 8, 9);
CREATE TABLE "sixty-three bytes of a name, of which each letter counts, no more" (a int);
CREATE TABLE "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüa" ("äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüb" int CHECK ("äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüb" > 0), UNIQUE ("äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüb"));
CREATE TABLE "a
new line" (id serial PRIMARY KEY, "tab	" text);
INSERT INTO "a
new line" ("tab	") VALUES (E'\\.'), (E'a\tb'), (NULL), ('\N'), (E'\r\n');
CREATE TABLE "; DROP TABLE x; --" (a int);
CREATE TABLE "\" (a int);
CREATE TABLE "'" (a int);
CREATE TABLE """" (a int);
CREATE TABLE "🐘" (a int);
CREATE TYPE "Odd ""type""" AS ENUM ('a''b', 'c"d', 'e\f', E'g\nh', '漢');
CREATE TABLE "uses odd type" (a "Odd ""type"""[] DEFAULT ARRAY['c"d'::"Odd ""type"""]);
INSERT INTO "uses odd type" VALUES (DEFAULT), (enum_range(NULL::"Odd ""type"""));
CREATE SEQUENCE "Odd ""sequence"" \";
CREATE VIEW "Odd ""view"" %" AS SELECT "from" AS "from "" odd" FROM "select";
CREATE FUNCTION "Odd ""function"" (), int"("a "" b" int) RETURNS int LANGUAGE sql AS $$SELECT "a "" b"$$;
CREATE COLLATION "Odd ""collation""" FROM "C";
CREATE TABLE quoted (a text COLLATE "Odd ""collation""");
COMMENT ON TABLE "select" IS E'it''s a\ncomment \\ with "quotes" and 漢字 $$';
COMMENT ON COLUMN "select"."i
j" IS 'of two lines';
COMMENT ON SCHEMA "Odd ""schema"", it's \ $1 %s {} ünïcödé 漢字" IS '';
CREATE SCHEMA "a schema whose name takes the sixty-three bytes there may be...";
CREATE SCHEMA empty;
CREATE TABLE "a schema whose name takes the sixty-three bytes there may be..."."key=value" ("a=b" int);
-- The same name in several schemas.
CREATE TABLE public.rows (a int);
CREATE TABLE empty."pg_class" (a int);
