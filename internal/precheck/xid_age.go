package precheck

import (
	"context"

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
		Remedy: "Run vacuumdb --freeze on the database first, and find what held VACUUM back: old transactions, slots, standbys.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			rows, err := s.query(ctx, `
				SELECT quote_ident(datname), 'age ' || greatest(age(datfrozenxid), mxid_age(datminmxid)),
					CASE WHEN greatest(age(datfrozenxid), mxid_age(datminmxid)) >= $2 THEN 'block' END
				FROM pg_database
				WHERE greatest(age(datfrozenxid), mxid_age(datminmxid)) >= $1
				ORDER BY datname`, warn, block)
			for i := range rows {
				if rows[i].SQL == "block" {
					rows[i].Severity = upgrade.Blocker
				}
				rows[i].SQL = ""
			}
			return rows, err
		},
	}
}
