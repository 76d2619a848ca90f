-- Roles, tablespaces, databases, and what is set for them: all that pg_dumpall writes before the databases.

-- Roles.
CREATE ROLE keeper NOLOGIN CREATEDB CREATEROLE;
CREATE ROLE clerk LOGIN PASSWORD 'md5c5d47b0a1e0a0f5e3e3a0a4b7f9c1d2e' VALID UNTIL '2031-02-03 04:05:06+00' CONNECTION LIMIT 7;
SET password_encryption = 'scram-sha-256';
CREATE ROLE "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts" LOGIN PASSWORD 'a secret' NOINHERIT BYPASSRLS REPLICATION;
CREATE ROLE "a role whose name takes the sixty-three bytes that there may be";
CREATE ROLE nobody NOSUPERUSER NOLOGIN;
CREATE ROLE "key=value";
CREATE ROLE "select" SUPERUSER;
GRANT keeper TO clerk WITH ADMIN OPTION;
GRANT nobody TO clerk;
GRANT pg_monitor, pg_signal_backend, pg_read_server_files TO keeper;
SET ROLE "select";
GRANT "key=value" TO "a role whose name takes the sixty-three bytes that there may be";
RESET ROLE;
\if :source_14
GRANT pg_read_all_data TO clerk;
\endif
\if :source_16
GRANT "key=value" TO nobody WITH INHERIT FALSE, SET FALSE;
\endif
\if :source_17
GRANT pg_maintain TO keeper;
\endif
ALTER ROLE clerk SET search_path = "$user", public, "a b", "c""d";
ALTER ROLE clerk SET work_mem = '5MB';
ALTER ROLE clerk SET application_name = 'it''s \ a "clerk"';
ALTER ROLE nobody SET default_transaction_isolation = 'serializable';
ALTER ROLE ALL SET idle_in_transaction_session_timeout = '1h';
ALTER ROLE "key=value" SET extra.setting = 'a custom one';
COMMENT ON ROLE clerk IS 'who writes';
COMMENT ON ROLE "select" IS E'a comment\nof two lines, with a '' and a \\';
\if :source_15
GRANT SET ON PARAMETER work_mem TO nobody;
GRANT SET, ALTER SYSTEM ON PARAMETER log_min_duration_statement TO clerk WITH GRANT OPTION;
GRANT SET ON PARAMETER extra.setting TO PUBLIC;
\endif

-- Tablespaces.
CREATE TABLESPACE aside OWNER keeper LOCATION :'space1' WITH (random_page_cost = 1.5, seq_page_cost = 0.5, effective_io_concurrency = 7);
CREATE TABLESPACE "Odd space, with ""quotes""" LOCATION :'space2';
CREATE TABLESPACE "empty" LOCATION :'space3';
COMMENT ON TABLESPACE aside IS 'a faster disk';
GRANT CREATE ON TABLESPACE aside TO clerk, PUBLIC;
GRANT CREATE ON TABLESPACE "Odd space, with ""quotes""" TO nobody WITH GRANT OPTION;

-- Databases: other owners, encodings, locales, names, tablespaces, settings.
CREATE DATABASE regress OWNER keeper;
\if :few
\else
CREATE DATABASE contrib TEMPLATE template0;
CREATE DATABASE latin1 OWNER clerk TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE latin9 TEMPLATE template0 ENCODING 'LATIN9' LC_COLLATE 'POSIX' LC_CTYPE 'POSIX';
CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE euc_jp TEMPLATE template0 ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE mixed TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8';
CREATE DATABASE spaced TABLESPACE aside;
CREATE DATABASE "Ödd ""name"", it's \ $1 % 'db' {}" OWNER "Auditor, with ""quotes"" and 'apostrophes' \ and ümläuts";
CREATE DATABASE "dbname=postgres port=1";
CREATE DATABASE "a database whose name takes 63 bytes, the most that a name has ";
CREATE DATABASE " ";
CREATE DATABASE mold IS_TEMPLATE true;
CREATE DATABASE quiet CONNECTION LIMIT 3;
CREATE DATABASE shut CONNECTION LIMIT 0;
\if :source_15
CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LC_COLLATE 'C' LC_CTYPE 'C';
\endif
\if :source_16
CREATE DATABASE icu_rules TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '&b < a' LC_COLLATE 'C' LC_CTYPE 'C';
\endif
\if :source_17
CREATE DATABASE builtin TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C';
\endif
\if :source_18
CREATE DATABASE full_case TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST' LC_COLLATE 'C' LC_CTYPE 'C';
\endif
\endif
COMMENT ON DATABASE regress IS 'of everything something';
ALTER DATABASE regress SET search_path = "$user", public, tools;
ALTER DATABASE regress SET statement_timeout = '10min';
ALTER DATABASE regress SET DateStyle = 'German, DMY';
ALTER DATABASE regress SET timezone = 'Asia/Kathmandu';
ALTER DATABASE regress SET IntervalStyle = 'iso_8601';
ALTER DATABASE regress SET bytea_output = 'escape';
ALTER DATABASE regress SET extra_float_digits = 0;
ALTER ROLE clerk IN DATABASE regress SET lock_timeout = '7s';
GRANT CREATE ON DATABASE regress TO clerk WITH GRANT OPTION;
SET ROLE clerk;
GRANT CREATE ON DATABASE regress TO nobody;
RESET ROLE;
\if :few
\else
COMMENT ON DATABASE " " IS 'a blank';
ALTER DATABASE quiet SET default_transaction_read_only = on;
ALTER DATABASE "Ödd ""name"", it's \ $1 % 'db' {}" SET lc_messages = 'C';
ALTER DATABASE spaced SET default_tablespace = 'aside';
ALTER DATABASE shut SET row_security = off;
ALTER ROLE clerk IN DATABASE "Ödd ""name"", it's \ $1 % 'db' {}" SET search_path = "x, y";
REVOKE CONNECT ON DATABASE quiet FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE quiet TO clerk;
REVOKE TEMPORARY ON DATABASE latin1 FROM PUBLIC;
\endif

-- What is in template1 comes with every database from now on; the schema public is not as initdb left it.
\connect template1
CREATE SCHEMA tools AUTHORIZATION keeper;
CREATE TABLE tools.standard (id int PRIMARY KEY, what text);
INSERT INTO tools.standard VALUES (1, 'in the template');
\connect postgres
CREATE TABLE in_postgres (a int PRIMARY KEY);
INSERT INTO in_postgres VALUES (1), (2);
\if :few
\else
\connect mold
CREATE TABLE stencil (a int);
\connect postgres
CREATE DATABASE cast_of_mold TEMPLATE mold;
\connect quiet
SET default_transaction_read_only = off;
ALTER SCHEMA public OWNER TO clerk;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
COMMENT ON SCHEMA public IS 'not the standard one';
CREATE TABLE t (a int);
\connect cast_of_mold
DROP SCHEMA public CASCADE;
\connect mixed
GRANT CREATE ON SCHEMA public TO PUBLIC;
\endif
