package onhost

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// notBegun carries out an outage that must be refused while the source serves, and not touch it.
func (b *upgradeBed) notBegun(name string, parts ...string) {
	b.Helper()
	pid := b.source.Pid()
	result := b.outage()
	b.Logf("%s: %s", name, result.Switchover.Reason)
	for _, part := range parts {
		if result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, part) {
			b.Errorf("%s: the reason lacks %q: %+v", name, part, result.Switchover)
		}
	}
	if now := b.source.Pid(); now != pid || b.stage() != outageNone {
		b.Fatalf("%s: the outage began: the journal is at %q, the source's pid was %d and is %d", name, b.stage(), pid, now)
	}
}

// A transaction that is prepared when the target is, costs no outage. One whose client sends its COMMIT PREPARED
// into the pause goes on, and the upgrade does, too.
func TestInPlaceWithPreparedTransactions(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	bouncer := b.adoptBouncer()
	b.prepared()
	client := bouncer.Connect(t, "postgres", "shop")
	b.exec(client, `BEGIN`)
	b.exec(client, `INSERT INTO keyless VALUES (1, 'early')`)
	b.exec(client, `PREPARE TRANSACTION 'it''s early'`)
	b.plan.Options.SwitchoverTimeout = time.Second
	b.notBegun("prepared before", `'it''s early' in database shop, of postgres`, "COMMIT PREPARED")
	b.preparedBeforeTheStop()
	b.exec(client, `COMMIT PREPARED 'it''s early'`)

	b.plan.Options.SwitchoverTimeout = time.Minute
	b.exec(client, `BEGIN`)
	b.exec(client, `INSERT INTO keyless VALUES (1, 'late')`)
	console, committed := bouncer.Admin(t), make(chan error, 1)
	go func() {
		err := b.untilPaused(console)
		if err == nil {
			_, err = client.Exec(t.Context(), `PREPARE TRANSACTION 'late'`)
		}
		if err == nil {
			_, err = client.Exec(t.Context(), `COMMIT PREPARED 'late'`)
		}
		committed <- err
	}()
	result := b.upgradeInPlace()
	if !result.Switchover.Switched {
		t.Errorf("not upgraded: %s", result.Switchover.Reason)
	}
	if err := <-committed; err != nil {
		t.Errorf("the client saw: %v", err)
	}
	if rows := b.through(bouncer, `SELECT string_agg(b, ' ' ORDER BY b) FROM keyless`); rows != "early late" {
		t.Errorf("the rows are %q", rows)
	}
}

// preparedBeforeTheStop is what is prepared when the outage has begun, where no endpoint holds clients.
func (b *upgradeBed) preparedBeforeTheStop() {
	b.Helper()
	o := &outage{Worker: b.worker, plan: b.plan}
	var err error
	o.watch, err = pgx.Connect(b.Context(), b.source.DSN("postgres"))
	b.must(err)
	if err := o.pause(b.Context()); err == nil || !strings.Contains(err.Error(), `'it''s early' in database shop`) {
		b.Errorf("pause with a prepared transaction: %v", err)
	}
}

// untilPaused waits until PgBouncer was told to pause the database, whether or not it has come that far.
func (b *upgradeBed) untilPaused(console *pgx.Conn) error {
	for {
		var paused bool
		rows, err := console.Query(b.Context(), `SHOW DATABASES`)
		if err != nil {
			return err
		}
		databases, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			return err
		}
		for _, database := range databases {
			paused = paused || database["name"] == "shop" && fmt.Sprint(database["paused"]) == "1"
		}
		if paused {
			return nil
		}
		if err := sleep(b.Context(), 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// A slot from which a change is still to be read costs no outage, whether nobody reads or somebody does not confirm.
// One that has nothing to read but what happened in other databases goes over.
func TestInPlaceWithUnreadSlots(t *testing.T) {
	pgtest.Slow(t)
	t.Setenv("PGLEAP_TEST_VERSIONS", "17,18")
	b := newInPlaceBed(t, upgrade.TransferAuto, map[string]string{"autovacuum": "off", "wal_level": "logical"})
	b.plan.Options.SwitchoverTimeout = time.Second
	b.prepared()
	b.ask(b.plan.Source, "shop", `SELECT slot_name::text FROM pg_create_logical_replication_slot('stopped', 'test_decoding')`)
	b.ask(b.plan.Source, "Depot's", `SELECT slot_name::text FROM pg_create_logical_replication_slot('idle', 'pgoutput')`)
	b.source.Exec(t, "shop", `INSERT INTO keyless VALUES (1, 'unread')`)
	b.notBegun("nobody reads", "stopped of database shop (nobody reads from it", "pg_drop_replication_slot")

	b.ask(b.plan.Source, "shop", `SELECT data FROM pg_logical_slot_get_changes('stopped', NULL, NULL)`)
	deaf := b.readWithoutConfirming("stopped")
	b.source.Exec(t, "shop", `INSERT INTO keyless VALUES (1, 'unconfirmed')`)
	b.notBegun("nobody confirms", "stopped of database shop (its consumer does not confirm")
	b.must(deaf.Close(t.Context()))
	b.until("the consumer has gone", func() bool {
		return b.ask(b.plan.Source, "shop", `SELECT active::text FROM pg_replication_slots WHERE slot_name = 'stopped'`)[0] == "false"
	})

	b.ask(b.plan.Source, "shop", `SELECT data FROM pg_logical_slot_get_changes('stopped', NULL, NULL)`)
	// Where no slot is to spare for a look, pg_upgrade itself is asked, which takes both over.
	b.exec(b.source.Connect(t, "shop"), `SELECT pg_create_physical_replication_slot('spare' || i, false, true)
		FROM generate_series(1, current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)) AS i`)
	result := b.upgradeInPlace()
	if !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	if !slices.ContainsFunc(result.Events, func(e upgrade.Event) bool {
		return strings.Contains(e.Text, "slot idle of database Depot's may not be read to the end") && strings.Contains(e.Text, "53400")
	}) {
		t.Errorf("nothing is said of the slot that could not be read: %v", result.Events)
	}
	got := strings.Join(b.ask(b.plan.Target, "shop", `SELECT slot_name::text FROM pg_replication_slots ORDER BY 1`), " ")
	if got != "idle stopped" {
		t.Errorf("the target's slots are %q", got)
	}
}

// readWithoutConfirming is a consumer that takes what a slot sends, and says nothing.
func (b *upgradeBed) readWithoutConfirming(slot string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), b.source.DSN("shop")+"&replication=database")
	b.must(err)
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	front := conn.PgConn().Frontend()
	front.SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT " + slot + " LOGICAL 0/0"})
	b.must(front.Flush())
	b.until("the slot is read", func() bool {
		return b.ask(b.plan.Source, "shop", `SELECT active::text FROM pg_replication_slots WHERE slot_name = $1`, slot)[0] == "true"
	})
	return conn
}

// A pg_control.old of an earlier upgrade, which was undone by a copy, does not say that swap has begun.
func TestInPlaceSwapBesideAnOldControlFile(t *testing.T) {
	b := swapBed(t)
	b.plan.Options.Accepted = []string{upgrade.AcceptSwap}
	b.plan.Options.SwitchoverTimeout = time.Second
	bouncer := b.adoptBouncer()
	before := b.prepared()
	b.must(os.WriteFile(controlFile(b.plan.Source.Pgdata)+".old", []byte("stale"), 0o600))
	client := bouncer.Connect(t, "postgres", "shop")
	b.exec(client, `BEGIN`)
	b.exec(client, `INSERT INTO keyless VALUES (1, 'open')`)
	if result := b.upgradeInPlace(); result.Switchover.Switched || b.stage() != outageUndone {
		t.Errorf("outcome at %q: %+v", b.stage(), result.Switchover)
	}
	b.exec(client, `ROLLBACK`)
	b.isAsBefore(before)
}
