package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestReplication goes the way of a database through an upgrade: publication, slot, subscription,
// marker, and everything removed again. Each step is safe to repeat.
func TestReplication(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	source, target := pgtest.Pair(t, versions[0], versions[len(versions)-1])
	const table = "CREATE TABLE t (id int PRIMARY KEY)"
	for _, c := range []*pgtest.Cluster{source, target} {
		c.Exec(t, "postgres", table)
		conn := c.Connect(t, "postgres")
		twice(t, "make role", func() error { return postgres.EnsureRole(t.Context(), conn, verifier(t, "secret")) })
		twice(t, "make marker", func() error { return postgres.EnsureMarker(t.Context(), conn) })
	}
	from, to := ours(t, source), ours(t, target)
	twice(t, "publish", func() error { return postgres.EnsurePublication(t.Context(), from) })
	lsn, err := postgres.EnsureLogicalSlot(t.Context(), from, "pgleap_5")
	must(t, "make slot", err)
	again, err := postgres.EnsureLogicalSlot(t.Context(), from, "pgleap_5")
	if must(t, "make slot again", err); again != lsn {
		t.Errorf("the slot stood at %s and stands at %s", lsn, again)
	}
	twice(t, "subscribe", func() error {
		return postgres.Subscribe(t.Context(), to, postgres.NewSubscription{
			Name: upgrade.Subscription, Publication: upgrade.Publication, Publisher: login(source),
			Slot: "pgleap_5", Version: upgrade.Major(source.Major), From: lsn,
		})
	})
	source.Exec(t, "postgres", "INSERT INTO t VALUES (1)")
	number, err := postgres.AdvanceMarker(t.Context(), from)
	must(t, "write marker", err)
	awaitMarker(t, to, number)

	state, err := postgres.ReadSubscriptions(t.Context(), to, upgrade.Subscription)
	if must(t, "read subscription", err); !state.Enabled || !state.Working || state.Pending != 0 {
		t.Errorf("subscription: %+v", state)
	}
	applied, err := postgres.ReadAppliedState(t.Context(), to, state.OIDs, nil, 1, false)
	if must(t, "read what was applied", err); applied.Marker != number || len(applied.Applied) != 1 || applied.Applied[0] < lsn {
		t.Fatalf("applied: %+v, want marker %d and an LSN after a slot at %s", applied, number, lsn)
	}
	position := applied.Applied[0]
	positions, err := postgres.AppliedPositions(t.Context(), from) // which follows nobody
	if must(t, "read positions", err); len(positions) != 0 {
		t.Errorf("positions on the source: %v", positions)
	}
	positions, err = postgres.AppliedPositions(t.Context(), to)
	if must(t, "read positions", err); len(positions) != 1 || positions[state.OIDs[0]] != position {
		t.Errorf("positions: %v, want %s of %d", positions, position, state.OIDs[0])
	}
	var count int
	err = to.QueryRow(t.Context(), "SELECT count(*) FROM public.t").Scan(&count)
	if must(t, "count", err); count != 1 {
		t.Errorf("%d rows have arrived", count)
	}
	published, err := postgres.PublishedTables(t.Context(), from)
	must(t, "list published tables", err)
	subscribed, err := postgres.SubscribedTables(t.Context(), to, upgrade.Subscription)
	must(t, "list subscribed tables", err)
	want := postgres.ReplicatedTable{Table: "public.t", Publication: upgrade.Publication}
	if diff := cmp.Diff(published, subscribed, inAnyOrder); diff != "" || !slices.Contains(published, want) {
		t.Errorf("tables (-published +subscribed):\n%s", diff)
	}
	slots, err := postgres.ReadSlots(t.Context(), from)
	if must(t, "read slots", err); slots.Active != 1 || len(slots.Lost) > 0 || slots.InsertLSN < position {
		t.Errorf("slots: %+v", slots)
	}

	twice(t, "drop subscription", func() error { return postgres.DropSubscription(t.Context(), to, upgrade.Subscription) })
	twice(t, "drop slot", func() error { return postgres.DropSlot(t.Context(), from, "pgleap_5") })
	must(t, "hold a slot", postgres.HoldSlot(t.Context(), from, "lake", "test_decoding"))
	_, err = from.Exec(t.Context(), "SELECT pg_logical_emit_message(false, 'much', repeat('x', 16 << 20))")
	must(t, "write WAL", err)
	held, err := postgres.ReadSlots(t.Context(), from)
	if must(t, "read slots", err); held.FlushedLSN != 0 || held.RetainedWAL < 16<<20 || held.HeldWAL != held.RetainedWAL {
		t.Errorf("with one that is held for a consumer: %+v", held)
	}
	if kept, err := postgres.RetainedForUpgrade(t.Context(), from); err != nil || kept < 16<<20 {
		t.Errorf("with one that is held for a consumer %d bytes are kept, %v", kept, err)
	}
	must(t, "drop held slots", postgres.DropHeldSlots(t.Context(), from))
	twice(t, "drop publication", func() error { return postgres.DropPublication(t.Context(), from) })
	for _, conn := range []*pgx.Conn{from, to} {
		twice(t, "drop marker", func() error { return postgres.DropMarker(t.Context(), conn) })
		must(t, "disconnect", conn.Close(t.Context()))
	}
	for _, c := range []*pgtest.Cluster{source, target} {
		conn := c.Connect(t, "postgres")
		twice(t, "drop role", func() error { return postgres.DropRole(t.Context(), conn) })
	}
}

// TestForeignThingsAreLeftAlone: what has our name and is not ours is an error, or stays.
func TestForeignThingsAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.CreateDatabase(t, "other")
	conn := c.Connect(t, "postgres")
	_, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('pgleap_1', 'test_decoding')")
	must(t, "make slot", err)
	c.Exec(t, "other", "SELECT pg_create_logical_replication_slot('pgleap_2', 'pgoutput')")
	for _, name := range []string{"pgleap_1", "pgleap_2"} {
		if _, err := postgres.EnsureLogicalSlot(t.Context(), conn, name); err == nil || !strings.Contains(err.Error(), "it is not ours") {
			t.Errorf("slot %s: %v", name, err)
		}
	}
	c.Exec(t, "postgres", "CREATE ROLE pgleap")
	must(t, "drop role", postgres.DropRole(t.Context(), conn))
	var kept bool
	must(t, "look", conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgleap')").Scan(&kept))
	if !kept {
		t.Error("a role that is not ours was dropped")
	}
}

// TestLoginWithVerifier: the server accepts the password of a verifier that we made, and no other.
func TestLoginWithVerifier(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0], pgtest.HBA("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"))
	must(t, "make role", postgres.EnsureRole(t.Context(), c.Connect(t, "postgres"), verifier(t, "right")))
	for password, lets := range map[string]bool{"right": true, "wrong": false} {
		config, err := pgx.ParseConfig(c.DSN("postgres"))
		must(t, "read address", err)
		config.User, config.Password = upgrade.Role, password
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if (err == nil) != lets {
			t.Errorf("password %s: %v", password, err)
		}
		if err == nil {
			conn.Close(t.Context())
		}
	}
}

func verifier(t *testing.T, password string) string {
	t.Helper()
	v, err := postgres.ScramVerifier(password)
	must(t, "make verifier", err)
	return v
}

func login(c *pgtest.Cluster) postgres.Login {
	return postgres.Login{Address: upgrade.Address{Host: "127.0.0.1", Port: c.Port}, Database: "postgres", User: upgrade.Role}
}

// ours opens a session of pgleap's role.
func ours(t *testing.T, c *pgtest.Cluster) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), login(c))
	must(t, "connect", err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func awaitMarker(t *testing.T, conn *pgx.Conn, number int64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		marker, err := postgres.ReadMarker(t.Context(), conn)
		must(t, "read marker", err)
		if marker.Number >= number {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("marker %d has arrived, want %d", marker.Number, number)
		}
	}
}

// inAnyOrder compares lists of tables.
var inAnyOrder = cmpopts.SortSlices(func(a, b postgres.ReplicatedTable) bool { return a.Table < b.Table })

// twice does what must be safe to repeat.
func twice(t *testing.T, what string, do func() error) {
	t.Helper()
	must(t, what, do())
	must(t, what+" again", do())
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
