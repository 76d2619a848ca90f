package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// oldestTransactionIDs: 19 carries the limits of pg_control over and converts the multixacts from there on, so none
// may be older (pg_upgrade's check.c, check_for_oldest_xids).
var oldestTransactionIDs = Check{
	ID: "oldest-transaction-ids", Title: "A database is older than the cluster's oldest transaction id",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster, Versions: Versions{Targets: 19},
	Why: "pg_control says which transaction ids and multixacts are still in use. A database that claims older ones contradicts it, which is damage, " +
		"and pg_upgrade of 19 and later does not go on.",
	Remedy: "Freeze the database's tables, which works its limits out anew, and look for the cause: a crash, or files that were copied from elsewhere. " +
		"A database that does not allow connections has to allow them for it.",
	PgUpgrade: []string{"oldestXID (", "oldestMultiXid ("},
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, `
			SELECT quote_ident(datname), format('datfrozenxid %s, datminmxid %s', datfrozenxid, datminmxid),
				'VACUUM (FREEZE)', datname
			FROM pg_database CROSS JOIN pg_control_checkpoint()
			WHERE age(datfrozenxid) > age(oldest_xid) OR mxid_age(datminmxid) > mxid_age(oldest_multi_xid)
			ORDER BY datname`)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Found, err error) {
			return f, row.Scan(&f.Object, &f.Note, &f.SQL, &f.Database)
		})
	},
}
