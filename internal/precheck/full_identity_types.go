package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// fullIdentityTypes: the apply worker compares whole rows and stops with "could not identify an
// equality operator for type" (execReplication.c, tuples_equal).
var fullIdentityTypes = Check{
	ID: "full-identity-types", Title: "Tables with REPLICA IDENTITY FULL have columns that cannot be compared",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerPublished,
	Why:    "With FULL the target looks for a row by comparing all columns. Types without an equality operator, such as json, xml or point, cannot be compared: the first update or delete would stop the replication.",
	Remedy: "Give the table a primary key, or name a unique index as its identity.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		return s.query(ctx, postgres.WithIdentities(f.newest())+`
			SELECT name, unequal, mend
			FROM identities
			WHERE identity = 'f' AND unequal IS NOT NULL
			ORDER BY name`)
	},
}
