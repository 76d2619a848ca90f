package pgbouncer

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/endpointtest"
	"github.com/pgleap/pgleap/internal/pgtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	source, target := pgtest.Pair(t, 15, 15)
	t.Run("named databases", func(t *testing.T) {
		endpointtest.Run(t, func(t *testing.T) endpointtest.Fixture {
			return fixture(t, source, target,
				pgtest.Target{Name: "app", Cluster: source},
				pgtest.Target{Name: "ledger", Cluster: source})
		})
	})
	t.Run("wildcard", func(t *testing.T) {
		endpointtest.Run(t, func(t *testing.T) endpointtest.Fixture {
			return fixture(t, source, target, pgtest.Target{Name: "*", Database: "*", Cluster: source})
		})
	})
}

// fixture makes a PgBouncer in front of two clusters, with fresh databases app and ledger in both.
func fixture(t *testing.T, source, target *pgtest.Cluster, targets ...pgtest.Target) endpointtest.Fixture {
	freshDatabases(t, source, target)
	return overBouncer(pgtest.PgBouncer(t, targets...), source, target)
}

// freshDatabases makes app and ledger, or ends what an earlier test left in them and drops it, which takes a
// tenth of the time.
func freshDatabases(t *testing.T, clusters ...*pgtest.Cluster) {
	t.Helper()
	for _, c := range clusters {
		for _, name := range []string{"app", "ledger"} {
			if !hasDatabase(t, c, name) {
				c.CreateDatabase(t, name)
				continue
			}
			c.Exec(t, name,
				"select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
				"drop schema public cascade", "create schema public")
		}
	}
}

func hasDatabase(t *testing.T, c *pgtest.Cluster, name string) (has bool) {
	t.Helper()
	conn := c.Connect(t, "postgres")
	must(t, conn.QueryRow(t.Context(), "select exists (select from pg_database where datname = $1)", name).Scan(&has))
	must(t, conn.Close(t.Context()))
	return has
}

func fixtureOf(b *pgtest.Bouncer, source, target *pgtest.Cluster) endpointtest.Fixture {
	return endpointtest.Fixture{
		Source: source, SourceAddress: endpoint.Address{Host: "127.0.0.1", Port: source.Port},
		Target: target, TargetAddress: endpoint.Address{Host: "127.0.0.1", Port: target.Port},
		Databases: []string{"app", "ledger"},
		Connect: func(ctx context.Context, database string) (*pgx.Conn, error) {
			return connect(ctx, b.DSN(source.Superuser, database))
		},
	}
}

func adopted(b *pgtest.Bouncer, cluster ...endpoint.Address) Adopt {
	return Adopt{Console: Console{DSN: b.AdminDSN}, Cluster: cluster}
}

func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing prepared: transaction pooling
	return pgx.ConnectConfig(ctx, config)
}
