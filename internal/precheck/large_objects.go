package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// largeObjects: pg_largeobject is a system catalog, which no publication can hold. The switchover carries
// what was changed, and reads all of it while clients wait. More bytes than warnAbove are worth a warning.
func largeObjects(warnAbove int64) Check {
	return Check{
		ID: "large-objects", Title: "Large objects are carried by the switchover",
		Severity: upgrade.Info, Modes: withReplication(), Scope: PerDatabase, Acceptable: true,
		Why: "Logical replication does not carry large objects. Each switchover reads all of them on both sides and makes them alike before clients wait, and carries what was changed since while they wait: " +
			"for that it reads all their pages, which takes the longer the more there are.",
		Remedy: "Rehearse the switchover to see how long the pause gets. If nobody changes large objects during the upgrade, accept the database by name, and they are left alone. " +
			"Otherwise move them into columns of type bytea, or upgrade in another mode.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			var count, size int64
			err := s.Tx.QueryRow(ctx, `
				SELECT (SELECT count(*) FROM pg_largeobject_metadata), pg_total_relation_size('pg_largeobject')`).Scan(&count, &size)
			if err != nil || count == 0 {
				return nil, err
			}
			found := Found{Note: fmt.Sprintf("%d large objects, %s", count, bytes(size))}
			if size > warnAbove {
				found.Severity = upgrade.Warning
			}
			return []Found{found}, nil
		},
	}
}
