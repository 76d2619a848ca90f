-- The commands that were captured on this side (outcome is null), and those that came from the other. A number
-- may be given on both sides at once, where somebody changes definitions on the side that follows; a key may not.
CREATE TABLE IF NOT EXISTS pgleap.ddl (
	id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	number      bigint NOT NULL,
	at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	role        text NOT NULL,
	search_path text NOT NULL,
	settings    jsonb NOT NULL,
	tag         text NOT NULL,
	objects     text NOT NULL,
	tables      text[], -- made by the command
	command     text NOT NULL,
	obstacle    text, -- why it cannot be replayed
	outcome     text CHECK (outcome IN ('replayed', 'failed', 'left out', 'settled')),
	error       text,
	ended_at    timestamptz
);
CREATE SEQUENCE IF NOT EXISTS pgleap.ddl_number OWNED BY pgleap.ddl.number;
REVOKE ALL ON pgleap.ddl, pgleap.ddl_number FROM PUBLIC;

-- Lets our subscription take tables that were made after it. ALTER SUBSCRIPTION ... REFRESH cannot be run
-- within a transaction; without rows to copy this is all that it would do (subscriptioncmds.c,
-- AlterSubscription_refresh). The worker looks tables up as it meets them.
CREATE FUNCTION pgleap.subscribe_tables(made text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $ddl$
	INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)
	SELECT s.oid, c.oid, 'r'
	FROM pg_class c
	JOIN pg_subscription s ON s.oid = coalesce(
		(SELECT w.subid FROM pg_stat_get_subscription(NULL) AS w WHERE w.pid = pg_backend_pid()),
		(SELECT o.oid FROM pg_subscription o JOIN pg_database d ON d.oid = o.subdbid
			WHERE d.datname = current_database() AND o.subname IN ('pgleap_forward', 'pgleap_back') AND o.subenabled))
	WHERE c.oid IN (SELECT to_regclass(m) FROM unnest(made) AS m) AND c.relkind = 'r' AND c.relpersistence = 'p'
		AND NOT EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srrelid = c.oid)
$ddl$;

-- Code that a replayed command has called may leave code that runs when the transaction ends, by then as the
-- session's superuser: the query of a cursor, and before 18 a deferred trigger that fires here. What triggers wait
-- cannot be seen; one whose events wait cannot be dropped.
CREATE FUNCTION pgleap.refuse_code_left() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
BEGIN
	IF EXISTS (SELECT FROM pg_cursors WHERE is_holdable) THEN
		RAISE 'it leaves a cursor WITH HOLD';
	ELSIF EXISTS (SELECT FROM pg_trigger WHERE tgdeferrable AND tgenabled IN ('A', 'R')) THEN
		RAISE 'there is a deferrable trigger that is ENABLE ALWAYS or ENABLE REPLICA';
	END IF;
END $ddl$;

-- Runs a command as its role. The session is a superuser's, to whom code that the command calls (a default,
-- a check) must not return: within a SECURITY DEFINER function neither role nor session user can be set.
CREATE FUNCTION pgleap.run_ddl(as_role text, path text, settings jsonb, command text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	clauses text;
BEGIN
	SELECT string_agg(format(' SET %I TO %L', s.name, c.value), '') INTO clauses
	FROM jsonb_each_text(settings) AS c JOIN pg_settings s ON s.name = c.key AND s.setting <> c.value;
	EXECUTE concat($create$
		CREATE FUNCTION pgleap.run_ddl_now(path text, command text) RETURNS void
		LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp $create$, clauses, $create$ AS $now$
		BEGIN
			PERFORM pg_catalog.set_config('search_path', path, true);
			EXECUTE command;
		END $now$ $create$);
	EXECUTE format('ALTER FUNCTION pgleap.run_ddl_now(text, text) OWNER TO %I', as_role);
	EXECUTE 'SELECT pgleap.run_ddl_now($1, $2)' USING path, command;
	RESET ALL; -- a search_path that was set outlasts the function, and would lead us to other functions of that name
	SET LOCAL search_path = pg_catalog, pg_temp;
	PERFORM pgleap.refuse_code_left();
	DROP FUNCTION IF EXISTS pgleap.run_ddl_now(text, text); -- after DROP OWNED it is gone
END $ddl$;

-- What could not be made here does not keep the sides apart any more when it is undone there, or made again in a way
-- that is possible here: the command that drops an object, or makes it anew, settles those that were to make it, and
-- with a drop whatever else was to be done to it. Tells whether there were any.
CREATE FUNCTION pgleap.settle_superseded(later bigint, later_tag text, objects text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	object text := regexp_replace(objects, '^(.+), \1$', '\1'); -- CREATE OR REPLACE VIEW names it twice
BEGIN
	UPDATE pgleap.ddl AS d SET outcome = 'settled', ended_at = clock_timestamp()
	WHERE d.outcome IN ('failed', 'left out') AND d.number < later
		AND d.tag = regexp_replace(later_tag, '^DROP ', 'CREATE ') AND length(object) < 500 -- else it is cut off
		AND (d.objects = object OR d.tag = 'CREATE TABLE' AND cardinality(d.tables) = 1 AND object = 'table ' || d.tables[1]);
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE pgleap.ddl AS d SET outcome = 'settled', ended_at = clock_timestamp()
	WHERE d.outcome IN ('failed', 'left out') AND d.number < later AND later_tag ~ '^DROP ' AND d.objects = object;
	RETURN true;
END $ddl$;

-- Replays a command as it arrives, so that it takes its place among the changes of rows. A failure is
-- recorded and the worker goes on, but for failures that pass by themselves: those it meets by starting over.
CREATE FUNCTION pgleap.replay_ddl() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	missing boolean := false; -- what the command was to drop
BEGIN
	PERFORM setval('pgleap.ddl_number', NEW.number) FROM pgleap.ddl_number AS n WHERE n.last_value < NEW.number OR NOT n.is_called;
	IF NEW.obstacle IS NOT NULL THEN
		NEW.outcome := 'left out';
	ELSE
		BEGIN
			PERFORM pgleap.run_ddl(NEW.role, NEW.search_path, NEW.settings, NEW.command);
			PERFORM pgleap.subscribe_tables(NEW.tables);
			NEW.outcome := 'replayed';
		EXCEPTION WHEN OTHERS THEN
			IF left(SQLSTATE, 2) IN ('40', '53', '57', '58') OR SQLSTATE = '55P03' THEN
				RAISE;
			END IF;
			NEW.outcome := 'failed';
			NEW.error := SQLERRM;
			missing := NEW.tag ~ '^DROP ' AND SQLSTATE IN ('3F000', '42704', '42883', '42P01'); -- undefined_...
		END;
		IF (missing OR NEW.outcome = 'replayed') AND pgleap.settle_superseded(NEW.number, NEW.tag, NEW.objects) AND missing THEN
			NEW.outcome := 'settled'; -- it was never made here
		END IF;
	END IF;
	NEW.ended_at := clock_timestamp();
	RETURN NEW;
END $ddl$;

-- For a person who has done by hand what a command does: in one transaction with it, so that no row of a
-- new table is passed over.
CREATE FUNCTION pgleap.settle_ddl(which bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	made text[];
BEGIN
	UPDATE pgleap.ddl AS d SET outcome = 'settled', ended_at = clock_timestamp()
	WHERE d.number = which AND d.outcome IN ('failed', 'left out')
	RETURNING d.tables INTO made;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM pgleap.subscribe_tables(made);
	RETURN true;
END $ddl$;

DROP TRIGGER IF EXISTS replay ON pgleap.ddl;
CREATE TRIGGER replay BEFORE INSERT ON pgleap.ddl FOR EACH ROW EXECUTE FUNCTION pgleap.replay_ddl();
ALTER TABLE pgleap.ddl ENABLE REPLICA TRIGGER replay;
