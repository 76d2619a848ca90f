package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// textSearchStemmers: 19 has another stemmer for Dutch (release notes 19, Migration). What was computed before does
// not meet what queries compute. Expressions show a configuration as a constant of regconfig.
var textSearchStemmers = Check{
	ID: "text-search-stemmers", Title: "Full-text search in Dutch is computed by other rules from 19 on",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Crossing: 19},
	Why: "Version 19 takes the stems of Dutch words by a newer algorithm. Indexes, columns and materialized views that hold stems of the old one miss rows that queries look for on the target.",
	Remedy: "On the target, after the upgrade and before its applications search: run these statements, and compute columns that hold tsvector anew by an UPDATE of their rows. " +
		"Where a default configuration is shown, look for columns that are computed with it.",
	Find: query(`
		WITH dutch AS (
			SELECT c.oid::regconfig::text AS name, quote_literal(c.oid::regconfig::text) || '::regconfig' AS constant
			FROM pg_ts_config c
			WHERE EXISTS (
				SELECT FROM pg_ts_config_map m JOIN pg_ts_dict d ON d.oid = m.mapdict
				WHERE m.mapcfg = c.oid AND d.dictinitoption ~ 'language\s*=\s*''dutch''')
		)
		SELECT format('%I.%I', n.nspname, c.relname), 'index of ' || i.indrelid::regclass, ` + reindex + `
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indexprs IS NOT NULL
			AND EXISTS (SELECT FROM dutch WHERE strpos(pg_get_expr(i.indexprs, i.indrelid), constant) > 0)
		UNION ALL
		SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname), 'generated column', NULL
		FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
			JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attgenerated = 's' AND EXISTS (SELECT FROM dutch WHERE strpos(pg_get_expr(d.adbin, d.adrelid), constant) > 0)
		UNION ALL
		SELECT format('%I.%I.%I', n.nspname, c.relname, g.tgname), 'trigger that computes a column', NULL
		FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE g.tgfoid = 'pg_catalog.tsvector_update_trigger()'::regprocedure AND encode(g.tgargs, 'escape') ~ '\mdutch\\000'
		UNION ALL
		SELECT format('%I.%I', n.nspname, c.relname), 'materialized view', format('REFRESH MATERIALIZED VIEW %I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'm' AND c.relispopulated AND CASE
			-- pg_get_viewdef waits for whoever refreshes the view: only one with a constant of regconfig is asked
			WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_action::text LIKE '%:consttype ' || 'regconfig'::regtype::oid || ' %')
			THEN EXISTS (SELECT FROM dutch WHERE strpos(pg_get_viewdef(c.oid), constant) > 0)
			ELSE false
		END
		UNION ALL
		SELECT 'default_text_search_config', 'is ' || current_setting('default_text_search_config'), NULL
		FROM dutch
		WHERE name = regexp_replace(current_setting('default_text_search_config'), '^pg_catalog\.', '')
		ORDER BY 1`),
}
