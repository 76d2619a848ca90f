-- Text search: parsers, templates, dictionaries, configurations. Collations.
\connect regress
CREATE SCHEMA search;
SET search_path = search, public;
CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE own_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY own_simple (TEMPLATE = own_template, STOPWORDS = english, ACCEPT = false);
CREATE TEXT SEARCH DICTIONARY synonyms (TEMPLATE = synonym, SYNONYMS = synonym_sample, CASESENSITIVE = 1);
CREATE TEXT SEARCH DICTIONARY thesaurus (TEMPLATE = thesaurus, DICTFILE = thesaurus_sample, DICTIONARY = english_stem);
CREATE TEXT SEARCH DICTIONARY ispell (TEMPLATE = ispell, DICTFILE = ispell_sample, AFFFILE = ispell_sample);
CREATE TEXT SEARCH DICTIONARY hunspell (TEMPLATE = ispell, DICTFILE = hunspell_sample_num, AFFFILE = hunspell_sample_num);
CREATE TEXT SEARCH DICTIONARY snow (TEMPLATE = snowball, LANGUAGE = german, STOPWORDS = german);
CREATE TEXT SEARCH DICTIONARY "Odd ""dictionary""" (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION own_config (PARSER = own_parser);
ALTER TEXT SEARCH CONFIGURATION own_config ADD MAPPING FOR asciiword, word WITH synonyms, ispell, own_simple, english_stem;
CREATE TEXT SEARCH CONFIGURATION changed (COPY = english);
ALTER TEXT SEARCH CONFIGURATION changed ALTER MAPPING REPLACE english_stem WITH snow;
ALTER TEXT SEARCH CONFIGURATION changed DROP MAPPING FOR email, url, host;
ALTER TEXT SEARCH CONFIGURATION changed OWNER TO keeper;
ALTER TEXT SEARCH DICTIONARY snow OWNER TO clerk;
COMMENT ON TEXT SEARCH PARSER own_parser IS 'a parser';
COMMENT ON TEXT SEARCH TEMPLATE own_template IS 'a template';
COMMENT ON TEXT SEARCH DICTIONARY snow IS 'a dictionary';
COMMENT ON TEXT SEARCH CONFIGURATION changed IS 'a configuration';
CREATE TABLE texts (id int, t text, v tsvector, g tsvector GENERATED ALWAYS AS (to_tsvector('search.changed', coalesce(t, ''))) STORED);
INSERT INTO texts (id, t) SELECT n, 'the books of skies and indices ' || n || ' Postgres-Datenbank https://example.org/x?y=' || n FROM generate_series(1, 300) n;
UPDATE texts SET v = to_tsvector('search.own_config', t);
CREATE INDEX ON texts USING gin (v);
CREATE INDEX ON texts USING gin (g) WITH (fastupdate = off);
CREATE INDEX ON texts USING gist (to_tsvector('search.changed', t));
CREATE TRIGGER keeps_v BEFORE INSERT OR UPDATE ON texts FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('v', 'search.own_config', 't');
ALTER DATABASE regress SET default_text_search_config = 'search.changed';

CREATE COLLATION plain_c FROM "C";
CREATE COLLATION by_libc (provider = libc, lc_collate = 'C.UTF-8', lc_ctype = 'C');
CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE COLLATION "Odd ""numeric""" (provider = icu, locale = 'en-u-kn-true');
COMMENT ON COLLATION blind IS 'to case and accents';
ALTER COLLATION german OWNER TO keeper;
\if :source_16
CREATE COLLATION ruled (provider = icu, locale = 'en', rules = '&b < a');
\endif
\if :source_17
CREATE COLLATION built_in (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE sorted_built_in (t text COLLATE built_in PRIMARY KEY);
INSERT INTO sorted_built_in SELECT 'w' || n FROM generate_series(1, 300) n;
\endif
CREATE TABLE sorted (id int, g text COLLATE german, b text COLLATE blind UNIQUE, n text COLLATE "Odd ""numeric""", c text COLLATE by_libc, d text);
INSERT INTO sorted SELECT n, 'Wort ' || n, 'Wort ' || n, 'n' || n, 'c' || n, 'd' || n FROM generate_series(1, 500) n;
INSERT INTO sorted VALUES (0, 'Äpfel', 'Äpfel', 'n0', 'Ä', 'Ä');
CREATE INDEX ON sorted (g);
CREATE INDEX ON sorted (n DESC, id);
CREATE INDEX ON sorted (c);
CREATE INDEX ON sorted (d COLLATE german) WHERE d COLLATE blind = 'd7';
CREATE INDEX ON sorted USING hash (b);
-- Both sides of a reference have the same collation: from 18 on that is asked for.
CREATE TABLE refers_blindly (b text COLLATE blind REFERENCES sorted (b));
INSERT INTO refers_blindly VALUES ('apfel');
CREATE TABLE parted_by_text (t text COLLATE german) PARTITION BY RANGE (t);
CREATE TABLE parted_a PARTITION OF parted_by_text FOR VALUES FROM ('a') TO ('m');
INSERT INTO parted_by_text VALUES ('Ähre');
CREATE DOMAIN blind_text AS text COLLATE blind;
CREATE TYPE german_range AS RANGE (subtype = text, collation = german);
