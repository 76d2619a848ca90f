package pgbouncer

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// TestPauseCutsNoLogin is about a pool that is just growing: a login that a PAUSE cuts would turn
// clients away that come during the pause, although they only have to wait.
func TestPauseCutsNoLogin(t *testing.T) {
	slow := pgtest.Start(t, 15, pgtest.Config(map[string]string{"pre_auth_delay": "1"})) // each login takes a second
	slow.CreateDatabase(t, "app")
	bouncer := pgtest.PgBouncer(t, pgtest.Target{Name: "app", Cluster: slow, Database: "app"})
	s := open(t, overBouncer(bouncer, slow, slow))
	defer s.Close()

	answers := make(chan error, 2)
	ask := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		conn, err := connect(ctx, bouncer.DSN("postgres", "app"))
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT 1", pgx.QueryExecModeSimpleProtocol)
			_ = conn.Close(ctx)
		}
		answers <- err
	}
	go ask()
	admin := bouncer.Admin(t)
	waitFor(t, "a login to the cluster", func() bool {
		rows, err := admin.Query(t.Context(), "SHOW POOLS", pgx.QueryExecModeSimpleProtocol)
		must(t, err)
		pools, err := pgx.CollectRows(rows, pgx.RowToMap)
		must(t, err)
		for _, p := range pools {
			if p["database"] == "app" && p["sv_login"] == int64(1) || p["database"] == "app" && p["sv_login"] == int32(1) {
				return true
			}
		}
		return false
	})
	must(t, s.Pause(t.Context()))
	go ask() // it comes during the pause, and has to wait
	must(t, s.Resume(t.Context()))
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("a client was turned away: %v", err)
		}
	}
}
