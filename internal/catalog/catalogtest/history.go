package catalogtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func history(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("is chosen, sorted and paged", func(t *testing.T) { historyPages(t, open(t)) })
	t.Run("is that of the instance, and not of an earlier one", func(t *testing.T) { historyOfTheInstance(t, open(t)) })
	t.Run("knows prechecks that passed", func(t *testing.T) { historyPassed(t, open(t)) })
	t.Run("tells what a task was", func(t *testing.T) { historySummary(t, open(t)) })
	t.Run("has its times in order, whatever the clocks said", func(t *testing.T) { historyTimes(t, open(t)) })
	t.Run("has a log for people", func(t *testing.T) { historyLog(t, open(t)) })
}

func historyPages(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders(), another("billing"))
	do := func(task upgrade.Task, target upgrade.Major, end int) {
		task.Target = target
		task = created(t, c, task)
		if end > 0 {
			must(t, c.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, after(end)))
		}
	}
	do(aPrecheck("orders"), 17, 10)  // 1
	do(anUpgrade("orders"), 17, 300) // 2
	do(anUpgrade("orders"), 18, 100) // 3
	do(anUpgrade("orders"), 17, 100) // 4
	do(anUpgrade("billing"), 17, 50) // 5
	do(anUpgrade("orders"), 17, 0)   // 6: runs

	for _, test := range []struct {
		name   string
		filter catalog.HistoryFilter
		want   []int64
		total  int
	}{
		{"the newest first", catalog.HistoryFilter{}, []int64{6, 4, 3, 2}, 4},
		{"the oldest first", catalog.HistoryFilter{OldestFirst: true}, []int64{2, 3, 4, 6}, 4},
		{"the latest end first", catalog.HistoryFilter{ByEnd: true}, []int64{6, 2, 4, 3}, 4},
		{"the earliest end first", catalog.HistoryFilter{ByEnd: true, OldestFirst: true}, []int64{3, 4, 2, 6}, 4},
		{"the first page", catalog.HistoryFilter{Limit: 3}, []int64{6, 4, 3}, 4},
		{"the last page", catalog.HistoryFilter{Limit: 3, Offset: 3}, []int64{2}, 4},
		{"the rest", catalog.HistoryFilter{Offset: 1}, []int64{4, 3, 2}, 4},
		{"a page by the end", catalog.HistoryFilter{ByEnd: true, Limit: 2, Offset: 1}, []int64{2, 4}, 4},
		{"the page after the last", catalog.HistoryFilter{Limit: 2, Offset: 4}, nil, 4},
		{"a page far away", catalog.HistoryFilter{Limit: 2, Offset: 1 << 31}, nil, 4},
		{"a target", catalog.HistoryFilter{Target: 17, Limit: 2}, []int64{6, 4}, 3},
		{"a target that no task had", catalog.HistoryFilter{Target: 16}, nil, 0},
		{"a number", catalog.HistoryFilter{Number: 3}, []int64{3}, 1},
		{"a number and another target", catalog.HistoryFilter{Number: 3, Target: 17}, nil, 0},
		{"a precheck's number", catalog.HistoryFilter{Number: 1}, nil, 0},
		{"another instance's number", catalog.HistoryFilter{Number: 5}, nil, 0},
		{"prechecks", catalog.HistoryFilter{Kind: upgrade.TaskPrecheck}, []int64{1}, 1},
		{"another instance", catalog.HistoryFilter{Instance: "billing"}, []int64{5}, 1},
		{"no instance", catalog.HistoryFilter{Instance: "\x00"}, nil, 0},
	} {
		if test.filter.Instance == "" {
			test.filter.Instance = "orders"
		}
		if test.filter.Kind == "" {
			test.filter.Kind = upgrade.TaskUpgrade
		}
		page, total := historyPage(t, c, test.filter)
		same(t, test.name, summaryNumbers(page), test.want)
		same(t, "total of "+test.name, total, test.total)
	}
}

func historyOfTheInstance(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	ended(t, c, created(t, c, anUpgrade("orders")).Number, upgrade.StatusSucceeded) // 1
	ended(t, c, created(t, c, aPrecheck("orders")).Number, upgrade.StatusSucceeded) // 2
	of := func(f catalog.HistoryFilter) []int64 {
		t.Helper()
		f.Instance, f.Kind = "orders", upgrade.TaskUpgrade
		page, total := historyPage(t, c, f)
		same(t, "total", total, len(page))
		return summaryNumbers(page)
	}
	same(t, "while it is there", of(catalog.HistoryFilter{}), []int64{1})
	must(t, c.RemoveInstance(t.Context(), "orders"))
	same(t, "of an instance that was removed", of(catalog.HistoryFilter{}), []int64{1})

	again := orders()
	again.UUID, again.CreatedAt = "", after(500)
	withInstances(t, c, again)
	same(t, "of another one with its id", of(catalog.HistoryFilter{}), nil)
	same(t, "a number of the earlier one", of(catalog.HistoryFilter{Number: 1}), nil)
	next := anUpgrade("orders")
	next.StartedAt = after(495)                                                      // by a clock that was put back
	same(t, "the start of the first", created(t, c, next).StartedAt, keptAfter(500)) // 3
	same(t, "when that has been upgraded", of(catalog.HistoryFilter{}), []int64{3})
	same(t, "from its end", of(catalog.HistoryFilter{OldestFirst: true, ByEnd: true}), []int64{3})
	same(t, "of all times", of(catalog.HistoryFilter{OfAllTimes: true}), []int64{3, 1})
}

func historyPassed(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	blocker := []upgrade.Finding{{Check: "disk-space", Severity: upgrade.Blocker}}
	warning := []upgrade.Finding{{Check: "collation", Severity: upgrade.Warning}}
	for _, report := range []upgrade.Report{
		{Target: 170011, ValidUntil: keptAfter(100), Findings: warning},           // 1
		{Target: 170011, ValidUntil: keptAfter(100), Findings: blocker},           // 2
		{Target: 180005, ValidUntil: keptAfter(200)},                              // 3
		{Target: 170011, ValidUntil: keptAfter(200), NotChecked: []string{"all"}}, // 4
	} {
		task := aPrecheck("orders")
		task.Target = report.Target.Major()
		report.Number, report.Instance, report.Mode = created(t, c, task).Number, "orders", upgrade.ZeroDowntime
		must(t, c.SaveReport(t.Context(), report))
		ended(t, c, report.Number, upgrade.StatusSucceeded)
	}
	created(t, c, aPrecheck("orders")) // 5: has no report yet

	passed := func(at time.Time, target upgrade.Major) []int64 {
		t.Helper()
		page, total := historyPage(t, c, catalog.HistoryFilter{
			Instance: "orders", Kind: upgrade.TaskPrecheck, PassedAt: at, Target: target, Limit: 10,
		})
		same(t, "total", total, len(page))
		return summaryNumbers(page)
	}
	same(t, "while both are valid", passed(after(99), 0), []int64{3, 1})
	same(t, "for a target", passed(after(99), 17), []int64{1})
	same(t, "when one has expired", passed(after(100), 0), []int64{3})
	same(t, "when all have", passed(after(200), 0), nil)

	expiring := func(f catalog.HistoryFilter) []int64 {
		t.Helper()
		f.Instance, f.Kind, f.ByExpiry = "orders", upgrade.TaskPrecheck, true
		page, _ := historyPage(t, c, f)
		return summaryNumbers(page)
	}
	same(t, "by their expiry", expiring(catalog.HistoryFilter{}), []int64{5, 4, 3, 2, 1})
	same(t, "by their expiry, the first to expire first", expiring(catalog.HistoryFilter{OldestFirst: true, Limit: 3}), []int64{1, 2, 3})
	must(t, c.EndTask(t.Context(), 5, upgrade.Outcome{Status: upgrade.StatusFailed}, after(150)))
	same(t, "by their expiry, one without a report", expiring(catalog.HistoryFilter{}), []int64{4, 3, 5, 2, 1})
	must(t, c.RemoveInstance(t.Context(), "orders"))
	same(t, "of an instance that was removed", passed(after(99), 0), nil)
	page, _ := historyPage(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskPrecheck})
	same(t, "its history", summaryNumbers(page), []int64{5, 4, 3, 2, 1})
}

func historySummary(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	task := anUpgrade("orders")
	task.Phase = upgrade.PhasePrecheck
	task.Plan = &upgrade.Plan{
		Instance: "orders", Target: upgrade.Cluster{Version: 170011}, Options: upgrade.Options{Statistics: upgrade.StatisticsAfter},
	}
	task = created(t, c, task)
	want := catalog.Summary{
		Number: 1, ID: task.ID, Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.ZeroDowntime,
		Source: 150018, Target: 17, TargetVersion: 170011, Status: upgrade.StatusRunning, Phase: upgrade.PhasePrecheck,
		Statistics: upgrade.StatisticsAfter, StartedAt: kept,
	}
	check := func(moment string) {
		t.Helper()
		page, _ := historyPage(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade})
		page[0].Log = "" // has its own promises
		same(t, moment, page, []catalog.Summary{want})
	}
	check("when it has begun")

	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseSwitchover, after(1)))
	must(t, c.SetSwitchover(t.Context(), 1, upgrade.Switchover{StartedAt: after(2)}))
	from := keptAfter(2)
	want.Phase, want.SwitchStartedAt = upgrade.PhaseSwitchover, &from
	check("while clients wait")

	must(t, c.SetSwitchover(t.Context(), 1, upgrade.Switchover{StartedAt: after(2), EndedAt: after(3), Switched: true}))
	to := keptAfter(3)
	want.SwitchEndedAt, want.Switched = &to, true
	check("after the switchover")

	must(t, c.EndTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: "well\xff"}, after(4)))
	end := keptAfter(4)
	want.Status, want.Reason, want.EndedAt = upgrade.StatusSucceeded, "well\uFFFD", &end
	check("when it has ended")

	// An end may tell of a switchover.
	task.Plan.Options.Statistics = upgrade.StatisticsBefore
	second := created(t, c, task)
	switched := upgrade.Switchover{StartedAt: after(5), EndedAt: after(6), Switched: true}
	must(t, c.EndTask(t.Context(), 2, upgrade.Outcome{Status: upgrade.StatusFailed, Switchover: &switched}, after(7)))
	page, _ := historyPage(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade, Number: 2})
	from, to, end = keptAfter(5), keptAfter(6), keptAfter(7)
	want.Number, want.ID, want.Status, want.Phase, want.Reason = 2, second.ID, upgrade.StatusFailed, upgrade.PhasePrecheck, ""
	want.Statistics, page[0].Log = upgrade.StatisticsBefore, ""
	same(t, "the second one", page, []catalog.Summary{want})
}

// historyTimes lets tasks go on by clocks that have nothing to do with each other.
func historyTimes(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	const seed, rounds = 7, 60
	random := rand.New(rand.NewPCG(seed, seed))
	clock := func() time.Time { return after(random.IntN(1000)) }
	for range rounds {
		task := anUpgrade("orders")
		task.StartedAt = clock()
		task = created(t, c, task)
		if random.IntN(2) == 0 {
			must(t, c.EnterPhase(t.Context(), task.Number, upgrade.PhaseSwitchover, clock()))
		}
		if random.IntN(2) == 0 {
			must(t, c.SetSwitchover(t.Context(), task.Number, switchoverAt(random, clock)))
		}
		outcome := upgrade.Outcome{Status: upgrade.StatusSucceeded}
		if random.IntN(2) == 0 {
			last := switchoverAt(random, clock)
			outcome.Switchover = &last
		}
		checkTimes(t, c)
		must(t, c.EndTask(t.Context(), task.Number, outcome, clock()))
	}
	checkTimes(t, c)

	pages := []catalog.Summary{}
	const size = 7
	for offset := 0; offset < rounds; offset += size {
		page, _ := historyPage(t, c, catalog.HistoryFilter{
			Instance: "orders", Kind: upgrade.TaskUpgrade, ByEnd: true, OldestFirst: true, Limit: size, Offset: offset,
		})
		pages = append(pages, page...)
	}
	same(t, "tasks of all pages", len(pages), rounds)
	if !slices.IsSortedFunc(pages, func(a, b catalog.Summary) int { return a.EndedAt.Compare(*b.EndedAt) }) {
		t.Error("the history by the end does not have the ends in order")
	}
}

// switchoverAt is a switchover that may not have begun, or not ended.
func switchoverAt(random *rand.Rand, clock func() time.Time) upgrade.Switchover {
	var s upgrade.Switchover
	if random.IntN(4) > 0 {
		s.StartedAt = clock()
	}
	if random.IntN(4) > 0 {
		s.EndedAt = clock()
	}
	return s
}

func checkTimes(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	all, _ := historyPage(t, c, catalog.HistoryFilter{Instance: "orders", Kind: upgrade.TaskUpgrade})
	for _, s := range all {
		order := []*time.Time{&s.StartedAt, s.SwitchStartedAt, s.SwitchEndedAt, s.EndedAt}
		if s.SwitchStartedAt == nil && s.SwitchEndedAt != nil {
			t.Errorf("task %d: a switchover ended at %v that has not begun", s.Number, s.SwitchEndedAt)
		}
		order = slices.DeleteFunc(order, func(at *time.Time) bool { return at == nil })
		if !slices.IsSortedFunc(order, func(a, b *time.Time) int { return a.Compare(*b) }) {
			t.Errorf("task %d: times %v", s.Number, order)
		}
	}
}

func historyLog(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	created(t, c, anUpgrade("orders"))
	event := func(seconds int, text string) upgrade.Event { return upgrade.Event{At: after(seconds), Text: text} }
	for range 2 { // nothing counts twice
		must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseBaseBackup, after(1)))
		must(t, c.AppendEvents(t.Context(), 1, "a", []upgrade.Event{
			event(2, "copied\n   5 files"), event(3, "is that all?"), event(4, "gr\xfcn \x00"), event(5, "écrit."), event(6, "…"), event(7, ""),
		}))
	}
	must(t, c.AppendEvents(t.Context(), 1, "b", []upgrade.Event{event(60, "Done!")}))
	for range 2 {
		must(t, c.EndTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "disk full"}, after(61)))
	}
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseFinishing, after(62)))
	must(t, c.AppendEvents(t.Context(), 1, "c", []upgrade.Event{event(3600, "source kept")}))
	created(t, c, aPrecheck("orders"))
	must(t, c.EndTask(t.Context(), 2, upgrade.Outcome{Status: upgrade.StatusSucceeded}, after(1)))

	log := func(kind upgrade.TaskKind) string {
		page, _ := historyPage(t, c, catalog.HistoryFilter{Instance: "orders", Kind: kind})
		return page[0].Log
	}
	same(t, "log of the upgrade", log(upgrade.TaskUpgrade), `2026-03-01 11:00:00 --- The upgrade begins.
2026-03-01 11:00:01 --- Phase "base backup" begins.
2026-03-01 11:00:02 --- Copied 5 files.
2026-03-01 11:00:03 --- Is that all?
2026-03-01 11:00:04 --- Gr`+"\uFFFDn \uFFFD"+`.
2026-03-01 11:00:05 --- Écrit.
2026-03-01 11:00:06 --- ….
2026-03-01 11:00:07 --- `+`
2026-03-01 11:01:00 --- Done!
2026-03-01 11:01:01 --- The upgrade has ended: failed, disk full.
2026-03-01 12:00:00 --- Source kept.
`)
	same(t, "log of the precheck", log(upgrade.TaskPrecheck), `2026-03-01 11:00:00 --- The precheck begins.
2026-03-01 11:00:01 --- The precheck has ended: succeeded.
`)
}

func historyPage(t *testing.T, c *catalog.Catalog, f catalog.HistoryFilter) ([]catalog.Summary, int) {
	t.Helper()
	page, total, err := c.History(t.Context(), f)
	if err != nil {
		t.Fatal(fmt.Errorf("history %+v: %w", f, err))
	}
	return page, total
}

func summaryNumbers(page []catalog.Summary) []int64 {
	var numbers []int64
	for _, s := range page {
		numbers = append(numbers, s.Number)
	}
	return numbers
}
