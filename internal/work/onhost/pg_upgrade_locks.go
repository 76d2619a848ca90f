package onhost

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// lockNeeds is what the locks of pg_upgrade's servers depend on.
type lockNeeds struct {
	configured  int64 // max_locks_per_transaction of the source
	connections int64 // its max_connections
	relations   int64 // of all databases that are worked on at once
}

// askLockNeeds asks the source. pg_upgrade dumps, and restores, as many databases at once as it has jobs.
func askLockNeeds(ctx context.Context, source postgres.Login, jobs int) (lockNeeds, error) {
	var needs lockNeeds
	err := with(ctx, source.In("postgres"), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err == nil {
			needs.configured, err = settings.Int("max_locks_per_transaction")
		}
		if err == nil {
			needs.connections, err = settings.Int("max_connections")
		}
		return err
	})
	if err != nil {
		return needs, err
	}
	var counts []int
	err = inEachDatabase(ctx, source, func(conn *pgx.Conn, _ postgres.ReplicatedDatabase) error {
		count, err := postgres.CountRelations(ctx, conn)
		counts = append(counts, count)
		return err
	})
	slices.Sort(counts)
	for _, count := range counts[max(0, len(counts)-max(1, jobs)):] {
		needs.relations += int64(count)
	}
	return needs, err
}

// initdbConnections is the max_connections of a target that has initdb's configuration only.
const initdbConnections = 100

// source is the setting for the server of the source, or of its clone: pg_dump locks all tables of a database in one
// transaction. The lock table holds this many for each of max_connections at least. What the user has
// configured sufficed for his own dumps.
func (n lockNeeds) source() string {
	return fmt.Sprintf("max_locks_per_transaction=%d", max(128, n.configured, n.each(n.connections)))
}

// target is the same for the server of the target, where since 19 twice the number has the old capacity (see
// pgconf's rules).
func (n lockNeeds) target(major upgrade.Major) string {
	locks := max(128, n.configured, n.each(initdbConnections))
	if major >= 19 {
		locks *= 2
	}
	return fmt.Sprintf("max_locks_per_transaction=%d", locks)
}

// each is the share of a connection, twice what is needed.
func (n lockNeeds) each(connections int64) int64 {
	connections = max(1, connections)
	return (2*n.relations + connections - 1) / connections
}
