-- What a text begins with, by the rules of the server's own scanner (scan.l): blanks, a comment, a constant, a name
-- or a single character.
CREATE FUNCTION pgleap.ddl_token(query text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	-- In a name stand letters, _ and all beyond ASCII; from its second character on also digits and $.
	token text := substring(query FROM $form$(?x)^(?:
		[\ \t\n\r\f\v]+ | --[^\n\r]* | /\* | [0-9.,]+ |
		[^\u0001-\u0040\u005b-\u005e\u0060\u007b-\u007f][^\u0001-\u0023\u0025-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f]* |
		\$(?:[^\u0001-\u0040\u005b-\u005e\u0060\u007b-\u007f][^\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f]*)?\$ |
		[eE]'(?:[^'\\]|\\.|'')*'(?:(?:[\ \t\f\v]*(?:--[^\n\r]*)?[\n\r])+[\ \t\f\v]*'(?:[^'\\]|\\.|'')*')* |
		'(?:[^']|'')*' | "[^"]*" | .)$form$);
	part text;
	depth int := 1;
BEGIN
	IF token ~ '^\$.*\$$' THEN -- up to the next of the same
		RETURN left(query, 2 * length(token) - 1 + strpos(substr(query, length(token) + 1), token));
	ELSIF token = '/*' THEN
		WHILE depth > 0 LOOP
			part := substring(substr(query, length(token) + 1) FROM '^.*?(?:/\*|\*/)');
			token := token || part;
			depth := depth + CASE right(part, 2) WHEN '/*' THEN 1 ELSE -1 END;
		END LOOP;
	END IF;
	RETURN token;
END $ddl$;

-- Whether the query is one command, the one with the tag. Its text is only read: if the server's parser were asked,
-- it would analyse the commands, and so run the client's functions (checks of domains, say), here as a superuser.
-- Who sees to it that this is wrong has his own commands replayed in his own name.
CREATE FUNCTION pgleap.ddl_is_alone(tag text, query text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	rest text := query;
	token text;
	first text; -- word
	ended boolean := false;
	body boolean := false; -- of a function, written as BEGIN ATOMIC
	depth int := 0; -- of parentheses, as in CREATE RULE, and in the body of BEGIN and CASE
BEGIN
	IF current_setting('standard_conforming_strings', true) = 'off' AND strpos(query, '\') > 0 THEN
		RETURN false;
	END IF;
	WHILE rest <> '' AND (first IS NULL OR ended OR strpos(rest, ';') > 0) LOOP
		token := pgleap.ddl_token(rest);
		rest := substr(rest, length(token) + 1);
		IF token ~ '^(?:[ \t\n\r\f\v]|--|/\*)' THEN
			CONTINUE;
		ELSIF token = ';' AND depth = 0 THEN
			ended := first IS NOT NULL;
			CONTINUE;
		ELSIF ended THEN
			RETURN false;
		END IF;
		first := coalesce(first, upper(token));
		body := body OR tag IN ('CREATE FUNCTION', 'CREATE PROCEDURE') AND lower(token) = 'begin' AND rest ~* '^\s+atomic\M';
		depth := depth + CASE
			WHEN token = '(' OR body AND lower(token) IN ('begin', 'case') THEN 1
			WHEN token = ')' OR body AND lower(token) = 'end' THEN -1
			ELSE 0
		END;
	END LOOP;
	RETURN coalesce(first = split_part(tag, ' ', 1), false);
END $ddl$;

-- The command without CONCURRENTLY: it is replayed within a transaction.
CREATE FUNCTION pgleap.ddl_plain(tag text, query text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $ddl$
	SELECT CASE tag
		WHEN 'CREATE INDEX' THEN regexp_replace(query, '^(\s*create\s+(?:unique\s+)?index\s+)concurrently\M', '\1', 'i')
		WHEN 'DROP INDEX' THEN regexp_replace(query, '^(\s*drop\s+index\s+)concurrently\M', '\1', 'i')
		ELSE query
	END
$ddl$;

-- Why a command cannot be replayed, or null.
CREATE FUNCTION pgleap.ddl_obstacle(tag text, query text, nested boolean) RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $ddl$
	SELECT CASE
		WHEN tag ~ ' EXTENSION$' THEN 'an extension may differ between the two versions'
		WHEN tag ~ ' SUBSCRIPTION$' THEN 'a subscription must not work on both sides'
		WHEN tag = 'IMPORT FOREIGN SCHEMA' THEN 'what it makes depends on another server'
		WHEN nested THEN 'a function, a DO block or a trigger ran it, so that its text is not known'
		WHEN query ~* '\msession_user\M' THEN 'it depends on SESSION_USER'
		WHEN query ~* '\menable\s+(always|replica)\M' THEN 'a trigger or rule would fire on both sides'
		WHEN NOT pgleap.ddl_is_alone(tag, query) THEN 'it was sent together with other commands'
	END
$ddl$;

-- A column that the command has added, with a default that does not give the same value each time: existing rows
-- would differ. What this transaction or a later one has written has an age of 0 or less. Expressions hold their
-- functions by oid (nodes/outfuncs.c). Before some minor versions the default of a domain rewrites nothing.
CREATE FUNCTION pgleap.ddl_unsteady_column(relation oid, query text, rewritten boolean) RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $ddl$
	WITH RECURSIVE tables AS (
		SELECT relation AS oid
		UNION
		SELECT i.inhrelid FROM tables t JOIN pg_inherits i ON i.inhparent = t.oid
	)
	SELECT a.attname
	FROM tables r
	JOIN pg_attribute a ON a.attrelid = r.oid
	JOIN pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0 AND NOT a.attisdropped AND age(a.xmin) <= 0 AND query ~* '\madd\M'
		AND (rewritten OR a.atthasmissing OR t.typtype = 'd' AND t.typdefault IS NOT NULL)
		AND (query ~* 'u&"' OR strpos(lower(replace(query, '""', '"')), lower(a.attname)) > 0)
		AND (
			a.attidentity <> '' OR d.oid IS NULL AND t.typtype = 'd'
			OR d.adbin::text ~ '\{(SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO)\M'
			OR EXISTS (
				SELECT FROM regexp_matches(d.adbin::text, ':(funcid|opno) (\d+)', 'g') AS call (found)
				LEFT JOIN pg_operator o ON call.found[1] = 'opno' AND o.oid = call.found[2]::oid
				JOIN pg_proc p ON p.oid = coalesce(o.oprcode::oid, call.found[2]::oid)
				WHERE p.provolatile <> 'i'))
	LIMIT 1
$ddl$;

-- Captures a command, refuses it if replication could not go on after it, or leaves it alone.
CREATE FUNCTION pgleap.capture_ddl(event text, tag text, path text, nested boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	objects text;
	made text[];
	harms boolean; -- rows of tables could not be applied where it has not been done
	ours boolean;
	extension boolean;
	unsteady text;
	obstacle text;
BEGIN
	IF event = 'sql_drop' THEN
		SELECT string_agg(d.kind || ' ' || d.name, ', ') FILTER (WHERE d.named), bool_or(d.schema = 'pgleap' OR d.name ~ '^pgleap_(forward|group_[0-9]+)$'),
			bool_or(d.kind IN ('domain constraint', 'index', 'schema', 'table', 'table column', 'table constraint') OR d.named AND d.kind = 'type')
		INTO objects, ours, harms
		FROM pgleap.ddl_dropped() AS d;
	ELSE
		SELECT string_agg(concat_ws(' ', lower(c.kind), c.name), ', '), bool_or(c.schema = 'pgleap' OR c.name ~ '^pgleap(_forward|_group_[0-9]+)?$'), bool_and(c.extension),
			bool_or(c.kind IN ('domain constraint', 'schema', 'table', 'table column', 'table constraint', 'type')
				AND c.tag NOT IN ('COMMENT', 'SECURITY LABEL')),
			array_agg(c.name) FILTER (WHERE c.kind = 'table' AND c.tag = 'CREATE TABLE')
		INTO objects, ours, extension, harms, made
		FROM pgleap.ddl_changed() AS c;
		IF tag = 'DROP OWNED' THEN
			objects := 'what a role owned, and its privileges';
		END IF;
	END IF;
	IF objects IS NULL OR pgleap.ddl_changes_nothing(tag) THEN
		RETURN;
	END IF;
	IF ours THEN
		PERFORM pgleap.refuse_ddl(tag, 'This belongs to the upgrade.', {end});
	ELSIF event = 'sql_drop' AND (tag !~ '^DROP ' OR tag = 'DROP OWNED') THEN
		RETURN; -- ddl_command_end has it
	ELSIF extension THEN -- what its script does; CREATE EXTENSION itself comes after it
		IF harms AND 'table' = ANY (ARRAY(SELECT c.kind FROM pgleap.ddl_changed() AS c)) THEN
			PERFORM pgleap.refuse_ddl(tag, 'The extension has a table, whose rows the other side could not take.', {end});
		END IF;
		RETURN;
	ELSIF tag IN ('CREATE TABLE AS', 'SELECT INTO') THEN
		PERFORM pgleap.refuse_ddl(tag, 'The rows would be replicated before the table.',
			'Create the table with CREATE TABLE, then fill it with INSERT INTO ... SELECT.');
	END IF;
	IF tag = 'ALTER TABLE' AND event = 'ddl_command_end' THEN
		SELECT min(pgleap.ddl_unsteady_column(c.object, current_query(), false)) INTO unsteady
		FROM pgleap.ddl_changed() AS c WHERE c.kind IN ('table', 'table column');
		IF unsteady IS NOT NULL THEN
			PERFORM pgleap.refuse_ddl_default(tag, unsteady);
		END IF;
	END IF;
	obstacle := pgleap.ddl_obstacle(tag, current_query(), nested);
	IF obstacle IS NOT NULL AND harms THEN
		PERFORM pgleap.refuse_ddl(tag, format('It cannot be replayed on the other side: %s. Rows could not be replicated after it.', obstacle),
			CASE WHEN obstacle ~ '^(a function|it was sent)' THEN
				'Send the command by itself: not from a function or a DO block, and not in one string with other commands.'
			ELSE {end} END);
	END IF;
	INSERT INTO pgleap.ddl (number, role, search_path, settings, tag, objects, tables, command, obstacle)
	SELECT nextval('pgleap.ddl_number'), coalesce(nullif(current_setting('role'), 'none'), session_user), path,
		jsonb_object_agg(s.name, s.setting), tag, left(objects, 500), made, pgleap.ddl_plain(tag, current_query()), obstacle
	FROM pg_settings s
	WHERE s.name IN ('array_nulls', 'backslash_quote', 'bytea_output', 'check_function_bodies', 'DateStyle', 'default_table_access_method',
		'default_tablespace', 'default_toast_compression', 'extra_float_digits', 'IntervalStyle', 'standard_conforming_strings',
		'TimeZone', 'transform_null_equals', 'xmloption');
END $ddl$;

CREATE FUNCTION pgleap.refuse_ddl_default(tag text, attribute text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $ddl$
	SELECT pgleap.refuse_ddl(tag, format('Existing rows would get other values of column %I on the other side.', attribute),
		'Add the column without a default, then set the default, then UPDATE the rows.')
$ddl$;

-- These two see the client's search_path, for which they have none of their own: every name is qualified.
-- What the client has sent is the command if nothing stands above the function.
CREATE FUNCTION pgleap.capture_ddl_end() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $ddl$
DECLARE
	stack pg_catalog.text;
BEGIN
	GET DIAGNOSTICS stack = PG_CONTEXT;
	PERFORM pgleap.capture_ddl(TG_EVENT, TG_TAG, pg_catalog.current_setting('search_path'),
		pg_catalog.strpos(stack, E'\n') OPERATOR(pg_catalog.>) 0);
END $ddl$;

CREATE FUNCTION pgleap.capture_ddl_start() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	stack text;
BEGIN
	GET DIAGNOSTICS stack = PG_CONTEXT;
	-- When the other events fire it is committed. It is not run from within another command.
	IF strpos(stack, E'\n') > 0 OR current_query() !~* '\mconcurrently\M' THEN
		RETURN;
	END IF;
	IF TG_TAG = 'ALTER TABLE' AND current_query() ~* '\mdetach\M' THEN
		PERFORM pgleap.refuse_ddl(TG_TAG, 'CONCURRENTLY is left out where the command is replayed, and the partition would not be alike.',
			'Detach the partition without CONCURRENTLY.');
	ELSIF TG_TAG <> 'ALTER TABLE' AND pgleap.ddl_plain(TG_TAG, current_query()) ~* '\mconcurrently\M' THEN
		PERFORM pgleap.refuse_ddl(TG_TAG, 'CONCURRENTLY is left out where the command is replayed, and was not found at its usual place.',
			'Write the command without comments.');
	END IF;
END $ddl$;

CREATE FUNCTION pgleap.capture_ddl_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $ddl$
DECLARE
	relation oid := pg_event_trigger_table_rewrite_oid();
	reason int := pg_event_trigger_table_rewrite_reason(); -- event_trigger.h, AT_REWRITE_*
	unsteady text;
BEGIN
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relpersistence = 't') AND reason & 1 = 0 THEN
		RETURN;
	END IF;
	IF reason & 1 <> 0 THEN
		PERFORM pgleap.refuse_ddl(TG_TAG, 'Rows of unlogged tables are not replicated.', {end});
	END IF;
	IF reason & 4 <> 0 AND current_query() ~* '\musing\M' THEN
		PERFORM pgleap.refuse_ddl(TG_TAG, 'The expression after USING may give other values on the other side.',
			'Add a column of the new type, UPDATE the rows, drop the old column and rename the new one.');
	END IF;
	unsteady := pgleap.ddl_unsteady_column(relation, current_query(), true);
	IF reason & 2 <> 0 AND unsteady IS NOT NULL THEN
		PERFORM pgleap.refuse_ddl_default(TG_TAG, unsteady);
	END IF;
END $ddl$;

CREATE EVENT TRIGGER pgleap_ddl_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'CREATE INDEX', 'DROP INDEX') EXECUTE FUNCTION pgleap.capture_ddl_start();
CREATE EVENT TRIGGER pgleap_ddl_end ON ddl_command_end EXECUTE FUNCTION pgleap.capture_ddl_end();
CREATE EVENT TRIGGER pgleap_ddl_drop ON sql_drop EXECUTE FUNCTION pgleap.capture_ddl_end();
CREATE EVENT TRIGGER pgleap_ddl_rewrite ON table_rewrite EXECUTE FUNCTION pgleap.capture_ddl_rewrite();
