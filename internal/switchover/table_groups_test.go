package switchover

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// spanning makes every transaction of a client span two groups: each entry has a page.
const spanning = `
	CREATE TABLE page (ref text PRIMARY KEY);
	CREATE FUNCTION turn_page() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		INSERT INTO public.page VALUES (NEW.ref);
		RETURN NEW;
	END $$;
	CREATE TRIGGER page AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION turn_page()`

// entriesWithoutPage counts what is torn, in both directions.
const entriesWithoutPage = `SELECT count(*)::int FROM public.entry FULL JOIN public.page USING (ref) WHERE num_nulls(entry.ref, page.ref) > 0`

// wantGroups wants the tables of the application to be in two groups.
func (b *bed) wantGroups(t *testing.T) {
	t.Helper()
	published, err := postgres.PublishedTables(t.Context(), b.ours(t, b.source, "app"))
	must(t, "list published tables", err)
	for _, want := range []postgres.ReplicatedTable{
		{Table: "public.entry", Publication: upgrade.GroupPublication(1)},
		{Table: "public.page", Publication: upgrade.GroupPublication(2)},
	} {
		if !slices.Contains(published, want) {
			t.Fatalf("%v is not among %v", want, published)
		}
	}
}

// TestRoundTripsInGroups: transactions that span groups are not torn by a switchover, nor by one back and there
// again.
func TestRoundTripsInGroups(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := layInGroups(t, 2, spanning)
	b.wantGroups(t)
	w := b.write(t)
	trips := 2
	if pgtest.IsSlow() {
		trips = 5
	}
	for trip := range trips {
		for _, config := range []Config{b.config(t), b.backConfig(t)} {
			w.awaitMore(t, 50)
			var kept Snapshots
			config.Keep = func(s Snapshots) { kept = s }
			outcome, err := Run(t.Context(), config)
			must(t, "switch over", err)
			if !outcome.Switched {
				t.Fatalf("trip %d, back %t, did not switch: %s", trip, config.Plan.Reversed, outcome.Reason)
			}
			t.Logf("trip %d, back %t: pause %s: %v", trip, config.Plan.Reversed, outcome.Pause, outcome.Steps)
			wantAlike(t, kept)
			kept.Close()
			b.open(t, config)
			b.wasLeft = config.Plan.Reversed
		}
	}
	w.stop(t)
	b.synchronize(t)
	for _, c := range []*pgtest.Cluster{b.source, b.target} {
		w.wantOnce(t, b.ours(t, c, "app"), "app")
		var torn int
		must(t, "look for what is torn", b.ours(t, c, "app").QueryRow(t.Context(), entriesWithoutPage).Scan(&torn))
		if torn > 0 {
			t.Errorf("%d transactions are torn at port %d", torn, c.Port)
		}
	}
}

// TestDrainWaitsForAllGroups: one group has arrived, the other is held up. The switchover waits.
func TestDrainWaitsForAllGroups(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := layInGroups(t, 2, spanning)
	b.wantGroups(t)
	holder, onSource, watcher := b.target.Connect(t, "app"), b.ours(t, b.source, "app"), b.ours(t, b.target, "app")
	config := b.config(t)
	var steps []string
	released := make(chan struct{})
	config.OnStep = func(step string) {
		steps = append(steps, step)
		switch step {
		case "fence":
			_, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE page IN SHARE MODE`)
			must(t, "hold up a group", err)
			_, err = onSource.Exec(t.Context(), `INSERT INTO public.entry (ref) VALUES ('last')`)
			must(t, "write", err)
		case "drain":
			go func() {
				defer close(released)
				var torn int
				await(t, "one group to arrive without the other", func() bool {
					err := watcher.QueryRow(t.Context(), `
						SELECT count(*)::int FROM pgleap.marker WHERE number = (SELECT max(number) FROM pgleap.marker)
							AND EXISTS (SELECT FROM public.entry WHERE ref = 'last')`).Scan(&torn)
					return err == nil && torn == 1
				})
				_, err := holder.Exec(t.Context(), `COMMIT`)
				if err != nil {
					t.Errorf("let the group go on: %v", err)
				}
			}()
		case "sequences":
			select {
			case <-released:
			default:
				t.Error("the drain ended before all groups had arrived")
			}
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	var torn int
	must(t, "look for what is torn", watcher.QueryRow(t.Context(), entriesWithoutPage).Scan(&torn))
	if got := refs(t, watcher); torn > 0 || !slices.Equal(got, []string{"last"}) {
		t.Errorf("%d transactions are torn; entries %v", torn, got)
	}
	if want := []string{"drain", "sequences", "proof"}; !slices.Equal(steps[3:6], want) {
		t.Errorf("steps (-want +got):\n%s", cmp.Diff(want, steps[3:6]))
	}
}

// TestGroupNotFollowed: a table that both sides have, but that no group publishes, is not replicated, and neither is
// one whose subscription does not work.
func TestGroupNotFollowed(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := layInGroups(t, 2, spanning)
	refused := func(want string) {
		t.Helper()
		config := b.config(t)
		config.Plan.Options.SwitchoverTimeout /= 4
		outcome, err := Run(t.Context(), config)
		must(t, "switch over", err)
		if outcome.Switched {
			t.Fatal("it switched")
		}
		if !strings.Contains(outcome.Reason, want) {
			t.Errorf("it says %q, want %q", outcome.Reason, want)
		}
	}
	b.target.Exec(t, "app", "ALTER SUBSCRIPTION pgleap_forward_2 DISABLE")
	refused("the subscription of database app is not working")
	b.target.Exec(t, "app", "ALTER SUBSCRIPTION pgleap_forward_2 ENABLE")
	for _, c := range []*pgtest.Cluster{b.source, b.target} {
		c.Exec(t, "app", "CREATE TABLE late (id int PRIMARY KEY)")
	}
	refused("1 tables of database app are not replicated: public.late; on the source, in that database: ALTER PUBLICATION pgleap_group_1 ADD TABLE")
	// As if the subscription knew it.
	b.target.Exec(t, "app", `
		INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) SELECT oid, 'late'::regclass, 'r' FROM pg_subscription WHERE subname = 'pgleap_forward'`)
	refused("1 tables of database app are not replicated: public.late")
	b.target.Exec(t, "app", `DELETE FROM pg_subscription_rel WHERE srrelid = 'late'::regclass`)
	b.source.Exec(t, "app", "ALTER PUBLICATION pgleap_group_1 ADD TABLE late", "INSERT INTO late VALUES (1)")
	b.target.Exec(t, "app", "ALTER SUBSCRIPTION pgleap_forward REFRESH PUBLICATION")
	outcome, err := Run(t.Context(), b.config(t))
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	var rows int
	must(t, "count", b.ours(t, b.target, "app").QueryRow(t.Context(), "SELECT count(*)::int FROM public.late").Scan(&rows))
	if rows != 1 {
		t.Errorf("%d rows of the new table have come", rows)
	}
}
