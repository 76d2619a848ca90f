package onhost

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The story up to the switchover with table groups, while clients write transactions that span them: what they
// were told is written is on the target, once, and nothing of it is left in the end.
func TestChainInGroups(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	b.source.Exec(b, "shop", partlyForeign)
	b.plan.Options.TableGroups = 2
	clients := startLoad(b)
	b.step("PrepareSource", b.worker.PrepareSource)
	b.step("BaseBackup", b.worker.BaseBackup)
	b.step("StreamClone", b.worker.StreamClone)
	handover := twice(b, "CreateSlots", func(ctx context.Context) (step.Handover, error) { return b.worker.CreateSlots(ctx, b.plan) })
	args := step.HandoverArgs{Plan: b.plan, Handover: handover}
	twice(b, "PromoteClone", func(ctx context.Context) (step.Done, error) { return b.worker.PromoteClone(ctx, args) })
	b.step("InitTarget", b.worker.InitTarget)
	b.step("PgUpgrade", b.worker.PgUpgrade)
	b.step("StartTarget", b.worker.StartTarget)
	twice(b, "Subscribe", func(ctx context.Context) (step.Done, error) { return b.worker.Subscribe(ctx, args) })
	b.crashTarget()
	b.step("PrepareWayBack", b.worker.PrepareWayBack)
	entries, stock := clients.end()
	b.caughtUp()
	b.allGroupsArrived()
	b.booksBalance(b.plan.Source, entries, stock)
	b.booksBalance(b.plan.Target, entries, stock)
	b.sameRows()
	want := []string{"pgleap_back", "pgleap_forward", "pgleap_forward_2"}
	var got []string
	for _, side := range []upgrade.Cluster{b.plan.Source, b.plan.Target} {
		got = append(got, b.ask(side, "shop", `
			SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() ORDER BY 1`)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subscriptions of shop (-want +got):\n%s", diff)
	}
	b.wayBack()
	b.finish()
}

// allGroupsArrived sends a marker through every database.
func (b *upgradeBed) allGroupsArrived() {
	b.Helper()
	b.must(inEachDatabase(b.Context(), login(b.plan, b.plan.Source), func(from *pgx.Conn, db postgres.ReplicatedDatabase) error {
		number, err := postgres.AdvanceMarker(b.Context(), from)
		b.must(err)
		return with(b.Context(), login(b.plan, b.plan.Target).In(db.Name), func(to *pgx.Conn) error {
			b.until("the marker in all groups of "+db.Name, func() bool {
				marker, err := postgres.ReadMarker(b.Context(), to)
				return err == nil && marker.Number >= number
			})
			return nil
		})
	}))
}

// An attempt may be cut short anywhere: groups and slots are completed by the next.
func TestCreateSlotsForGroups(t *testing.T) {
	t.Parallel()
	b := newUpgradeBed(t)
	b.plan.Options.TableGroups = 2
	before := b.sourceState()
	b.do("PrepareSource", b.worker.PrepareSource)
	source := quiet(login(b.plan, b.plan.Source)).In("shop")
	b.must(with(t.Context(), source, func(conn *pgx.Conn) error {
		_, err := postgres.EnsureTableGroups(t.Context(), conn, 2)
		b.must(err)
		var group string
		b.must(conn.QueryRow(t.Context(), `
			SELECT pubname FROM pg_publication_tables WHERE tablename = 'ledger' AND pubname <> $1`, upgrade.Publication).Scan(&group))
		_, err = conn.Exec(t.Context(), "ALTER PUBLICATION "+group+" DROP TABLE ONLY public.ledger")
		return err
	}))
	made, err := b.worker.createSlots(t.Context(), b.plan)
	b.must(err)
	var got []string
	for _, slot := range made.Slots {
		name, numbered := strings.CutSuffix(slot.Name, "_2")
		got = append(got, slot.Database+": "+strings.Repeat("I", slot.Group))
		if name != upgrade.SlotName(slot.DatabaseOID) || numbered != (slot.Group == 2) {
			t.Errorf("slot %+v", slot)
		}
	}
	if diff := cmp.Diff([]string{"Depot's: ", "postgres: ", "shop: I", "shop: II"}, got); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	if !slices.ContainsFunc(made.Events, func(e upgrade.Event) bool {
		return e.Text == "database shop: 4 tables are shared among 2 groups, each with a subscription of its own"
	}) {
		t.Errorf("events: %v", made.Events)
	}
	again, err := b.worker.createSlots(t.Context(), b.plan)
	b.must(err)
	if diff := cmp.Diff(made.Slots, again.Slots); diff != "" {
		t.Errorf("the second call made other slots (-first +second):\n%s", diff)
	}
	twice := b.ask(b.plan.Source, "shop", `
		SELECT tablename::text FROM pg_publication_tables WHERE pubname ~ '^pgleap_group' GROUP BY 1 HAVING count(*) <> 1
		UNION ALL
		SELECT tablename::text FROM pg_publication_tables GROUP BY 1 HAVING count(*) <> 2`)
	if len(twice) > 0 {
		t.Errorf("not in one group: %v", twice)
	}
	b.step("Discard", b.worker.Discard)
	b.unchanged(before)
}

func TestDescribeGroups(t *testing.T) {
	w := &Worker{now: time.Now}
	for _, c := range []struct {
		groups postgres.TableGroups
		want   []string
	}{
		{postgres.TableGroups{}, nil},
		{
			postgres.TableGroups{Count: 2, Tables: 9},
			[]string{"info: database shop: 9 tables are shared among 2 groups, each with a subscription of its own"},
		},
		{
			postgres.TableGroups{Count: 3, Tables: 9, Cut: []string{"a and b", "b and c", "c and d", "d and e"}},
			[]string{
				"info: database shop: 9 tables are shared among 3 groups, each with a subscription of its own",
				"warning: database shop: 4 foreign keys lead from one group to another (a and b; b and c; c and d); " +
					"rows are not affected, but replication stops at a TRUNCATE of such tables",
			},
		},
	} {
		var got []string
		for _, event := range w.describeGroups(t.Context(), "shop", c.groups) {
			got = append(got, string(event.Level)+": "+event.Text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.groups, diff)
		}
	}
}
