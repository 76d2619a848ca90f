-- Foreign data: wrappers with and without a handler, the server itself, files. Publications and subscriptions.
\connect regress
CREATE SCHEMA foreigners;
SET search_path = foreigners, public;
CREATE EXTENSION postgres_fdw SCHEMA foreigners;
CREATE EXTENSION file_fdw;
CREATE FOREIGN DATA WRAPPER bare OPTIONS (a 'it''s', "b c" 'x');
CREATE FOREIGN DATA WRAPPER validated VALIDATOR postgresql_fdw_validator;
CREATE SERVER bare_server TYPE 'kind' VERSION '1.2' FOREIGN DATA WRAPPER bare OPTIONS (host 'nowhere');
CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', dbname 'regress', port :'port', use_remote_estimate 'true', fetch_size '77', extensions 'postgres_fdw');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER "Odd ""server""" FOREIGN DATA WRAPPER validated OPTIONS (dbname 'a "b"');
CREATE USER MAPPING FOR clerk SERVER itself OPTIONS (user 'clerk', password 'it''s a \secret');
CREATE USER MAPPING FOR PUBLIC SERVER bare_server;
CREATE USER MAPPING FOR "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts" SERVER bare_server OPTIONS (a 'b');
CREATE USER MAPPING FOR postgres SERVER itself;
CREATE FOREIGN TABLE remote_rows (id int OPTIONS (column_name 'id') NOT NULL, alpha int, b text COLLATE "C" DEFAULT 'x', CHECK (id > 0)) SERVER itself OPTIONS (schema_name 'views', table_name 'base', updatable 'false');
ALTER FOREIGN TABLE remote_rows ALTER alpha OPTIONS (ADD column_name 'alpha'), ALTER b SET STATISTICS 7;
CREATE FOREIGN TABLE from_file (line text) SERVER files OPTIONS (filename '/etc/passwd', format 'csv', delimiter ':', header 'false');
CREATE FOREIGN TABLE bare_table (a int OPTIONS ("x y" 'z')) SERVER bare_server OPTIONS (t 'u');
CREATE TABLE over_there (id int, t text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE over_there_1 PARTITION OF over_there FOR VALUES FROM (0) TO (10) SERVER itself OPTIONS (table_name 'nowhere');
CREATE TABLE over_there_2 PARTITION OF over_there FOR VALUES FROM (10) TO (20);
CREATE TABLE at_home (a int);
CREATE FOREIGN TABLE inherits_abroad () INHERITS (at_home) SERVER bare_server;
CREATE TRIGGER of_foreign BEFORE INSERT ON remote_rows FOR EACH ROW EXECUTE FUNCTION triggers.notes('foreign');
CREATE VIEW of_remote AS SELECT id, b FROM remote_rows WHERE id < 10;
GRANT USAGE ON FOREIGN DATA WRAPPER bare TO clerk WITH GRANT OPTION;
GRANT USAGE ON FOREIGN SERVER itself, bare_server TO nobody;
GRANT SELECT, INSERT ON remote_rows TO clerk;
ALTER SERVER itself OWNER TO "select";
ALTER FOREIGN DATA WRAPPER bare OWNER TO "select";
COMMENT ON FOREIGN DATA WRAPPER bare IS 'a wrapper';
COMMENT ON SERVER itself IS 'a server';
COMMENT ON FOREIGN TABLE remote_rows IS 'a foreign table';
COMMENT ON COLUMN remote_rows.id IS 'of a foreign table';
SELECT count(*) FROM remote_rows;

CREATE TABLE published (id int PRIMARY KEY, a int, b text);
INSERT INTO published VALUES (1, 2, 'x');
CREATE PUBLICATION of_nothing;
CREATE PUBLICATION of_some FOR TABLE published, parts.by_range WITH (publish = 'insert, update', publish_via_partition_root = true);
CREATE PUBLICATION "Odd ""publication""" FOR TABLE ONLY published WITH (publish = 'truncate');
CREATE PUBLICATION of_all FOR ALL TABLES WITH (publish = 'insert');
ALTER PUBLICATION of_some OWNER TO "select";
COMMENT ON PUBLICATION of_some IS 'a publication';
\if :source_15
CREATE PUBLICATION of_parts FOR TABLE published (id, b) WHERE (id > 3 AND b <> 'it''s');
CREATE PUBLICATION of_schemas FOR TABLES IN SCHEMA tables, "Odd ""schema"", it's \ $1 %s {} ünïcödé 漢字" WITH (publish = 'insert');
\endif
\if :source_18
CREATE PUBLICATION of_generated FOR TABLE tables.generated WITH (publish = 'insert', publish_generated_columns = stored);
\endif
-- A physical clone must not have the subscriptions of its source, which the precheck refuses.
\if :clone
\else
CREATE SUBSCRIPTION of_nobody CONNECTION 'host=127.0.0.1 port=1 dbname=nothing password=secret' PUBLICATION a, "b c" WITH (connect = false, slot_name = NONE, synchronous_commit = 'local');
COMMENT ON SUBSCRIPTION of_nobody IS 'a subscription';
ALTER SUBSCRIPTION of_nobody OWNER TO "select";
\if :source_14
CREATE SUBSCRIPTION of_slot CONNECTION 'dbname=nothing port=1' PUBLICATION a WITH (connect = false, slot_name = 'a_slot', binary = true, streaming = true);
\endif
\if :source_16
CREATE SUBSCRIPTION of_origin CONNECTION 'dbname=nothing port=1' PUBLICATION a WITH (connect = false, slot_name = 'another', origin = none, run_as_owner = true, password_required = false, disable_on_error = true, two_phase = true);
\endif
\endif
