-- Owners, privileges, default privileges, row security, comments, large objects.
\connect regress
CREATE SCHEMA rights AUTHORIZATION keeper;
SET search_path = rights, public;
SET ROLE keeper;
CREATE TABLE owned (id int PRIMARY KEY, secret text, open text);
INSERT INTO owned VALUES (1, 's', 'o');
CREATE SEQUENCE numbered;
CREATE FUNCTION secretive() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE kind AS ENUM ('a');
CREATE DOMAIN dom AS int;
CREATE VIEW visible AS SELECT id, open FROM owned;
GRANT USAGE ON SCHEMA rights TO clerk WITH GRANT OPTION;
GRANT CREATE ON SCHEMA rights TO "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts";
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON owned TO clerk WITH GRANT OPTION;
GRANT SELECT (id, open), UPDATE (open), INSERT (id), REFERENCES (id) ON owned TO nobody, PUBLIC;
GRANT USAGE, SELECT ON SEQUENCE numbered TO clerk;
GRANT UPDATE ON SEQUENCE numbered TO PUBLIC;
REVOKE EXECUTE ON FUNCTION secretive() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION secretive() TO clerk WITH GRANT OPTION;
REVOKE USAGE ON TYPE kind, dom FROM PUBLIC;
GRANT USAGE ON DOMAIN dom TO "key=value";
GRANT ALL ON visible TO "select";
REVOKE DELETE, TRUNCATE ON owned FROM keeper;
RESET ROLE;
SET ROLE clerk;
GRANT SELECT ON rights.owned TO "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts";
GRANT EXECUTE ON FUNCTION rights.secretive() TO nobody;
RESET ROLE;
CREATE TABLE nothing_for_anybody (a int);
REVOKE ALL ON nothing_for_anybody FROM postgres;
CREATE TABLE everything (a int);
GRANT ALL ON everything TO nobody WITH GRANT OPTION;
GRANT ALL ON ALL TABLES IN SCHEMA tables TO clerk;
GRANT ALL (a) ON everything TO clerk;
\if :source_17
GRANT MAINTAIN ON everything TO clerk;
REVOKE MAINTAIN ON nothing_for_anybody FROM PUBLIC;
\endif
-- Of the system's own: pg_dump writes what differs from initdb (pg_init_privs).
REVOKE EXECUTE ON FUNCTION pg_sleep(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO clerk;
GRANT SELECT ON pg_authid TO keeper;
GRANT SELECT (rolname, rolpassword) ON pg_authid TO nobody;
REVOKE SELECT ON pg_roles FROM PUBLIC;
REVOKE USAGE ON SCHEMA information_schema FROM PUBLIC;
GRANT USAGE ON SCHEMA information_schema TO clerk;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
-- Default privileges, by role, for a schema and for all.
ALTER DEFAULT PRIVILEGES FOR ROLE keeper GRANT SELECT ON TABLES TO clerk WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE keeper IN SCHEMA rights GRANT INSERT, UPDATE ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE keeper REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts" GRANT USAGE ON SEQUENCES TO nobody;
ALTER DEFAULT PRIVILEGES FOR ROLE clerk GRANT USAGE ON SCHEMAS TO nobody;
ALTER DEFAULT PRIVILEGES FOR ROLE clerk REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM postgres;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO postgres;
SET ROLE keeper;
CREATE TABLE by_default (a int);
RESET ROLE;
\if :source_18
ALTER DEFAULT PRIVILEGES FOR ROLE clerk GRANT SELECT ON LARGE OBJECTS TO nobody;
\endif
-- Row security.
CREATE TABLE secured (id int PRIMARY KEY, who name DEFAULT current_user, level int);
INSERT INTO secured VALUES (1, 'clerk', 1), (2, 'nobody', 5);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secured USING (who = current_user) WITH CHECK (level < 3);
CREATE POLICY reads ON secured AS PERMISSIVE FOR SELECT TO clerk, nobody USING (level < (SELECT max(id) FROM owned));
CREATE POLICY never ON secured AS RESTRICTIVE FOR DELETE TO PUBLIC USING (false);
CREATE POLICY adds ON secured FOR INSERT TO "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts" WITH CHECK (true);
CREATE POLICY "Odd ""policy""" ON secured FOR UPDATE USING (id > 0) WITH CHECK (EXISTS (SELECT FROM owned WHERE owned.id = secured.id));
COMMENT ON POLICY own ON secured IS 'each his own';
CREATE TABLE forced_only (a int);
ALTER TABLE forced_only FORCE ROW LEVEL SECURITY;
CREATE TABLE with_policy_off (a int);
CREATE POLICY unused ON with_policy_off USING (true);
-- Owners of all sorts.
ALTER TABLE everything OWNER TO nobody;
ALTER SCHEMA empty OWNER TO clerk;
ALTER FUNCTION code.plain(int, text, int[]) OWNER TO keeper;
ALTER TYPE types.mood OWNER TO keeper;
ALTER OPERATOR code.!# (NONE, code.grade) OWNER TO clerk;
ALTER AGGREGATE code.simple_sum(int) OWNER TO clerk;
ALTER STATISTICS indexes.dependent OWNER TO keeper;
ALTER EVENT TRIGGER on_end OWNER TO "select";
ALTER MATERIALIZED VIEW views.summed OWNER TO keeper;
ALTER LANGUAGE own_language OWNER TO keeper;
-- Comments that have not come up.
COMMENT ON TABLE tables.child IS 'it''s a table';
COMMENT ON COLUMN tables.child.a IS 'a column';
COMMENT ON CONSTRAINT later ON tables.child IS 'a constraint';
COMMENT ON SEQUENCE tables.loose IS 'a sequence';
COMMENT ON TYPE types.mood IS 'a type';
COMMENT ON DOMAIN types.percent IS 'a domain';
COMMENT ON COLUMN types.address.street IS 'of a composite';
COMMENT ON SCHEMA public IS 'a comment of its own';
COMMENT ON EXTENSION plpgsql IS 'another comment';
-- Large objects.
SELECT lo_from_bytea(4711, '\x00ff00ff') AS a \gset
SELECT lo_from_bytea(4712, decode(repeat('deadbeef', 100000), 'hex')) AS b \gset
SELECT lo_create(4713) AS c \gset
SELECT count(lo_from_bytea(0, convert_to('large object ' || n, 'UTF8'))) FROM generate_series(1, 200) n;
ALTER LARGE OBJECT 4711 OWNER TO clerk;
GRANT SELECT, UPDATE ON LARGE OBJECT 4711 TO nobody WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 4712 TO PUBLIC;
COMMENT ON LARGE OBJECT 4712 IS 'it''s large';
SELECT lo_put(4713, 3000000, '\x01');
CREATE TABLE points_to (id int, o oid);
INSERT INTO points_to VALUES (1, 4711), (2, 4712);
-- Security labels need a provider, and no package has one that takes labels without SELinux.
