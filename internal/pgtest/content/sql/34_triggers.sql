-- Triggers and event triggers of every kind.
\connect regress
CREATE SCHEMA triggers;
SET search_path = triggers, public;

CREATE TABLE watched (id int PRIMARY KEY, a int, b text);
CREATE TABLE seen (what text);
CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO triggers.seen VALUES (format('%s %s %s %s %s', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, TG_ARGV::text));
    RETURN CASE TG_OP WHEN 'DELETE' THEN old ELSE new END;
END
$$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OF a, b OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION notes('one', 'it''s', '\x', '');
CREATE TRIGGER after_row AFTER UPDATE ON watched FOR EACH ROW WHEN (old.a IS DISTINCT FROM new.a AND new.b <> 'x') EXECUTE FUNCTION notes();
CREATE TRIGGER before_all BEFORE TRUNCATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION notes();
CREATE TRIGGER with_tables AFTER UPDATE ON watched REFERENCING OLD TABLE AS before NEW TABLE AS "Odd after" FOR EACH STATEMENT EXECUTE FUNCTION notes();
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION notes();
CREATE CONSTRAINT TRIGGER of_other AFTER INSERT ON watched FROM seen NOT DEFERRABLE FOR EACH ROW EXECUTE FUNCTION notes();
CREATE TRIGGER "Odd ""trigger"" näme" AFTER DELETE ON watched FOR EACH STATEMENT EXECUTE FUNCTION notes();
CREATE TRIGGER always AFTER INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION notes();
CREATE TRIGGER replica AFTER INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION notes();
CREATE TRIGGER off AFTER INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION notes();
ALTER TABLE watched ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER off;
CREATE TRIGGER no_change BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
COMMENT ON TRIGGER before_row ON watched IS 'a trigger';
CREATE VIEW over AS SELECT * FROM watched;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON over FOR EACH ROW EXECUTE FUNCTION notes('instead');
INSERT INTO watched SELECT n, n, 'b' FROM generate_series(1, 5) n;
UPDATE watched SET a = a + 1 WHERE id > 3;
DELETE FROM watched WHERE id = 5;
INSERT INTO over VALUES (7, 7, 'over');
-- On partitioned tables each partition has its own, which can be off apart.
CREATE TABLE split (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (10);
CREATE TABLE split_2 PARTITION OF split FOR VALUES FROM (10) TO (20);
CREATE TRIGGER of_split AFTER INSERT ON split FOR EACH ROW EXECUTE FUNCTION notes('split');
CREATE TRIGGER of_split_off AFTER INSERT ON split FOR EACH ROW EXECUTE FUNCTION notes('split');
ALTER TABLE split_2 DISABLE TRIGGER of_split;
ALTER TABLE split DISABLE TRIGGER of_split_off;
CREATE TRIGGER of_one BEFORE INSERT ON split_1 FOR EACH ROW EXECUTE FUNCTION notes();
INSERT INTO split VALUES (1, 1), (11, 2);
ALTER TABLE seen DISABLE TRIGGER USER;

CREATE FUNCTION event_notes() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN PERFORM tg_event || tg_tag; END$$;
CREATE EVENT TRIGGER on_start ON ddl_command_start EXECUTE FUNCTION event_notes();
CREATE EVENT TRIGGER on_end ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE', 'ALTER TABLE') EXECUTE FUNCTION event_notes();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION event_notes();
CREATE EVENT TRIGGER on_rewrite ON table_rewrite EXECUTE FUNCTION event_notes();
CREATE EVENT TRIGGER "Odd ""event""" ON sql_drop EXECUTE FUNCTION event_notes();
ALTER EVENT TRIGGER on_rewrite ENABLE ALWAYS;
ALTER EVENT TRIGGER on_drop ENABLE REPLICA;
ALTER EVENT TRIGGER "Odd ""event""" DISABLE;
COMMENT ON EVENT TRIGGER on_end IS 'at the end';
\if :source_17
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION event_notes();
ALTER EVENT TRIGGER on_login ENABLE ALWAYS;
\endif
-- One that refuses whatever it can: it must not stand in the way of an upgrade.
\connect "Ödd ""name"", it's \ $1 % 'db' {}"
CREATE TABLE odd_table (a int);
INSERT INTO odd_table SELECT generate_series(1, 100);
CREATE INDEX ON odd_table (a);
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN IF tg_tag NOT LIKE '%EXTENSION' THEN RAISE 'nobody changes definitions here'; END IF; END$$;
CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();
