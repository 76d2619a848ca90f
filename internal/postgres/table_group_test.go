package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// groupedSchema has every kind of table that is published in a way of its own.
const groupedSchema = `
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
	CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES account, delta int NOT NULL);
	CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY, day int NOT NULL, entry bigint, PRIMARY KEY (day, id)) PARTITION BY LIST (day);
	CREATE TABLE visit_even PARTITION OF visit FOR VALUES IN (0);
	CREATE TABLE visit_odd PARTITION OF visit FOR VALUES IN (1) PARTITION BY LIST (day);
	CREATE TABLE visit_one PARTITION OF visit_odd FOR VALUES IN (1);
	CREATE TABLE nothing (day int PRIMARY KEY) PARTITION BY LIST (day);
	CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
	CREATE FOREIGN DATA WRAPPER nowhere;
	CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
	CREATE TABLE parcel (id int NOT NULL) PARTITION BY RANGE (id);
	CREATE TABLE parcel_here PARTITION OF parcel (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
	CREATE FOREIGN TABLE parcel_there PARTITION OF parcel FOR VALUES FROM (10) TO (20) SERVER elsewhere;
	CREATE UNLOGGED TABLE scratch (id int);
	CREATE SCHEMA "Odd ""schema""";
	CREATE TABLE "Odd ""schema"""."it's \ odd" (id int PRIMARY KEY);
	INSERT INTO account SELECT generate_series(1, 20)`

// groupPair are a source and a target with the same tables.
type groupPair struct {
	source, target *pgtest.Cluster
	from, to       *pgx.Conn // ours
}

func newGroupPair(t *testing.T) *groupPair {
	t.Helper()
	versions := pgtest.Versions(t)
	return groupPairOf(t, versions[0], versions[len(versions)-1], groupedSchema)
}

func groupPairOf(t *testing.T, oldVersion, newVersion int, schema string) *groupPair {
	t.Helper()
	p := &groupPair{}
	p.source, p.target = pgtest.Pair(t, oldVersion, newVersion)
	for _, c := range []*pgtest.Cluster{p.source, p.target} {
		c.Exec(t, "postgres", schema)
		conn := c.Connect(t, "postgres")
		must(t, "make role", postgres.EnsureRole(t.Context(), conn, verifier(t, "secret")))
		must(t, "make marker", postgres.EnsureMarker(t.Context(), conn))
	}
	p.from, p.to = ours(t, p.source), ours(t, p.target)
	must(t, "publish", postgres.EnsurePublication(t.Context(), p.from))
	return p
}

// follow makes the groups of both sides, for a clone has them too, and lets the target follow.
func (p *groupPair) follow(t *testing.T, most int) postgres.TableGroups {
	t.Helper()
	groups, err := postgres.EnsureTableGroups(t.Context(), p.from, most)
	must(t, "share tables", err)
	onTarget, err := postgres.EnsureTableGroups(t.Context(), p.to, most)
	if must(t, "share tables", err); onTarget.Count != groups.Count {
		t.Fatalf("%d groups on the source, %d on the target", groups.Count, onTarget.Count)
	}
	var last postgres.LSN
	for group := 1; group <= groups.Count; group++ {
		last, err = postgres.EnsureLogicalSlot(t.Context(), p.from, upgrade.GroupSlotName(5, group))
		must(t, "make slot", err)
	}
	for group := 1; group <= groups.Count; group++ {
		twice(t, "subscribe", func() error {
			return postgres.Subscribe(t.Context(), p.to, postgres.NewSubscription{
				Name: upgrade.GroupSubscription(group), Publication: upgrade.GroupPublication(group), Publisher: login(p.source),
				Slot: upgrade.GroupSlotName(5, group), Version: upgrade.Major(p.source.Major), From: last,
			})
		})
	}
	return groups
}

// TestTableGroupsCoverAll: whatever the publication of all tables sends is sent by one group and no other.
func TestTableGroupsCoverAll(t *testing.T) {
	t.Parallel()
	p := newGroupPair(t)
	groups, err := postgres.EnsureTableGroups(t.Context(), p.from, 3)
	must(t, "share tables", err)
	if groups.Count != 3 || groups.Tables != 8 {
		t.Errorf("%+v, want 8 tables in 3 groups", groups)
	}
	p.eachOnce(t)
	// It goes on where it was: a table that was made since comes into a group.
	p.source.Exec(t, "postgres", "CREATE TABLE late (id int PRIMARY KEY)")
	again, err := postgres.EnsureTableGroups(t.Context(), p.from, 3)
	if must(t, "share tables again", err); again.Count != 3 || again.Tables != 9 {
		t.Errorf("%+v, want 9 tables in 3 groups", again)
	}
	p.eachOnce(t)
	p.source.Exec(t, "postgres", "CREATE TABLE visit_two PARTITION OF visit FOR VALUES IN (2)")
	p.eachOnce(t)
	// But not when there is a slot: it may have passed what was written there.
	_, err = postgres.EnsureLogicalSlot(t.Context(), p.from, "pgleap_5")
	must(t, "make slot", err)
	p.source.Exec(t, "postgres", "CREATE TABLE too_late (id int PRIMARY KEY)")
	_, err = postgres.EnsureTableGroups(t.Context(), p.from, 3)
	must(t, "share tables with a slot", err)
	published := p.published(t)
	if diff := cmp.Diff([]string{upgrade.Publication}, published["public.too_late"]); diff != "" {
		t.Errorf("publications of a table that came too late (-want +got):\n%s", diff)
	}
}

// published lists the publications of each table.
func (p *groupPair) published(t *testing.T) map[string][]string {
	t.Helper()
	tables, err := postgres.PublishedTables(t.Context(), p.from)
	must(t, "list published tables", err)
	found := map[string][]string{}
	for _, table := range tables {
		found[table.Table] = append(found[table.Table], table.Publication)
		slices.Sort(found[table.Table])
	}
	return found
}

func (p *groupPair) eachOnce(t *testing.T) {
	t.Helper()
	published := p.published(t)
	for table, publications := range published {
		if len(publications) != 2 || publications[0] != upgrade.Publication {
			t.Errorf("%s is published by %v", table, publications)
		}
	}
	if published["public.parcel_here"] == nil || published["public.parcel_there"] != nil {
		t.Errorf("of a table with a foreign partition the local ones are to be published: %v", published)
	}
	if len(published) < 10 {
		t.Errorf("only %d tables are published: %v", len(published), published)
	}
	for _, together := range [][2]string{{"public.visit_even", "public.visit_one"}, {"pgleap.marker", "pgleap.marker"}} {
		if diff := cmp.Diff(published[together[0]], published[together[1]]); diff != "" {
			t.Errorf("%v are not in one group:\n%s", together, diff)
		}
	}
}

func TestFewTablesHaveFewGroups(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	for _, tc := range []struct {
		name               string
		tables, most, want int
		slotBefore         bool
	}{
		{name: "one group is none", tables: 3, most: 1},
		{name: "an option of an older plan", tables: 3, most: 0},
		{name: "no table", tables: 0, most: 4},
		{name: "one table", tables: 1, most: 4},
		{name: "two tables", tables: 2, most: 4, want: 2},
		{name: "more tables than groups", tables: 9, most: 4, want: 4},
		{name: "more groups than there may be", tables: 20, most: 100, want: upgrade.MaxTableGroups},
		{name: "a slot that was there before", tables: 3, most: 2, slotBefore: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			database := fmt.Sprintf("d%d_%d_%t", tc.tables, tc.most, tc.slotBefore)
			c.CreateDatabase(t, database)
			conn := c.Connect(t, database)
			must(t, "make role", postgres.EnsureRole(t.Context(), conn, verifier(t, "secret")))
			must(t, "make marker", postgres.EnsureMarker(t.Context(), conn))
			must(t, "publish", postgres.EnsurePublication(t.Context(), conn))
			for i := range tc.tables {
				c.Exec(t, database, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY)", i))
			}
			if tc.slotBefore {
				_, err := postgres.EnsureLogicalSlot(t.Context(), conn, "pgleap_1_2")
				must(t, "make slot", err)
			}
			for range 2 {
				groups, err := postgres.EnsureTableGroups(t.Context(), conn, tc.most)
				must(t, "share tables", err)
				if groups.Count != tc.want {
					t.Errorf("%d groups, want %d", groups.Count, tc.want)
				}
			}
			for range 2 {
				must(t, "drop publication", postgres.DropPublication(t.Context(), conn))
				must(t, "drop marker", postgres.DropMarker(t.Context(), conn))
			}
			if tc.slotBefore {
				return
			}
			left, err := postgres.OurObjects(t.Context(), conn)
			if must(t, "look what is left", err); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestOurGroupsAreFound: what an upgrade with groups made and did not remove is found by name.
func TestOurGroupsAreFound(t *testing.T) {
	t.Parallel()
	p := newGroupPair(t)
	p.follow(t, 2)
	for side, want := range map[*pgx.Conn][]string{
		p.from: {"publication pgleap_forward", "publication pgleap_group_1", "publication pgleap_group_2", "schema pgleap", "slot pgleap_5", "slot pgleap_5_2"},
		p.to:   {"publication pgleap_group_1", "publication pgleap_group_2", "schema pgleap", "subscription pgleap_forward", "subscription pgleap_forward_2"},
	} {
		left, err := postgres.OurObjects(t.Context(), side)
		must(t, "look for our objects", err)
		if diff := cmp.Diff(want, left); diff != "" {
			t.Errorf("our objects (-want +got):\n%s", diff)
		}
	}
	must(t, "drop subscriptions", postgres.DropSubscriptions(t.Context(), p.to, upgrade.Subscription))
	for _, slot := range []string{"pgleap_5", "pgleap_5_2"} {
		must(t, "drop slot", postgres.DropSlot(t.Context(), p.from, slot))
	}
	for _, side := range []*pgx.Conn{p.from, p.to} {
		must(t, "drop publications", postgres.DropPublication(t.Context(), side))
		must(t, "drop markers", postgres.DropMarker(t.Context(), side))
		left, err := postgres.OurObjects(t.Context(), side)
		if must(t, "look for our objects", err); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestGroupsUnderLoad: transactions span groups. When the marker has arrived every group has all of them.
func TestGroupsUnderLoad(t *testing.T) {
	t.Parallel()
	p := newGroupPair(t)
	groups := p.follow(t, 3)
	if groups.Count != 3 {
		t.Fatalf("%d groups", groups.Count)
	}
	var clients sync.WaitGroup
	for client := range 4 {
		conn := p.source.Connect(t, "postgres")
		clients.Go(func() {
			for i := range 150 {
				_, err := conn.Exec(t.Context(), fmt.Sprintf(`
					BEGIN;
					INSERT INTO entry (account, delta) VALUES (%[1]d, %[2]d);
					UPDATE account SET balance = balance + %[2]d WHERE id = %[1]d;
					INSERT INTO visit (day, entry) SELECT %[2]d %% 2, currval('entry_id_seq');
					COMMIT`, client*5+i%5+1, i))
				if err != nil {
					t.Errorf("client %d: %v", client, err)
					return
				}
			}
		})
	}
	for range 5 {
		number, err := postgres.AdvanceMarker(t.Context(), p.from)
		must(t, "write marker", err)
		awaitMarker(t, p.to, number)
	}
	clients.Wait()
	p.source.Exec(t, "postgres", "INSERT INTO parcel VALUES (1), (2)", "UPDATE parcel SET id = 3 WHERE id = 2")
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "write marker", err)
	awaitMarker(t, p.to, number)
	const balanced = `
		SELECT (SELECT count(*) FROM entry) || ' entries, ' || (SELECT count(*) FROM visit) || ' visits, ' || (SELECT sum(id) FROM ONLY parcel_here) || ' parcels, ' || (
			SELECT count(*) FROM account a WHERE balance <> (SELECT coalesce(sum(delta), 0) FROM entry WHERE account = a.id)) || ' wrong'`
	for _, c := range []*pgtest.Cluster{p.source, p.target} {
		var got string
		must(t, "ask", c.Connect(t, "postgres").QueryRow(t.Context(), balanced).Scan(&got))
		if want := "600 entries, 600 visits, 4 parcels, 0 wrong"; got != want {
			t.Errorf("PostgreSQL %d: got %s, want %s", c.Major, got, want)
		}
	}
}

// TestMarkerWaitsForAllGroups: as long as one group has not arrived, the marker has not.
func TestMarkerWaitsForAllGroups(t *testing.T) {
	t.Parallel()
	p := newGroupPair(t)
	p.follow(t, 3)
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "write marker", err)
	awaitMarker(t, p.to, number)
	for group := 1; group <= 3; group++ {
		name := upgrade.GroupSubscription(group)
		p.target.Exec(t, "postgres", "ALTER SUBSCRIPTION "+name+" DISABLE")
		next, err := postgres.AdvanceMarker(t.Context(), p.from)
		must(t, "write marker", err)
		if next != number+1 {
			t.Errorf("marker %d comes after %d", next, number)
		}
		arrived := func(number int64) (groups int) {
			must(t, "ask", p.to.QueryRow(t.Context(), "SELECT count(*)::int FROM pgleap.marker WHERE number = $1", number).Scan(&groups))
			return groups
		}
		until(t, "the other groups to arrive", func() bool { return arrived(next) == 2 })
		marker, err := postgres.ReadMarker(t.Context(), p.to)
		if must(t, "read marker", err); marker.Number != number {
			t.Errorf("without group %d the marker is at %d, want %d", group, marker.Number, number)
		}
		state, err := postgres.ReadSubscriptions(t.Context(), p.to, upgrade.Subscription)
		if must(t, "read subscriptions", err); state.Enabled || len(state.OIDs) != 3 {
			t.Errorf("without group %d: %+v", group, state)
		}
		p.target.Exec(t, "postgres", "ALTER SUBSCRIPTION "+name+" ENABLE")
		awaitMarker(t, p.to, next)
		number = next
	}
	// Markers that have come apart, as by a hand, come together again.
	p.source.Exec(t, "postgres", "UPDATE pgleap.marker SET number = number + 10 * id")
	next, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "write marker", err)
	awaitMarker(t, p.to, next)
	if marker, err := postgres.ReadMarker(t.Context(), p.from); err != nil || marker.Number != next {
		t.Errorf("the source's marker is at %d, want %d (%v)", marker.Number, next, err)
	}
}

// TestTruncateAcrossGroups: a referenced table cannot be truncated without those that reference it, which another
// group has. A person gets it going again as docs/table-groups.md says.
func TestTruncateAcrossGroups(t *testing.T) {
	t.Parallel()
	p := newGroupPair(t)
	groups := p.follow(t, 3)
	if diff := cmp.Diff([]string{"public.entry and public.account"}, groups.Cut); diff != "" {
		t.Errorf("foreign keys between groups (-want +got):\n%s", diff)
	}
	p.source.Exec(t, "postgres", "TRUNCATE account, entry")
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "write marker", err)
	until(t, "the group to fail", func() bool {
		var errors int
		must(t, "ask", p.to.QueryRow(t.Context(), `SELECT coalesce(sum(apply_error_count), 0)::int FROM pg_stat_subscription_stats`).Scan(&errors))
		return errors > 0
	})
	if marker, err := postgres.ReadMarker(t.Context(), p.to); err != nil || marker.Number >= number {
		t.Errorf("marker %d has arrived (%v)", marker.Number, err)
	}
	p.target.Exec(t, "postgres", "ALTER TABLE entry DROP CONSTRAINT entry_account_fkey")
	awaitMarker(t, p.to, number)
	p.target.Exec(t, "postgres", "ALTER TABLE entry ADD CONSTRAINT entry_account_fkey FOREIGN KEY (account) REFERENCES account")
	var rows int
	must(t, "count", p.to.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM public.account) + (SELECT count(*) FROM public.entry)").Scan(&rows))
	if rows > 0 {
		t.Errorf("%d rows are left", rows)
	}
}

// TestTruncateAcrossGroupsNotEnforced: a foreign key that is not enforced is in the way where the table that it refers
// to has a trigger, and only there.
func TestTruncateAcrossGroupsNotEnforced(t *testing.T) {
	t.Parallel()
	p := groupPairOf(t, 18, 19, `
		CREATE TABLE account (id int PRIMARY KEY);
		CREATE TABLE entry (id int PRIMARY KEY, account int REFERENCES account NOT ENFORCED);
		CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY LIST (id);
		CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
		CREATE TABLE piece (id int PRIMARY KEY, whole int REFERENCES whole NOT ENFORCED);
		INSERT INTO account VALUES (1); INSERT INTO entry VALUES (1, 7); INSERT INTO whole VALUES (1); INSERT INTO piece VALUES (1, 7)`)
	if cut := p.follow(t, 4).Cut; len(cut) > 0 {
		t.Errorf("foreign keys between groups: %q", cut)
	}
	p.source.Exec(t, "postgres", "TRUNCATE account, entry", "TRUNCATE whole CASCADE")
	number, err := postgres.AdvanceMarker(t.Context(), p.from)
	must(t, "write marker", err)
	awaitMarker(t, p.to, number)

	const watch = `CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER watch BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION watch();
		CREATE TRIGGER watch BEFORE INSERT ON whole_1 FOR EACH ROW EXECUTE FUNCTION watch()`
	p.source.Exec(t, "postgres", watch)
	p.target.Exec(t, "postgres", watch)
	groups, err := postgres.EnsureTableGroups(t.Context(), p.from, 4)
	must(t, "look again", err)
	if diff := cmp.Diff([]string{"public.entry and public.account", "public.piece and public.whole"}, groups.Cut); diff != "" {
		t.Errorf("foreign keys between groups when there are triggers (-want +got):\n%s", diff)
	}
	p.source.Exec(t, "postgres", "TRUNCATE account CASCADE")
	until(t, "the group to fail", func() bool {
		var errors int
		must(t, "ask", p.to.QueryRow(t.Context(), `SELECT coalesce(sum(apply_error_count), 0)::int FROM pg_stat_subscription_stats`).Scan(&errors))
		return errors > 0
	})
}
