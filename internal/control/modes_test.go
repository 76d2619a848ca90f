package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func TestOptionsOfAMode(t *testing.T) {
	for _, test := range []struct {
		what    string
		request UpgradeRequest
		refused string // empty: it is not
	}{
		{"in place as it comes", UpgradeRequest{Mode: upgrade.InPlace}, ""},
		{"in place with links", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{Transfer: upgrade.TransferLink}}, ""},
		{"swap that nobody confirmed", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{Transfer: upgrade.TransferSwap}}, "nothing but a backup"},
		{"swap that is confirmed", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{Transfer: upgrade.TransferSwap, Accepted: []string{"transfer:swap"}}}, ""},
		{"an unknown transfer", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{Transfer: "move"}}, "transfer"},
		{"in place on another port", UpgradeRequest{Mode: upgrade.InPlace, TargetPort: 5433}, "takes over the source's port"},
		{"in place in the window", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{SwitchInWindow: true}}, ""},
		{"zero-downtime in the window", UpgradeRequest{Mode: upgrade.ZeroDowntime, Options: upgrade.Options{SwitchInWindow: true}}, "blue-green"},
		{"a transfer for another mode", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{Transfer: upgrade.TransferCopy}}, "in-place"},
		{"a clone only", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}}, ""},
		{"a clone only, without downtime", UpgradeRequest{Mode: upgrade.ZeroDowntime, Options: upgrade.Options{CloneOnly: true}}, "blue-green"},
		{"a clone only, in the window", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true, SwitchInWindow: true}}, "needs no window"},
		{"a clone only, and standbys", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true, WaitForStandbys: true}}, "gets no standbys"},
		{"standbys and none", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{SkipStandbys: true, WaitForStandbys: true}}, "does not go with"},
		{"a standby to copy", UpgradeRequest{Mode: upgrade.ZeroDowntime, Options: upgrade.Options{CloneFrom: "127.0.0.1:5433"}}, ""},
		{"a standby to copy, without a port", UpgradeRequest{Mode: upgrade.ZeroDowntime, Options: upgrade.Options{CloneFrom: "db1"}}, "HOST:PORT"},
		{"in place from a standby", UpgradeRequest{Mode: upgrade.InPlace, Options: upgrade.Options{CloneFrom: "/data/s1"}}, "nothing is cloned"},
		{"blue-green in the window", UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{SwitchInWindow: true}}, ""},
		{"an unknown mode", UpgradeRequest{Mode: "beside"}, "unknown"},
	} {
		test.request.Target = 17
		err := test.request.validate()
		switch {
		case test.refused == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)):
			t.Errorf("%s: %v, want %q", test.what, err, test.refused)
		}
	}
}

// What an instance has nothing for is refused, before its host is asked anything.
func TestOptionsOfAnInstance(t *testing.T) {
	endpoint := upgrade.Endpoint{Driver: upgrade.PgBouncer}
	for _, test := range []struct {
		what     string
		mode     upgrade.Mode
		options  upgrade.Options
		instance upgrade.Instance
		refused  string // empty: it is not
	}{
		{"in the window", upgrade.BlueGreen, upgrade.Options{SwitchInWindow: true}, upgrade.Instance{Window: &upgrade.Window{}}, ""},
		{"in no window", upgrade.InPlace, upgrade.Options{SwitchInWindow: true}, upgrade.Instance{}, "no maintenance window"},
		{"statistics before clients go on", upgrade.InPlace, upgrade.Options{Statistics: upgrade.StatisticsBefore}, upgrade.Instance{Endpoint: endpoint}, ""},
		{"statistics before, and nobody waits", upgrade.InPlace, upgrade.Options{Statistics: upgrade.StatisticsBefore}, upgrade.Instance{}, "no endpoint at which clients could wait for statistics"},
		{"statistics after, and nobody waits", upgrade.InPlace, upgrade.Options{}, upgrade.Instance{}, ""},
		{"statistics before, of a clone", upgrade.BlueGreen, upgrade.Options{Statistics: upgrade.StatisticsBefore, CloneOnly: true}, upgrade.Instance{}, ""},
		{"standbys before clients go on", upgrade.InPlace, upgrade.Options{WaitForStandbys: true}, upgrade.Instance{Endpoint: endpoint}, ""},
		{"standbys before, and nobody waits", upgrade.InPlace, upgrade.Options{WaitForStandbys: true}, upgrade.Instance{}, "no endpoint at which clients could wait for standbys"},
	} {
		c := newControl(t)
		test.instance.ID, test.instance.CreatedAt = "orders", now
		test.instance.Cluster = upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/orders", Port: 5432}
		if err := c.catalog.AddInstance(t.Context(), test.instance); err != nil {
			t.Fatal(err)
		}
		asked := errors.New("the host is asked")
		c.temporal = &host{says: map[string]func() (any, error){step.Inspect: func() (any, error) { return nil, asked }}}
		_, err := c.plan(t.Context(), UpgradeRequest{Instance: "orders", Mode: test.mode, Target: 17, Options: test.options})
		want := test.refused
		if want == "" {
			want = asked.Error()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", test.what, err, want)
		}
		if test.refused != "" && upgrade.CauseOf(err) != upgrade.CauseOption {
			t.Errorf("%s: because of %q", test.what, upgrade.CauseOf(err))
		}
	}
}

// Statistics before the switch would be collected within the outage: that is for those who ask for it.
func TestStatisticsOfAMode(t *testing.T) {
	for mode, want := range map[upgrade.Mode]upgrade.Statistics{
		upgrade.InPlace: upgrade.StatisticsAfter, upgrade.BlueGreen: upgrade.StatisticsAfter, upgrade.ZeroDowntime: upgrade.StatisticsBefore,
	} {
		request := UpgradeRequest{Mode: mode, Target: 17}
		if err := request.validate(); err != nil || request.Options.Statistics != want {
			t.Errorf("%s: %s, %v; want %s", mode, request.Options.Statistics, err, want)
		}
		request = UpgradeRequest{Mode: mode, Target: 17, Options: upgrade.Options{Statistics: upgrade.StatisticsBefore}}
		if err := request.validate(); err != nil || request.Options.Statistics != upgrade.StatisticsBefore {
			t.Errorf("%s, asked for: %s, %v", mode, request.Options.Statistics, err)
		}
	}
}

func TestWhoNeedsAnEndpoint(t *testing.T) {
	for _, test := range []struct {
		plan upgrade.Plan
		want bool
	}{
		{upgrade.Plan{Mode: upgrade.ZeroDowntime}, true},
		{upgrade.Plan{Mode: upgrade.BlueGreen}, true},
		{upgrade.Plan{Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}}, false},
		{upgrade.Plan{Mode: upgrade.InPlace}, false},
	} {
		if got := movesClients(test.plan); got != test.want {
			t.Errorf("%s %+v: %t", test.plan.Mode, test.plan.Options, got)
		}
	}
}

func TestWorkflowOfAMode(t *testing.T) {
	c := newControl(t)
	addInstance(t, c, "orders")
	window := upgrade.Window{Start: 60, End: 120}
	if err := c.SetWindow(t.Context(), Actor{Name: "dba"}, "orders", window); err != nil {
		t.Fatal(err)
	}
	plan := func(mode upgrade.Mode) upgrade.Plan {
		return upgrade.Plan{Instance: "orders", Mode: mode, Number: 7, ID: "u"}
	}
	for _, test := range []struct {
		kind     upgrade.TaskKind
		mode     upgrade.Mode
		name     string
		argument any
	}{
		{upgrade.TaskUpgrade, upgrade.ZeroDowntime, step.WorkflowZeroDowntime, plan(upgrade.ZeroDowntime)},
		{upgrade.TaskUpgrade, upgrade.InPlace, step.WorkflowInPlace, step.InPlaceUpgradeArgs{Plan: plan(upgrade.InPlace), Window: &window}},
		{upgrade.TaskUpgrade, upgrade.BlueGreen, step.WorkflowBlueGreen, step.BlueGreenArgs{Plan: plan(upgrade.BlueGreen), Window: &window}},
		{upgrade.TaskPrecheck, upgrade.InPlace, step.WorkflowPrecheck, step.PrecheckArgs{Number: 7, ID: "u", Plan: plan(upgrade.InPlace)}},
	} {
		p := plan(test.mode)
		name, argument, err := c.workflow(t.Context(), upgrade.Task{Kind: test.kind, Plan: &p})
		if err != nil || name != test.name {
			t.Errorf("%s, %s: %s, %v", test.kind, test.mode, name, err)
		}
		if diff := cmp.Diff(test.argument, argument); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", test.kind, test.mode, diff)
		}
	}
}
