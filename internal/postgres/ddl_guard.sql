-- What both ways of the guard ask: which lasting objects a command has changed or dropped. What becomes of
-- temporary objects is of no concern. Rules, triggers, policies and (before 18) defaults of temporary tables
-- are not marked as temporary; their address begins with the schema.
CREATE FUNCTION pgleap.ddl_changed()
RETURNS TABLE (class oid, object oid, tag text, kind text, name text, schema text, extension boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
BEGIN
	RETURN QUERY
	SELECT c.classid, c.objid, c.command_tag, c.object_type, c.object_identity, c.schema_name, c.in_extension
	FROM pg_event_trigger_ddl_commands() AS c
	WHERE 'pg_temp' <> coalesce(c.schema_name, CASE WHEN c.object_type IN ('default value', 'policy', 'rule', 'trigger')
		THEN (pg_identify_object_as_address(c.classid, c.objid, c.objsubid)).object_names[1] END, '');
END $ddl$;

CREATE FUNCTION pgleap.ddl_dropped()
RETURNS TABLE (kind text, name text, schema text, named boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
BEGIN
	RETURN QUERY
	SELECT d.object_type, d.object_identity, coalesce(d.schema_name, d.object_identity), d.original
	FROM pg_event_trigger_dropped_objects() AS d
	WHERE NOT d.is_temporary
		AND NOT (d.object_type IN ('default value', 'policy', 'rule', 'trigger') AND coalesce(d.address_names[1], '') = 'pg_temp');
END $ddl$;

-- These leave definitions as they are.
CREATE FUNCTION pgleap.ddl_changes_nothing(tag text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $ddl$
	SELECT tag IN ('ANALYZE', 'CLUSTER', 'REFRESH MATERIALIZED VIEW', 'REINDEX', 'REPACK', 'VACUUM')
$ddl$;

CREATE FUNCTION pgleap.refuse_ddl(tag text, detail text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('%s is refused while task %s upgrades instance %s', tag, {task}, {instance}),
		DETAIL = detail,
		HINT = hint;
END $ddl$;
