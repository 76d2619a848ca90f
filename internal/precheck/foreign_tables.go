package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// foreignTables are only as good as the way to where their rows are. One that leads back to the source itself, as those do
// that functions write through in a transaction of their own, leads there from the target too.
var foreignTables = Check{
	ID: "foreign-tables", Title: "Foreign tables lead to other servers",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerDatabase,
	Why: "The definitions of foreign servers and tables come over, the rows do not: they are elsewhere. The target must reach the same servers, from its own address, " +
		"with what its libraries and certificates allow. During the upgrade both sides write to the same rows. A foreign table that is a partition is not published. " +
		"Where a server leads to the source's own port, the target's leads to the source too, which lets nobody in after the switchover.",
	Remedy: "See that the target's host may log in at each of these servers. One that leads to the source's own port should lead to the endpoint, which follows the upgrade: ALTER SERVER ... OPTIONS (SET port ...).",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, `
			SELECT 'server ' || quote_ident(s.srvname), concat_ws(', ', w.fdwname, count(t.ftrelid) || ' tables', count(*) FILTER (WHERE c.relispartition) || ' of them partitions'),
				w.fdwname IN ('postgres_fdw', 'dblink_fdw')
					AND coalesce((SELECT substr(o, 6) FROM unnest(s.srvoptions) AS o WHERE o LIKE 'port=%'), '5432') = current_setting('port')
					AND NOT EXISTS (SELECT FROM unnest(s.srvoptions) AS o WHERE o ~ '^host(addr)?=' AND o !~ '=(localhost|127\.[0-9.]+|::1|/.*)?$')
			FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
			LEFT JOIN pg_foreign_table t ON t.ftserver = s.oid LEFT JOIN pg_class c ON c.oid = t.ftrelid
			GROUP BY s.oid, s.srvname, w.fdwname, s.srvoptions
			ORDER BY 1`)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (found Found, err error) {
			var itself bool
			err = row.Scan(&found.Object, &found.Note, &itself)
			if itself && f.Plan.Mode != upgrade.InPlace { // where the target takes over the port
				found.Severity, found.Note = upgrade.Warning, found.Note+", leads to the source itself"
			}
			return found, err
		})
	},
}
