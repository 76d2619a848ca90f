package control

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newControl returns use cases on a record of their own, without an engine: what is tested with it
// must come to its end before the engine is needed.
func newControl(t *testing.T) *Control {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	sealer, err := secret.NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	control := New(Deps{Catalog: c, Host: "db1", Sealer: sealer, Now: func() time.Time { return now }})
	t.Cleanup(control.Close)
	return control
}

func addInstance(t *testing.T, c *Control, id string) {
	t.Helper()
	err := c.catalog.AddInstance(t.Context(), upgrade.Instance{
		ID: id, CreatedAt: now,
		Cluster:  upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/" + id, Port: 5432},
		Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer, Owned: true, Dir: "/srv/pgb"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func addTask(t *testing.T, c *Control, instance string, kind upgrade.TaskKind) upgrade.Task {
	t.Helper()
	task, err := c.catalog.CreateTask(t.Context(), upgrade.Task{
		Kind: kind, Instance: instance, Mode: upgrade.ZeroDowntime, Source: 150012, Target: 17,
		Phase: upgrade.PhasePrecheck, StartedAt: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func TestWhatCannotBeIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	addInstance(t, c, "busy")
	addInstance(t, c, "checked")
	addTask(t, c, "busy", upgrade.TaskUpgrade)
	addTask(t, c, "checked", upgrade.TaskPrecheck)
	ended := addTask(t, c, "orders", upgrade.TaskUpgrade)
	if err := c.catalog.EndTask(t.Context(), ended.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, now); err != nil {
		t.Fatal(err)
	}
	who := Actor{Name: "dba", RequestID: "r1"}
	start := func(instance string, target upgrade.Major) error {
		_, err := c.Upgrade(t.Context(), who, UpgradeRequest{Instance: instance, Target: target})
		return err
	}
	check := func(instance string) error {
		_, err := c.Precheck(t.Context(), who, UpgradeRequest{Instance: instance, Target: 17})
		return err
	}
	upgradeIn := func(mode upgrade.Mode) error {
		_, err := c.Upgrade(t.Context(), who, UpgradeRequest{Instance: "orders", Target: 17, Mode: mode})
		return err
	}
	switchOver := func(instance string, verb Verb) error {
		_, err := c.SwitchoverWithin(t.Context(), who, instance, verb, 0)
		return err
	}
	remove := func(instance string) error {
		_, err := c.RemoveInstance(t.Context(), who, instance, false)
		return err
	}
	for _, test := range []struct {
		what string
		err  error
		want string
	}{
		{"upgrade of an unknown instance", start("nosuch", 17), "notfound"},
		{"upgrade to the same version", start("orders", 15), "refused"},
		{"upgrade in a mode that is not built", upgradeIn(upgrade.Logical), "refused"},
		{"upgrade beside another", start("busy", 17), "conflict"},
		{"precheck beside an upgrade", check("busy"), "conflict"},
		{"precheck beside another", check("checked"), "conflict"},
		{"precheck of an unknown instance", check("nosuch"), "notfound"},
		{"switch of an unknown instance", switchOver("nosuch", VerbSwitch), "notfound"},
		{"switch without an upgrade", switchOver("orders", VerbSwitch), "conflict"},
		{"switch too early", switchOver("busy", VerbSwitch), "conflict"},
		{"switch of an ended upgrade by its number", switchOver("3", VerbSwitch), "conflict"},
		{"switch of an unknown number", switchOver("99", VerbSwitch), "notfound"},
		{"unknown verb", switchOver("busy", "jump"), "invalid"},
		{"removal of an unknown instance", remove("nosuch"), "notfound"},
		{"removal beside an upgrade", remove("busy"), "conflict"},
	} {
		if got := kind(test.err); got != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.what, got, test.err, test.want)
		}
	}
}

func TestEveryChangeIsAudited(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	who := Actor{Name: "dba", RequestID: "r1"}
	if _, err := c.SwitchoverWithin(t.Context(), who, "orders", VerbSwitch, 0); err == nil {
		t.Fatal("a switchover without an upgrade was accepted")
	}
	removal, err := c.RemoveInstance(t.Context(), who, "orders", false)
	if err != nil || !removal.EndpointLeft {
		t.Fatalf("got %+v (%v), want a removal that leaves the PgBouncer", removal, err)
	}
	got, err := c.catalog.AuditEntries(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []catalog.AuditEntry{
		{At: now, Who: "dba", What: "remove instance", Object: "orders", Result: "ok", RequestID: "r1"},
		{
			At: now, Who: "dba", What: "switchover switch", Object: "orders", RequestID: "r1",
			Result: "no upgrade of instance orders is running; start one with `pgleap upgrade orders --to VERSION`",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit entries (-want +got):\n%s", diff)
	}
}

func TestTasksOfAnInstance(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	tasks, err := c.Tasks(t.Context(), TaskFilter{Instance: "orders"})
	if err != nil || len(tasks) != 0 {
		t.Errorf("new instance: got %d tasks (%v)", len(tasks), err)
	}
	if _, err := c.Tasks(t.Context(), TaskFilter{Instance: "nosuch"}); kind(err) != "notfound" {
		t.Errorf("unknown instance: got %v", err)
	}
	task := addTask(t, c, "orders", upgrade.TaskPrecheck)
	if err := c.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveInstance(t.Context(), Actor{}, "orders", false); err != nil {
		t.Fatal(err)
	}
	if tasks, err = c.Tasks(t.Context(), TaskFilter{Instance: "orders"}); err != nil || len(tasks) != 1 {
		t.Errorf("removed instance: got %d tasks (%v), want its one", len(tasks), err)
	}
}

func TestNewestProgressAmongHeartbeats(t *testing.T) {
	payloads := func(v any) *workflowpb.PendingActivityInfo {
		details, err := converter.GetDefaultDataConverter().ToPayloads(v)
		if err != nil {
			t.Fatal(err)
		}
		return &workflowpb.PendingActivityInfo{HeartbeatDetails: details}
	}
	older := upgrade.Progress{Step: "older", At: now}
	newer := upgrade.Progress{Step: "newer", At: now.Add(time.Second)}
	following := upgrade.Progress{Step: step.Synchronize, At: now, Text: "5 bytes behind", Lag: &upgrade.Lag{Bytes: 5}}
	unmeasured := upgrade.Progress{Step: step.Synchronize, At: now, Text: "the lag cannot be measured"}
	comparing := upgrade.Progress{Step: "Verify", At: now.Add(time.Minute), Text: "1 of 2 tables"}
	both, neither := following, unmeasured
	both.Text, neither.Text = "5 bytes behind; 1 of 2 tables", "the lag cannot be measured; 1 of 2 tables"
	garbage := &workflowpb.PendingActivityInfo{HeartbeatDetails: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte("?")}}}}
	w := &watch{Control: newControl(t)}
	for name, test := range map[string]struct {
		pending []*workflowpb.PendingActivityInfo
		want    upgrade.Progress
	}{
		"nothing pending":                         {},
		"no heart-beat yet":                       {pending: []*workflowpb.PendingActivityInfo{{}}},
		"details of a kind":                       {pending: []*workflowpb.PendingActivityInfo{payloads("text"), garbage}},
		"the newest of three":                     {pending: []*workflowpb.PendingActivityInfo{payloads(older), payloads(newer), garbage}, want: newer},
		"the lag is not hidden by a verification": {pending: []*workflowpb.PendingActivityInfo{payloads(following), payloads(comparing)}, want: both},
		"nor is that it cannot be measured":       {pending: []*workflowpb.PendingActivityInfo{payloads(comparing), payloads(unmeasured)}, want: neither},
	} {
		got, ok := w.newest(upgrade.PhaseUpgrade, test.pending)
		if diff := cmp.Diff(test.want, got); diff != "" || ok == test.want.At.IsZero() {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLostWorkflowEndsItsTaskAfterAWhile(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	task := addTask(t, c, "orders", upgrade.TaskUpgrade)
	w, seen := &watch{Control: c}, &watched{}
	for _, test := range []struct {
		at   time.Duration
		want upgrade.Status
	}{
		{0, upgrade.StatusRunning},
		{lostAfter - time.Second, upgrade.StatusRunning},
		{lostAfter, upgrade.StatusFailed},
	} {
		c.now = func() time.Time { return now.Add(test.at) }
		if err := w.lost(t.Context(), task, seen, nil); err != nil {
			t.Fatal(err)
		}
		got, err := c.Task(t.Context(), task.Number)
		if err != nil || got.Status != test.want {
			t.Errorf("after %s: got %q (%v), want %q", test.at, got.Status, err, test.want)
		}
	}
}

func TestReplicationMayBeInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		phase    upgrade.Phase
		progress *upgrade.Progress
		want     bool
	}{
		"measured":              {upgrade.PhaseSynchronizing, &upgrade.Progress{Step: step.Synchronize, Text: "5 bytes behind", Lag: &upgrade.Lag{}}, false},
		"not measured":          {upgrade.PhaseSynchronizing, &upgrade.Progress{Step: step.Synchronize, Text: "the lag cannot be measured"}, true},
		"not measured yet":      {upgrade.PhaseSynchronizing, &upgrade.Progress{Step: step.Synchronize}, false},
		"nothing is known yet":  {upgrade.PhaseSynchronizing, nil, false},
		"another step":          {upgrade.PhaseSynchronizing, &upgrade.Progress{Step: step.Verify, Text: "1 of 2 tables"}, false},
		"not about to switch":   {upgrade.PhaseFollowing, &upgrade.Progress{Step: step.Synchronize, Text: "the lag cannot be measured"}, false},
		"switching over by now": {upgrade.PhaseSwitchover, nil, false},
	} {
		if got := Interrupted(upgrade.Task{Phase: test.phase, Progress: test.progress}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
