package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// extensionRules tells what the makers of extensions ask for.
var extensionRules = Check{
	ID: "extension-rules", Title: "Extensions ask for something to be done for an upgrade",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase, Acceptable: true,
	Why:    "Some extensions keep state or code that belongs to a major version, and their makers tell what to do about it.",
	Remedy: "Do what is said of the extension, and read its own manual, which is named. Where there is SQL, it drops the extension, which has to be made anew on the target. Accept it by name when it is done.",
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		installed, err := s.query(ctx, `SELECT quote_ident(extname), extversion, extname FROM pg_extension ORDER BY extname`)
		if err != nil {
			return nil, err
		}
		rules := knownExtensionRules()
		var found []Found
		for _, extension := range installed {
			rule, ok := rules[extension.SQL]
			if !ok {
				continue
			}
			one := Found{Object: extension.Object, Note: fmt.Sprintf("version %s: %s (%s)", extension.Note, rule.todo, rule.source)}
			if rule.drop {
				one.SQL = "DROP EXTENSION " + extension.Object
			}
			found = append(found, one)
		}
		return found, nil
	},
}

// extensionRule is what is to be done about an extension.
type extensionRule struct {
	todo   string
	source string // where its makers say so
	drop   bool   // whether it is dropped before the upgrade and made anew afterwards; it holds no data then
}

// knownExtensionRules are by name. Extensions of which nothing special is asked, as those of contrib,
// pgvector or HypoPG, are not here.
func knownExtensionRules() map[string]extensionRule {
	return map[string]extensionRule{
		"timescaledb":            {todo: "install the same version for the target first, and update after the upgrade only", source: "TimescaleDB's manual, Upgrade PostgreSQL"},
		"timescaledb_toolkit":    {todo: "install the same version for the target first, and update after the upgrade only", source: "TimescaleDB's manual, Upgrade PostgreSQL"},
		"postgis":                {todo: "have the same PostGIS version on both sides, and run postgis_extensions_upgrade() after the upgrade", source: "PostGIS manual, 3.4 Upgrading spatial databases"},
		"postgis_raster":         {todo: "upgrade it together with postgis", source: "PostGIS manual, 3.4 Upgrading spatial databases"},
		"postgis_topology":       {todo: "upgrade it together with postgis", source: "PostGIS manual, 3.4 Upgrading spatial databases"},
		"postgis_sfcgal":         {todo: "upgrade it together with postgis", source: "PostGIS manual, 3.4 Upgrading spatial databases"},
		"postgis_tiger_geocoder": {todo: "upgrade it together with postgis", source: "PostGIS manual, 3.4 Upgrading spatial databases"},
		"pgrouting":              {todo: "have the same version on both sides, and update it after PostGIS", source: "pgRouting manual, Upgrading"},
		"citus":                  {todo: "run citus_prepare_pg_upgrade() before and citus_finish_pg_upgrade() after the upgrade, on every node", source: "Citus manual, Upgrading PostgreSQL version"},
		"pglogical":              {todo: "drop its subscriptions and nodes: their slots do not come over", source: "pglogical's README, Limitations"},
		"pg_repack":              {todo: "drop it and make it anew on the target: its program accepts the very same version only", source: "pg_repack's manual, Requirements", drop: true},
		"pg_squeeze":             {todo: "drop it and make it anew on the target, after a look at squeeze.tables, which it takes along", source: "pg_squeeze's README, Upgrade"},
		"pgaudit":                {todo: "drop it and make it anew on the target: each of its versions is for one major version of PostgreSQL", source: "pgAudit's README, PostgreSQL version compatibility", drop: true},
		"pg_hint_plan":           {todo: "each of its versions is for one major version of PostgreSQL: have the target's, and see that hint_plan.hints is there after the upgrade", source: "pg_hint_plan's manual, Installation"},
		"pg_partman":             {todo: "update it to the target's version, and pause its maintenance (pg_partman_bgw.interval, or the job that calls run_maintenance)", source: "pg_partman's CHANGELOG"},
		"pg_cron":                {todo: "preload it on the target; jobs run there as soon as it is the new primary", source: "pg_cron's README, Setting up"},
		"orafce":                 {todo: "update it to the version for the target (ALTER EXTENSION orafce UPDATE)", source: "orafce's README, Upgrade"},
		"rum":                    {todo: "reindex RUM indexes after the upgrade", source: "RUM's README"},
		"hll":                    {todo: "update it to the target's version before the upgrade", source: "postgresql-hll's README"},
		"plv8":                   {todo: "update it to the target's version, and run plv8_reset() in sessions that stay", source: "PLV8's manual, Upgrading"},
		"age":                    {todo: "dump its graphs and load them on the target: a release supports one major version", source: "Apache AGE's release notes"},
		"powa":                   {todo: "stop its snapshots during the upgrade, and update it afterwards", source: "PoWA's manual, Upgrade"},
		"bdr":                    {todo: "part the node from its group first", source: "EDB Postgres Distributed's manual, Upgrading"},
	}
}
