package onhost

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// What is held for a consumer is not held at any price.
func TestHeldTooLong(t *testing.T) {
	const gib = 1 << 30
	little := postgres.HeldWAL{Slot: "little", Retained: 1 << 20}
	for _, c := range []struct {
		name string
		held []postgres.HeldWAL
		free int64 // of 100 GiB
		want string
	}{
		{"within the cap", []postgres.HeldWAL{little, {Slot: "much", Retained: 10 * gib}}, 50 * gib, ""},
		{"beyond it", []postgres.HeldWAL{little, {Slot: "much", Retained: 11 * gib}}, 50 * gib, "slot much keeps 11264 MiB of WAL, more than the cap of 10240 MiB"},
		{"a disk that is nearly full", []postgres.HeldWAL{little, {Slot: "much", Retained: gib}}, 5*gib - 1, "5119 MiB of 102400 MiB are left"},
		{"which others fill", []postgres.HeldWAL{little}, gib, ""},
		{"one that is of no use", []postgres.HeldWAL{little, {Slot: "lost", Lost: true}}, 50 * gib, "dropped WAL that slot lost needs"},
	} {
		if got := tooLong(10*gib, c.held, c.free, 100*gib); (got != "") != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// consumersInTheWay has slots held on the target for two consumers, as a switchover leaves them that has come no
// further, and slots of somebody else by their names, so that they cannot be made. A third has got its slot, without
// failover, from a step that failed after that.
func (b *upgradeBed) consumersInTheWay() (consumers []upgrade.ConsumerSlot) {
	b.Helper()
	target := b.session(b.plan.Target, "shop")
	for _, name := range []string{"lake", "audit"} {
		b.exec(target, `SELECT pg_create_logical_replication_slot('`+name+`', 'test_decoding')`)
		b.must(postgres.HoldSlot(b.Context(), target, name, "test_decoding"))
	}
	start, err := postgres.FlushLSN(b.Context(), target)
	b.must(err)
	b.exec(target, `SELECT pg_create_logical_replication_slot('given', 'test_decoding')`)
	consumers = append(consumers, upgrade.ConsumerSlot{Name: "given", Database: "shop", Plugin: "test_decoding", Failover: true, NewStart: start.String()})
	for _, name := range []string{"lake", "audit"} {
		consumers = append(consumers, upgrade.ConsumerSlot{Name: name, Database: "shop", Plugin: "test_decoding", NewStart: start.String()})
	}
	return consumers
}

// consumersAreToldOf wants the user to know of them before the upgrade ends.
func (b *upgradeBed) consumersAreToldOf(events []upgrade.Event) {
	b.Helper()
	if !slices.ContainsFunc(events, func(e upgrade.Event) bool {
		return e.Level == upgrade.LevelError && strings.Contains(e.Text, "slot lake of database shop: ") && strings.Contains(e.Text, "it is tried again")
	}) {
		b.Errorf("told %+v", events)
	}
	if !slices.ContainsFunc(events, func(e upgrade.Event) bool {
		return e.Level == upgrade.LevelWarning && strings.Contains(e.Text, "slot given of database shop is there, but not as the old one was") &&
			strings.Contains(e.Text, "ALTER_REPLICATION_SLOT given (FAILOVER true)")
	}) {
		b.Errorf("nothing is told of what a slot lacks: %+v", events)
	}
}

func (b *upgradeBed) heldSlots() []string {
	b.Helper()
	return b.ask(b.plan.Target, "shop", `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '^pgleap_cdc' ORDER BY 1`)
}

// consumersAreTriedAgain while the other side follows: what is mended needs nobody to say so.
func (b *upgradeBed) consumersAreTriedAgain() {
	b.Helper()
	b.exec(b.session(b.plan.Target, "shop"), `SELECT pg_drop_replication_slot('lake')`)
	_, err := b.worker.Synchronize(b.Context(), step.SynchronizeArgs{Plan: b.plan.Back(), UntilReady: true})
	b.must(err)
	if held := b.heldSlots(); !slices.Equal(held, []string{postgres.HeldSlot("audit")}) {
		b.Errorf("held after a slot of somebody else is gone: %v", held)
	}
}

// consumersHoldTheEnd: an upgrade does not end while something is held for consumers; it does when that is given up, as
// the error says.
func (b *upgradeBed) consumersHoldTheEnd() {
	b.Helper()
	target := b.session(b.plan.Target, "shop")
	_, err := b.worker.Finish(b.Context(), b.plan)
	if err == nil || !strings.Contains(err.Error(), "slot audit of database shop: slot audit exists and stands at") ||
		strings.Contains(err.Error(), "lake") || len(b.heldSlots()) != 1 {
		b.Fatalf("with a slot of somebody else in the way: %v, held %v", err, b.heldSlots())
	}
	_, statement, _ := strings.Cut(err.Error(), "at port ")
	_, statement, _ = strings.Cut(statement, ": ")
	statement, _, _ = strings.Cut(statement, ": ")
	b.exec(target, statement) // given up
	b.until("nothing to be held", func() bool { return len(b.heldSlots()) == 0 })
	at := b.ask(b.plan.Target, "shop", `SELECT count(*)::text FROM pg_logical_slot_peek_changes('lake', NULL, NULL) WHERE data LIKE '%seven%'`)[0]
	if at != "1" {
		b.Errorf("the consumer finds %s of the rows that were written on the target", at)
	}
	b.exec(target, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name IN ('lake', 'audit', 'given')`)
}

// consumersHoldTheReturn: the same goes for an upgrade that is given up after clients have come back.
func (b *upgradeBed) consumersHoldTheReturn() {
	b.Helper()
	source := b.session(b.plan.Source, "shop")
	b.exec(source, `SELECT pg_create_logical_replication_slot('lake', 'test_decoding')`)
	b.must(postgres.HoldSlot(b.Context(), source, "lake", "test_decoding"))
	start, err := postgres.FlushLSN(b.Context(), source)
	b.must(err)
	for i, plan := range []upgrade.Plan{b.plan, b.plan.Back()} {
		path, err := b.worker.journalPath(step.SwitchOverArgs{Plan: plan, Attempt: i + 1})
		b.must(err)
		journal := switchover.OpenJournal(path, time.Now)
		outcome := upgrade.Switchover{Switched: true, Back: plan.Reversed}
		if plan.Reversed {
			outcome.Consumers = []upgrade.ConsumerSlot{{Name: "lake", Database: "shop", Plugin: "test_decoding", NewStart: start.String()}}
		}
		b.must(journal.Begin(b.Context(), switchover.Intent{Plan: plan}))
		b.must(journal.Commit(outcome))
		b.must(journal.Done(outcome))
	}
	ours := func() []string {
		return b.ask(b.plan.Source, "shop", `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '^pgleap'`)
	}
	_, err = b.worker.Discard(b.Context(), b.plan)
	if err == nil || !strings.Contains(err.Error(), "slot lake exists") || !slices.Equal(ours(), []string{postgres.HeldSlot("lake")}) {
		b.Errorf("with a slot of somebody else in the way: %v, left %v", err, ours())
	}
	b.exec(source, `SELECT pg_drop_replication_slot('lake')`)
	b.do("Discard", b.worker.Discard)
	if left := b.ask(b.plan.Source, "shop", `SELECT slot_name::text FROM pg_replication_slots`); !slices.Equal(left, []string{"lake"}) {
		b.Errorf("slots on the source: %v", left)
	}
}
