package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// lockTable: pg_dump takes a lock on every table of a database in one transaction
// (pg_dump.c, getTables), and one on every sequence when it reads where it stands (dumpSequenceData); and the lock table has room for so many (lock.c, NLOCKENTS).
var lockTable = Check{
	ID: "lock-table", Title: "A database has more tables and sequences than the lock table is made for",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase,
	Why: "pg_dump, which pg_upgrade runs too, locks all tables of a database in one transaction, and all sequences. If the shared lock table is full, " +
		"it fails with \"out of shared memory\". There is some room beyond its size, but the applications' locks need it too.",
	Remedy: "Raise max_locks_per_transaction on the source, and restart it. Its standbys must have at least the same value before. The target gets the same.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		perTransaction, err := f.Settings.Int("max_locks_per_transaction")
		if err != nil {
			return nil, err
		}
		connections, err := f.Settings.Int("max_connections")
		if err != nil {
			return nil, err
		}
		prepared, err := f.Settings.Int("max_prepared_transactions")
		if err != nil {
			return nil, err
		}
		var relations int64
		err = s.Tx.QueryRow(ctx, `
			SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'S') AND relpersistence <> 't'`).Scan(&relations)
		if err != nil {
			return nil, err
		}
		transactions := connections + prepared
		room := perTransaction * transactions
		if relations <= room {
			return nil, nil
		}
		raise := relations*5/4/transactions + 1
		return []Found{{
			Note:  fmt.Sprintf("%d tables and sequences, room for %d locks", relations, room),
			SQL:   fmt.Sprintf("ALTER SYSTEM SET max_locks_per_transaction = %d", raise),
			Raise: raise,
		}}, nil
	},
}
