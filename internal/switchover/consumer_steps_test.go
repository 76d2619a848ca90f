package switchover

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// readEntries reads the references of entries from a slot of test_decoding up to an LSN, or to the end.
func (b *bed) readEntries(t *testing.T, conn *pgx.Conn, upTo string) []string {
	t.Helper()
	var end *string
	if upTo != "" {
		end = &upTo
	}
	rows, err := conn.Query(t.Context(), `SELECT data FROM pg_logical_slot_get_changes('cdc', $1::text::pg_lsn, NULL)`, end)
	must(t, "consume", err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "consume", err)
	var refs []string
	for _, line := range lines {
		if of := regexp.MustCompile(`public\.entry: INSERT: .*ref\[text\]:'([^']*)'`).FindStringSubmatch(line); of != nil {
			refs = append(refs, of[1])
		}
	}
	return refs
}

// wantNoHeldSlot wants none on the target that would keep WAL for a consumer who is not coming.
func (b *bed) wantNoHeldSlot(t *testing.T) {
	t.Helper()
	var left []string
	must(t, "list slots", b.ours(t, b.target, "app").QueryRow(t.Context(),
		"SELECT coalesce(array_agg(slot_name::text), '{}') FROM pg_replication_slots WHERE plugin <> 'pgoutput'").Scan(&left))
	if len(left) > 0 {
		t.Errorf("left on the target: %v", left)
	}
}

// A consumer follows clients to the target and back: it reads every entry once. A rehearsal and a
// refusal leave nothing on the target.
func TestConsumersFollowASwitchover(t *testing.T) {
	t.Parallel()
	b := lay(t)
	b.source.Exec(t, "app", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	w := b.write(t)
	w.awaitMore(t, 50)
	source, target := b.ours(t, b.source, "app"), b.ours(t, b.target, "app")
	var read []string

	config := b.config(t)
	config.Rehearse = true
	outcome, err := Run(t.Context(), config)
	if must(t, "rehearse", err); !outcome.Rehearsed || len(outcome.Consumers) > 0 {
		t.Fatalf("rehearsal: %+v", outcome)
	}
	b.wantNoHeldSlot(t)
	must(t, "prepare, and die", postgres.HoldSlot(t.Context(), target, "cdc", "test_decoding"))
	Tidy(t.Context(), b.config(t))
	b.wantNoHeldSlot(t)

	var former []upgrade.ConsumerSlot
	for _, c := range []struct {
		config   Config
		from, to *pgx.Conn
	}{{b.config(t), source, target}, {b.backConfig(t), target, source}} {
		w.awaitMore(t, 50)
		c.config.FormerConsumers = former
		outcome, err := Run(t.Context(), c.config)
		if must(t, "switch over", err); !outcome.Switched || len(outcome.Consumers) != 1 {
			t.Fatalf("did not switch: %+v", outcome)
		}
		t.Logf("%s; pause %s", outcome.Consumers[0], outcome.Pause)
		_, err = SettleConsumers(t.Context(), c.config, outcome)
		must(t, "settle again", err)
		b.open(t, c.config)
		w.awaitMore(t, 50)
		read = slices.Concat(read, b.readEntries(t, c.from, outcome.Consumers[0].OldEnd), b.readEntries(t, c.to, ""))
		former = outcome.Consumers
	}
	w.stop(t)
	read = append(read, b.readEntries(t, source, "")...)
	rows, err := source.Query(t.Context(), `SELECT ref FROM public.entry ORDER BY ref`)
	must(t, "list entries", err)
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "list entries", err)
	slices.Sort(read)
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("the consumer read (-written +read):\n%s", diff)
	}
}
