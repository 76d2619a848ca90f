package app

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/durable/embedded"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/flow"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// update writes the histories that package flow replays. Record them anew when a workflow is
// changed on purpose and no upgrade that runs with the old code can be met any more.
var update = flag.Bool("update", false, "write the histories that package flow replays")

// scene is a workflow that is carried out by the real engine, with activities that do nothing
// unless told otherwise.
type scene struct {
	client client.Client
	id     string
	mu     sync.Mutex
	calls  map[string]int
	does   map[string]func(ctx context.Context, n int) (any, error)
}

// TestFlowOnTheEngine shows what only the engine itself can: how a workflow and an activity that is
// cancelled end together.
func TestFlowOnTheEngine(t *testing.T) {
	stage := openStage(t)
	for _, c := range []struct {
		name    string
		options func(*upgrade.Options)
		does    func(*scene)
		want    upgrade.Status
		reason  string
		tried   int // switchovers
	}{
		{"switched", nil, func(s *scene) {
			s.does[step.SwitchOver] = func(_ context.Context, n int) (any, error) {
				return upgrade.Switchover{Switched: n > 1, Reason: "a long transaction"}, nil
			}
		}, upgrade.StatusSucceeded, "", 2},
		{"automatic", func(o *upgrade.Options) { o.Switch, o.Statistics = upgrade.SwitchAuto, upgrade.StatisticsAfter }, func(s *scene) {
			s.does[step.Synchronize] = nothing
		}, upgrade.StatusSucceeded, "", 2}, // the first is the rehearsal
		{"failed", nil, func(s *scene) {
			s.does[step.PgUpgrade] = func(context.Context, int) (any, error) {
				return nil, newRefusal("pg_upgrade failed; see its transcript")
			}
		}, upgrade.StatusFailed, "pg_upgrade failed; see its transcript", 0},
		{recordIsAway, nil, func(s *scene) {
			s.does[step.PgUpgrade] = func(context.Context, int) (any, error) {
				return nil, newRefusal("pg_upgrade failed; see its transcript")
			}
			s.does[step.Record] = func(context.Context, int) (any, error) {
				if s.count(step.PgUpgrade) > 0 && s.count(step.Discard) == 0 {
					return nil, errors.New("the record is away")
				}
				return nil, nil
			}
		}, upgrade.StatusFailed, "pg_upgrade failed; see its transcript", 0},
		{"cancelled", nil, func(s *scene) {
			s.does[step.BaseBackup] = s.untilCancelled(step.SignalCancel, nil)
		}, upgrade.StatusCancelled, "cancelled by the user", 0},
		{"interrupted", nil, func(s *scene) {
			interrupted := s.untilCancelled(step.SignalInterrupt, upgrade.Switchover{Reason: "interrupted"})
			s.does[step.SwitchOver] = func(ctx context.Context, n int) (any, error) {
				if n == 1 {
					return interrupted(ctx, n)
				}
				return upgrade.Switchover{Switched: true}, nil
			}
		}, upgrade.StatusSucceeded, "", 2},
		{"interrupted-in-refresh", nil, func(s *scene) {
			s.does[step.RefreshMaterializedViews] = func(ctx context.Context, n int) (any, error) {
				if n == 1 {
					return s.untilCancelled(step.SignalInterrupt, nil)(ctx, n)
				}
				return nil, nil
			}
		}, upgrade.StatusSucceeded, "", 1},
		{"cancelled-in-time", nil, func(s *scene) {
			s.does[step.SwitchOver] = s.untilCancelled(step.SignalCancel, upgrade.Switchover{Reason: "cancelled"})
		}, upgrade.StatusCancelled, "cancelled by the user", 1},
		{"cancelled-too-late", nil, func(s *scene) {
			s.does[step.SwitchOver] = s.untilCancelled(step.SignalCancel, upgrade.Switchover{Switched: true})
		}, upgrade.StatusSucceeded, "", 1},
		{"there-and-back", func(o *upgrade.Options) { o.SkipSwitchback = false }, func(s *scene) {
			s.does[step.Synchronize] = func(ctx context.Context, n int) (any, error) {
				said := []string{step.SignalSwitch, step.SignalBack, step.SignalSwitch, step.SignalFinish}
				return s.untilCancelled(said[min(n, len(said))-1], step.Done{})(ctx, n)
			}
		}, upgrade.StatusSucceeded, "", 3},
		{"way-back-does-not-open", func(o *upgrade.Options) { o.SkipSwitchback = false }, func(s *scene) {
			s.does[step.OpenWayBack] = func(ctx context.Context, _ int) (any, error) {
				if err := s.client.SignalWorkflow(ctx, s.id, "", step.SignalFinish, nil); err != nil {
					return nil, err
				}
				return nil, temporal.NewNonRetryableApplicationError("connection refused", "Failed", nil)
			}
		}, upgrade.StatusSucceeded, "", 1},
		{"in-place", func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }, func(s *scene) {
			s.does[step.UpgradeInPlace] = func(context.Context, int) (any, error) {
				return step.InPlaceResult{Switchover: upgrade.Switchover{Switched: true}}, nil
			}
		}, upgrade.StatusSucceeded, "", 0},
		{"in-place-in-window", func(o *upgrade.Options) { o.SwitchInWindow = true }, func(s *scene) {
			s.does[step.UpgradeInPlace] = func(context.Context, int) (any, error) {
				return step.InPlaceResult{Switchover: upgrade.Switchover{Switched: true}}, nil
			}
		}, upgrade.StatusSucceeded, "", 0},
		{"blue-green", func(o *upgrade.Options) { o.Switch = upgrade.SwitchAuto }, func(s *scene) {
			s.does[step.SwitchToClone] = func(context.Context, int) (any, error) {
				return step.CloneSwitch{Switchover: upgrade.Switchover{Switched: true}}, nil
			}
		}, upgrade.StatusSucceeded, "", 0},
		{"clone-registered", func(o *upgrade.Options) { o.CloneOnly = true }, func(s *scene) {
			s.does[step.UpdateExtensions] = func(context.Context, int) (any, error) {
				return step.Done{Findings: []upgrade.OpenFinding{}}, nil
			}
		}, upgrade.StatusSucceeded, "", 0},
		{"return", nil, func(s *scene) {
			s.does[step.ReturnToSource] = func(context.Context, int) (any, error) {
				return upgrade.Switchover{Switched: true, Back: true}, nil
			}
		}, upgrade.StatusCancelled, "clients are back at the source; nothing had been written on the target since the switch", 0},
		{"cleanup", nil, func(s *scene) { s.does[step.Discard] = switchedOver }, "", "", 0},
		{"cleanup-in-place", nil, func(s *scene) {
			s.does[step.Discard] = switchedOver
			s.does[step.UpgradeInPlace] = func(context.Context, int) (any, error) {
				return step.InPlaceResult{Switchover: upgrade.Switchover{Switched: true}}, nil
			}
		}, "", "", 0},
		{"cleanup-blue-green", func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter }, func(s *scene) {
			s.does[step.Discard] = switchedOver
		}, "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == recordIsAway && !*update {
				pgtest.Slow(t)
			}
			s := stage.play(c.name)
			c.does(s)
			run, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: s.id, TaskQueue: durable.ServerQueue},
				workflowOf(c.name), argumentsOf(c.name, historyPlan(c.options))...)
			if err != nil {
				t.Fatal(err)
			}
			var outcome upgrade.Outcome
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := run.Get(ctx, &outcome); err != nil {
				t.Fatal(err)
			}
			if outcome.Status != c.want || outcome.Reason != c.reason || s.calls[step.SwitchOver] != c.tried {
				t.Errorf("outcome %+v after %d switchovers", outcome, s.calls[step.SwitchOver])
			}
			if *update {
				s.write(t, c.name)
			}
		})
	}
}

// recordIsAway takes as long as an upgrade waits for its record.
const recordIsAway = "record-is-away"

func (s *scene) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

func workflowOf(name string) string {
	switch name {
	case "in-place", "in-place-in-window":
		return step.WorkflowInPlace
	case "blue-green", "clone-registered":
		return step.WorkflowBlueGreen
	case "return":
		return step.WorkflowReturn
	case "cleanup", "cleanup-in-place", "cleanup-blue-green":
		return step.WorkflowCleanup
	}
	return step.WorkflowZeroDowntime
}

var lost = step.Lost{Reason: "The workflow of this upgrade is gone."}

func argumentsOf(name string, plan upgrade.Plan) []any {
	switch name {
	case "in-place-in-window":
		const hour, day = 60, 24 * 60
		now := time.Now().UTC()
		minute := now.Hour()*hour + now.Minute()
		open := upgrade.Window{Start: (minute - hour + day) % day, End: (minute + hour) % day}
		return []any{step.InPlaceUpgradeArgs{Plan: plan, Window: &open}}
	case "return":
		return []any{step.ReturnArgs{Plan: plan, Attempt: 7, Switched: upgrade.Switchover{Switched: true}}}
	case "cleanup":
		return []any{plan, false, lost}
	case "cleanup-in-place":
		plan.Mode = upgrade.InPlace
		return []any{plan, false, lost}
	case "cleanup-blue-green":
		plan.Mode = upgrade.BlueGreen
		return []any{plan, false, lost}
	}
	return []any{plan}
}

// switchedOver is why a lost upgrade is not undone.
func switchedOver(context.Context, int) (any, error) {
	return nil, newRefusal("upgrade 7 has switched over; nothing is removed")
}

func newRefusal(text string) error {
	return temporal.NewNonRetryableApplicationError(text, "Refused", nil)
}

func historyPlan(change func(*upgrade.Options)) upgrade.Plan {
	plan := upgrade.Plan{
		Number: 7, ID: "00000000-0000-0000-0000-000000000007", Instance: "shop", Mode: upgrade.ZeroDowntime,
		Source:  upgrade.Cluster{Host: "h1", Version: 150018, Pgdata: "/data/15", Port: 5432, Owner: "postgres"},
		Target:  upgrade.Cluster{Host: "h1", Version: 170011, Pgdata: "/data/17", Port: 5433, Owner: "postgres"},
		Options: upgrade.Options{SkipSwitchback: true}.WithDefaults(),
	}
	if change != nil {
		change(&plan.Options)
	}
	return plan
}

func nothing(context.Context, int) (any, error) { return nil, nil }

// untilCancelled sends a signal to the workflow, waits until it is cancelled and answers then; with
// nothing to answer it was cancelled.
func (s *scene) untilCancelled(signal string, answer any) func(context.Context, int) (any, error) {
	return func(ctx context.Context, _ int) (any, error) {
		if err := s.client.SignalWorkflow(ctx, s.id, "", signal, nil); err != nil {
			return nil, err
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				if answer == nil {
					return nil, temporal.NewCanceledError()
				}
				return answer, nil
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}
}

// act carries out an activity of the scene.
func (s *scene) act(ctx context.Context, name string, args any) (any, error) {
	s.mu.Lock()
	s.calls[name]++
	n, do := s.calls[name], s.does[name]
	s.mu.Unlock()
	rehearsal := false
	if fields, ok := args.(map[string]any); ok {
		rehearsal, _ = fields["rehearse"].(bool)
	}
	switch {
	case rehearsal:
		return upgrade.Switchover{Rehearsed: true}, nil
	case do != nil:
		return do(ctx, n)
	case name == step.Verify:
		return upgrade.Verification{Identical: true}, nil
	case name == step.Synchronize:
		return s.untilCancelled(step.SignalSwitch, step.Done{})(ctx, n)
	case name == step.SwitchOver:
		return upgrade.Switchover{Switched: true}, nil
	}
	return nil, nil
}

// stage is an engine with workers, on which one scene after the other is played.
type stage struct {
	client client.Client
	mu     sync.Mutex
	now    *scene
}

func openStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	keys, err := durable.LoadOrCreateKeys(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Keys: keys, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Stop)
	s := &stage{client: dial(t, engine.Address(), keys.ClientTLS())}
	for _, queue := range []string{durable.ServerQueue, durable.HostQueue("h1")} {
		worker := durable.NewWorker(s.client, queue)
		if queue == durable.ServerQueue {
			worker.RegisterWorkflowWithOptions(flow.ZeroDowntime, workflow.RegisterOptions{Name: step.WorkflowZeroDowntime})
			worker.RegisterWorkflowWithOptions(flow.InPlace, workflow.RegisterOptions{Name: step.WorkflowInPlace})
			worker.RegisterWorkflowWithOptions(flow.Return, workflow.RegisterOptions{Name: step.WorkflowReturn})
			worker.RegisterWorkflowWithOptions(flow.BlueGreen, workflow.RegisterOptions{Name: step.WorkflowBlueGreen})
			worker.RegisterWorkflowWithOptions(flow.Cleanup, workflow.RegisterOptions{Name: step.WorkflowCleanup})
		}
		for _, name := range activities {
			worker.RegisterActivityWithOptions(func(ctx context.Context, args any) (any, error) { return s.scene().act(ctx, name, args) },
				activity.RegisterOptions{Name: name})
		}
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(worker.Stop)
	}
	return s
}

// activities are those of an upgrade.
var activities = []string{
	step.IsTaskOver, step.Record, step.SaveReport, step.EndTask, step.AmendTask, step.MoveInstance,
	step.Precheck, step.PrepareSource, step.BaseBackup, step.StreamClone, step.CreateSlots, step.PromoteClone,
	step.InitTarget, step.PgUpgrade, step.StartTarget, step.Subscribe, step.UpdateExtensions, step.CollectStatistics,
	step.Synchronize, step.SwitchOver, step.Verify, step.FenceForGood, step.Finish, step.Discard,
	step.PrepareWayBack, step.RefreshMaterializedViews, step.OpenWayBack, step.CloseWayBack,
	step.PrepareInPlace, step.UpgradeInPlace, step.FinishInPlace, step.UpdateInPlace, step.AnalyzeInPlace, step.DiscardInPlace,
	step.PrepareCloning, step.DetachClone, step.StartUpgraded, step.FinishClone, step.FollowSource, step.SwitchToClone,
	step.BuildStandbys,
	step.ReturnToSource, step.RegisterClone, step.RecordFindings,
}

// dial connects without encryption: the histories are to be read.
func dial(t *testing.T, address string, tls *tls.Config) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: address, Namespace: durable.Namespace, Identity: "recorder", Logger: log.NewStructuredLogger(testLog(t)),
		ConnectionOptions: client.ConnectionOptions{TLS: tls}, WorkerHeartbeatInterval: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *stage) play(name string) *scene {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = &scene{client: s.client, id: name, calls: map[string]int{}, does: map[string]func(context.Context, int) (any, error){}}
	return s.now
}

func (s *stage) scene() *scene {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// write keeps the scene's history, an event a line, for package flow to replay.
func (s *scene) write(t *testing.T, name string) {
	t.Helper()
	var lines []string
	events := s.client.GetWorkflowHistory(t.Context(), s.id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		line, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	text := "{\"events\": [\n" + strings.ReplaceAll(strings.Join(lines, ",\n"), `"`+machine+":", `"host:`) + "\n]}\n"
	path := filepath.Join("..", "upgrade", "flow", "testdata", name+".history.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
