CREATE FUNCTION pgleap.block_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	changed text;
	stack text;
BEGIN
	GET DIAGNOSTICS stack = PG_CONTEXT;
	CASE TG_EVENT
	WHEN 'ddl_command_start' THEN
		-- With CONCURRENTLY all is committed when the other events fire. It cannot be run from within another
		-- command (nothing stands above this function), nor together with others: the query is the command.
		IF strpos(stack, E'\n') = 0 AND current_query() ~* '\mconcurrently\M' THEN
			changed := 'what is done CONCURRENTLY';
		END IF;
	WHEN 'sql_drop' THEN
		SELECT string_agg(d.kind || ' ' || d.name, ', ') INTO changed
		FROM (SELECT d.kind, d.name FROM pgleap.ddl_dropped() AS d LIMIT 5) AS d;
	ELSE
		SELECT string_agg(concat_ws(' ', lower(c.kind), c.name), ', ') INTO changed
		FROM (SELECT c.kind, c.name FROM pgleap.ddl_changed() AS c LIMIT 5) AS c
		WHERE NOT pgleap.ddl_changes_nothing(TG_TAG);
		IF TG_TAG = 'DROP OWNED' THEN -- it may do no more than revoke
			changed := coalesce(changed, 'privileges');
		END IF;
	END CASE;
	IF changed IS NOT NULL THEN
		PERFORM pgleap.refuse_ddl(TG_TAG, format('Definitions stay as they are until the upgrade has ended: %s.', changed), {end});
	END IF;
END $ddl$;

CREATE EVENT TRIGGER pgleap_ddl_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'CREATE INDEX', 'DROP INDEX') EXECUTE FUNCTION pgleap.block_ddl();
CREATE EVENT TRIGGER pgleap_ddl_end ON ddl_command_end EXECUTE FUNCTION pgleap.block_ddl();
CREATE EVENT TRIGGER pgleap_ddl_drop ON sql_drop EXECUTE FUNCTION pgleap.block_ddl();
