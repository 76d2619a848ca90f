package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// preparedTransactions: pg_upgrade refuses them (check.c, check_for_prepared_transactions), and a
// logical slot cannot be made while one is open (snapbuild.c waits for all running xids).
var preparedTransactions = Check{
	ID: "prepared-transactions", Title: "There are prepared transactions",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why: "A prepared transaction lives in the source's pg_twophase and cannot be carried over. Until it ends no logical slot can be made either.",
	Remedy: "Let its transaction manager end it, or end it by hand in its database: COMMIT PREPARED or ROLLBACK PREPARED. Only the manager's log knows which is right: " +
		"the SQL throws its changes away.",
	PgUpgrade: []string{"The source cluster contains prepared transactions"},
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, `
			SELECT quote_literal(gid), format('database %I, of %I, prepared %s', database, owner, date_trunc('second', prepared)),
				format('ROLLBACK PREPARED %L', gid), database
			FROM pg_prepared_xacts
			ORDER BY prepared`)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Found, err error) {
			return f, row.Scan(&f.Object, &f.Note, &f.SQL, &f.Database)
		})
	},
}
