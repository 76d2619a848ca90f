package catalogtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func tasks(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("get a number and a UUID", func(t *testing.T) { numbers(t, open(t)) })
	t.Run("are read as they were created", func(t *testing.T) { readBack(t, open(t)) })
	t.Run("one upgrade of an instance runs at a time", func(t *testing.T) { oneUpgrade(t, open(t)) })
	t.Run("some prechecks run at a time", func(t *testing.T) { somePrechecks(t, open(t)) })
	t.Run("are chosen by a filter", func(t *testing.T) { filters(t, open(t)) })
	t.Run("show where they stand", func(t *testing.T) { progress(t, open(t)) })
	t.Run("end once", func(t *testing.T) { endOnce(t, open(t)) })

	t.Run("that do not exist", func(t *testing.T) {
		c := open(t)
		_, err := c.CreateTask(t.Context(), anUpgrade("none"))
		missing(t, err, "instance")
		_, err = c.Task(t.Context(), 7)
		missing(t, err, "task")
		for _, id := range []string{"", "none", "\x00", uuid.NewString()} {
			_, err = c.TaskByID(t.Context(), id)
			missing(t, err, "task")
		}
		missing(t, c.EnterPhase(t.Context(), 7, upgrade.PhasePrepare, noon), "task")
		missing(t, c.SetProgress(t.Context(), 7, upgrade.Progress{}), "task")
		missing(t, c.SetSwitchover(t.Context(), 7, upgrade.Switchover{}), "task")
		missing(t, c.EndTask(t.Context(), 7, upgrade.Outcome{Status: upgrade.StatusFailed}, noon), "task")
	})
}

func numbers(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders(), another("billing"))
	first := created(t, c, aPrecheck("orders"))
	second := created(t, c, anUpgrade("orders"))
	third := created(t, c, anUpgrade("billing"))
	same(t, "numbers", []int64{first.Number, second.Number, third.Number}, []int64{1, 2, 3})

	// What is refused takes no number.
	if _, err := c.CreateTask(t.Context(), anUpgrade("orders")); err == nil {
		t.Error("a second upgrade of orders was not refused")
	}
	same(t, "number after a refusal", created(t, c, aPrecheck("billing")).Number, 4)

	id, err := uuid.Parse(second.ID)
	must(t, err)
	same(t, "version of the UUID", id.Version(), 4)
	if first.ID == second.ID {
		t.Error("two tasks have one UUID")
	}
}

func readBack(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	task := anUpgrade("orders")
	task.Phase, task.Server = upgrade.PhasePrecheck, "db1:/var/lib/pgleap"
	task.Plan = &upgrade.Plan{Instance: "orders", Mode: upgrade.ZeroDowntime, Options: upgrade.Options{}.WithDefaults()}
	got := created(t, c, task)

	want := task
	plan := *task.Plan
	plan.Number, plan.ID = got.Number, got.ID
	want.Number, want.ID, want.Plan, want.Status, want.StartedAt = 1, got.ID, &plan, upgrade.StatusRunning, kept
	want.Phases = []upgrade.PhaseSpan{{Phase: upgrade.PhasePrecheck, StartedAt: kept}}
	same(t, "what CreateTask returned", got, want)
	same(t, "by number", taskNow(t, c, 1), want)
	byID, err := c.TaskByID(t.Context(), got.ID)
	must(t, err)
	same(t, "by id", byID, want)
}

func oneUpgrade(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	running := created(t, c, anUpgrade("orders"))
	_, err := c.CreateTask(t.Context(), anUpgrade("orders"))
	refused(t, err, `upgrade 1 of instance "orders" is running`, "pgleap switchover orders cancel")
	ended(t, c, running.Number, upgrade.StatusCancelled)
	created(t, c, anUpgrade("orders"))
}

// Who may only look may start prechecks: one of an instance, and a few on a host.
func somePrechecks(t *testing.T, c *catalog.Catalog) {
	on := func(host, instance string) upgrade.Task {
		task := aPrecheck(instance)
		task.Plan = &upgrade.Plan{Instance: instance, Source: upgrade.Cluster{Host: host}}
		return task
	}
	withInstances(t, c, orders(), another("billing"), another("elsewhere"))
	created(t, c, anUpgrade("orders"))
	first := created(t, c, on("db1", "orders"))
	_, err := c.CreateTask(t.Context(), on("db1", "orders"))
	refused(t, err, `precheck 2 of instance "orders" is running`, "wait")
	same(t, "its cause", upgrade.CauseOf(err), upgrade.CauseRunning)

	for i := range catalog.MaxPrechecks - 1 {
		id := fmt.Sprintf("shop%d", i)
		withInstances(t, c, another(id))
		created(t, c, on("db1", id))
	}
	_, err = c.CreateTask(t.Context(), on("db1", "billing"))
	refused(t, err, "4 prechecks are running on host db1", "wait")
	same(t, "its cause", upgrade.CauseOf(err), upgrade.CauseRunning)
	created(t, c, on("db2", "elsewhere"))
	created(t, c, anUpgrade("billing")) // has a precheck of its own

	ended(t, c, first.Number, upgrade.StatusSucceeded)
	created(t, c, on("db1", "billing"))
}

func filters(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders(), another("billing"))
	created(t, c, aPrecheck("orders"))  // 1
	created(t, c, anUpgrade("orders"))  // 2
	created(t, c, aPrecheck("billing")) // 3
	created(t, c, anUpgrade("billing")) // 4
	ended(t, c, 1, upgrade.StatusSucceeded)
	ended(t, c, 4, upgrade.StatusFailed)

	for _, test := range []struct {
		name   string
		filter catalog.TaskFilter
		want   []int64
	}{
		{"all, the newest first", catalog.TaskFilter{}, []int64{4, 3, 2, 1}},
		{"of an instance", catalog.TaskFilter{Instance: "orders"}, []int64{2, 1}},
		{"of an instance that does not exist", catalog.TaskFilter{Instance: "none"}, nil},
		{"of a kind", catalog.TaskFilter{Kind: upgrade.TaskUpgrade}, []int64{4, 2}},
		{"of a status", catalog.TaskFilter{Status: upgrade.StatusRunning}, []int64{3, 2}},
		{"of all three", catalog.TaskFilter{Instance: "billing", Kind: upgrade.TaskUpgrade, Status: upgrade.StatusFailed}, []int64{4}},
		{"the first page", catalog.TaskFilter{Limit: 3}, []int64{4, 3, 2}},
		{"the next page", catalog.TaskFilter{Limit: 3, BeforeNumber: 2}, []int64{1}},
	} {
		got, err := c.Tasks(t.Context(), test.filter)
		must(t, err)
		same(t, test.name, taskNumbers(got), test.want)
	}
	running, err := c.RunningTasks(t.Context(), upgrade.TaskUpgrade)
	must(t, err)
	same(t, "running upgrades", taskNumbers(running), []int64{2})
	running, err = c.RunningTasks(t.Context(), "")
	must(t, err)
	same(t, "running tasks", taskNumbers(running), []int64{3, 2})
}

func taskNumbers(all []upgrade.Task) []int64 {
	var numbers []int64
	for _, task := range all {
		numbers = append(numbers, task.Number)
	}
	return numbers
}

func progress(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	created(t, c, anUpgrade("orders"))
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseBaseBackup, noon))
	now := upgrade.Progress{
		Phase: upgrade.PhaseBaseBackup, Step: "pg_basebackup", Done: 5 << 40, Total: 6 << 40, Unit: "bytes",
		Lag: &upgrade.Lag{Bytes: 17, LagSeconds: 0.25, ETASeconds: -1}, At: kept,
	}
	must(t, c.SetProgress(t.Context(), 1, now))
	same(t, "progress", taskNow(t, c, 1).Progress, &now)
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseBaseBackup, after(1)))
	same(t, "progress in the same phase", taskNow(t, c, 1).Progress, &now)
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseHandover, after(2)))
	same(t, "progress in the next phase", taskNow(t, c, 1).Progress, nil)

	tried := upgrade.Switchover{Reason: "a transaction stayed open", Pause: 60 * time.Second, StartedAt: kept, EndedAt: keptAfter(60)}
	must(t, c.SetSwitchover(t.Context(), 1, tried))
	same(t, "switchover", taskNow(t, c, 1).Switchover, &tried)
}

func endOnce(t *testing.T, c *catalog.Catalog) {
	withInstances(t, c, orders())
	created(t, c, anUpgrade("orders"))
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseSwitchover, noon))
	must(t, c.SetProgress(t.Context(), 1, upgrade.Progress{Step: "drain"}))
	for _, status := range []upgrade.Status{"", upgrade.StatusRunning} {
		if err := c.EndTask(t.Context(), 1, upgrade.Outcome{Status: status}, noon); err == nil {
			t.Errorf("a task ended as %q", status)
		}
	}

	switched := upgrade.Switchover{Switched: true, Pause: 12 * time.Millisecond, TargetPort: 5433, StartedAt: kept, EndedAt: kept}
	must(t, c.EndTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "disk full\x00", Switchover: &switched}, after(9)))
	end := taskNow(t, c, 1)
	at := keptAfter(9)
	same(t, "status", end.Status, upgrade.StatusFailed)
	same(t, "phase", end.Phase, upgrade.PhaseSwitchover)
	same(t, "reason", end.Reason, "disk full\uFFFD")
	same(t, "switchover", end.Switchover, &switched)
	same(t, "end", end.EndedAt, &at)
	same(t, "progress", end.Progress, nil)
	same(t, "phases", end.Phases, []upgrade.PhaseSpan{{Phase: upgrade.PhaseSwitchover, StartedAt: kept, EndedAt: &at}})

	// What comes late is not news.
	ended(t, c, 1, upgrade.StatusSucceeded)
	must(t, c.EnterPhase(t.Context(), 1, upgrade.PhaseFinishing, after(10)))
	must(t, c.SetProgress(t.Context(), 1, upgrade.Progress{Step: "late"}))
	must(t, c.SetSwitchover(t.Context(), 1, upgrade.Switchover{Reason: "late"}))
	same(t, "task after its end", taskNow(t, c, 1), end)

	// That it was finished nevertheless is.
	must(t, c.AmendTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusSucceeded, Reason: "finished without its workflow"}, after(20)))
	amended := taskNow(t, c, 1)
	same(t, "amended status", amended.Status, upgrade.StatusSucceeded)
	same(t, "amended reason", amended.Reason, "finished without its workflow")
	same(t, "the switchover that was known", amended.Switchover, &switched)
	must(t, c.AmendTask(t.Context(), 1, upgrade.Outcome{Status: upgrade.StatusCancelled}, after(30)))
	same(t, "what has succeeded", taskNow(t, c, 1), amended)
	created(t, c, anUpgrade("orders"))
	must(t, c.AmendTask(t.Context(), 2, upgrade.Outcome{Status: upgrade.StatusSucceeded}, after(31)))
	ended(t, c, 2, upgrade.StatusFailed) // the amendment has come first
	same(t, "status of one that was amended first", taskNow(t, c, 2).Status, upgrade.StatusSucceeded)
}
