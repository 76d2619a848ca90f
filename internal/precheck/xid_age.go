package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// xidAge: the slots hold back the cleaning of catalogs while the clone is made; near the
// wraparound limit of about 2.1 billion there is no time for that.
func xidAge(warn, block int64) Check {
	return Check{
		ID: "xid-age", Title: "Databases are near transaction id wraparound",
		Severity: upgrade.Warning, Modes: everyMode(), Scope: PerCluster,
		Why: "Slots hold back VACUUM while the target is made. A server that comes too near to the limit of about 2.1 billion " +
			"transactions refuses to write.",
		Remedy: "Find what held VACUUM back (old transactions, slots, standbys) and end it, then freeze the database: with the SQL, or with vacuumdb --freeze and several jobs. " +
			"It reads all of the database once. A database that does not allow connections has to allow them for it.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			rows, err := s.Tx.Query(ctx, `
				SELECT quote_ident(datname), 'age ' || older, CASE WHEN datallowconn THEN 'VACUUM (FREEZE)' ELSE '' END, datname,
					CASE WHEN older >= $2 THEN $3 ELSE $4 END
				FROM pg_database CROSS JOIN LATERAL greatest(age(datfrozenxid), mxid_age(datminmxid)) AS older
				WHERE older >= $1
				ORDER BY datname`, warn, block, string(upgrade.Blocker), string(upgrade.Warning))
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Found, err error) {
				return f, row.Scan(&f.Object, &f.Note, &f.SQL, &f.Database, &f.Severity)
			})
		},
	}
}
