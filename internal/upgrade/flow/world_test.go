package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// world stands for the host and the server: it carries out nothing, and remembers what it was asked for.
type world struct {
	env *testsuite.TestWorkflowEnvironment

	mu            sync.Mutex
	calls         []string // activities in order, Record left out
	phases        []upgrade.Phase
	events        []upgrade.Event
	keys          []string
	ends          []upgrade.Outcome
	amended       []upgrade.Outcome
	attempts      []int                  // of SwitchOver
	timeouts      []time.Duration        // of SwitchOver
	settled       upgrade.Switchover     // how an attempt ended that did not tell
	until         []bool                 // UntilReady of each Synchronize
	toldBefore    []map[string]int       // of each Synchronize
	verified      []int                  // attempts whose snapshots were compared
	rehearsals    []upgrade.Rehearsal    // recorded
	verifications []upgrade.Verification // recorded
	switchovers   []upgrade.Switchover   // recorded
	fenced        []bool                 // whether the plan was reversed
	opened        []step.OpenWayBackArgs
	moves         []step.MoveInstanceArgs
	standbys      []step.StandbysArgs
	notAfter      []time.Time // of each UpgradeInPlace
	counts        map[string]int
	takes         map[string]map[int]time.Duration // how long the nth call of an activity takes, if at all
	// does overrides what an activity does at its nth call, from 1 on. A nil function does nothing.
	does map[string]func(n int) (any, error)
	// entered is called with each phase that is recorded.
	entered func(upgrade.Phase)
	report  upgrade.Report
	ready   bool // the target catches up at once
	over    bool // the task has ended
	// away tells whether the record cannot be written now; nil: it can.
	away func() bool
}

// planSteps are the host's activities that take the plan and return step.Done.
var planSteps = []string{
	step.PrepareSource, step.BaseBackup, step.StreamClone, step.InitTarget, step.PgUpgrade, step.StartTarget,
	step.UpdateExtensions, step.CollectStatistics, step.PrepareWayBack, step.RefreshMaterializedViews, step.CloseWayBack, step.Discard,
}

func newWorld(t *testing.T) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(discardLogger{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // a busy machine is none
	w := &world{env: env, counts: map[string]int{}, does: map[string]func(int) (any, error){}}
	register := func(name string, do any) {
		w.env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	for _, name := range planSteps {
		register(name, func(context.Context, upgrade.Plan) (step.Done, error) { return answer[step.Done](w, name) })
	}
	for _, name := range []string{step.PromoteClone, step.Subscribe} {
		register(name, func(context.Context, step.HandoverArgs) (step.Done, error) { return answer[step.Done](w, name) })
	}
	register(step.FenceForGood, func(_ context.Context, plan upgrade.Plan) (step.Done, error) {
		w.note(func() { w.fenced = append(w.fenced, plan.Reversed) })
		return answer[step.Done](w, step.FenceForGood)
	})
	register(step.RetireCluster, func(context.Context, upgrade.Cluster) (step.Done, error) {
		return answer[step.Done](w, step.RetireCluster)
	})
	register(step.OpenWayBack, func(_ context.Context, args step.OpenWayBackArgs) (step.Done, error) {
		w.note(func() { w.opened = append(w.opened, args) })
		return answer[step.Done](w, step.OpenWayBack)
	})
	register(step.Precheck, func(context.Context, step.PrecheckArgs) (upgrade.Report, error) {
		_, err := answer[step.Done](w, step.Precheck)
		return w.report, err
	})
	register(step.CreateSlots, func(context.Context, upgrade.Plan) (step.Handover, error) {
		return answer[step.Handover](w, step.CreateSlots)
	})
	register(step.Synchronize, func(_ context.Context, args step.SynchronizeArgs) (step.Synchronized, error) {
		w.note(func() {
			w.until, w.toldBefore = append(w.until, args.UntilReady), append(w.toldBefore, args.Told)
		})
		done, err := answer[step.Synchronized](w, step.Synchronize)
		if err == nil && len(done.Events) == 0 && done.Told == nil && !(args.UntilReady && w.ready) {
			err = activity.ErrResultPending // it goes on until it is cancelled
		}
		return done, err
	})
	register(step.SwitchOver, func(_ context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
		if args.SettleOnly {
			return w.settled, nil
		}
		w.note(func() {
			w.attempts = append(w.attempts, args.Attempt)
			w.timeouts = append(w.timeouts, args.Plan.Options.SwitchoverTimeout)
		})
		result, err := answer[upgrade.Switchover](w, step.SwitchOver)
		result.Back = args.Plan.Reversed
		if args.Rehearse {
			result.Rehearsed, result.Switched = result.Switched, false
		}
		return result, err
	})
	register(step.Verify, func(_ context.Context, args step.VerifyArgs) (upgrade.Verification, error) {
		w.note(func() {
			w.verified = append(w.verified, args.Attempt)
			w.counts[step.Verify] = args.Attempt - 1 // one that is cancelled at once may never be called
		})
		return answer[upgrade.Verification](w, step.Verify)
	})
	register(step.Finish, func(context.Context, upgrade.Plan) (step.FinishResult, error) {
		return answer[step.FinishResult](w, step.Finish)
	})
	register(step.BuildStandbys, func(_ context.Context, args step.StandbysArgs) (step.Done, error) {
		w.note(func() { w.standbys = append(w.standbys, args) })
		return answer[step.Done](w, step.BuildStandbys)
	})
	w.registerServer(register)
	return w
}

func (w *world) registerServer(register func(string, any)) {
	register(step.IsTaskOver, func(context.Context, int64) (bool, error) { return w.over, nil })
	register(step.Record, func(_ context.Context, args step.RecordArgs) error {
		if w.away != nil && w.away() {
			return errors.New("the record is away")
		}
		w.note(func() {
			w.keys = append(w.keys, args.Key)
			w.events = append(w.events, args.Events...)
			if args.Rehearsal != nil {
				w.rehearsals = append(w.rehearsals, *args.Rehearsal)
			}
			if args.Switchover != nil {
				w.switchovers = append(w.switchovers, *args.Switchover)
			}
			if args.Verification != nil {
				w.verifications = append(w.verifications, *args.Verification)
			}
			if args.Phase != "" {
				w.phases = append(w.phases, args.Phase)
			}
		})
		if args.Phase != "" && w.entered != nil {
			w.entered(args.Phase)
		}
		return nil
	})
	register(step.SaveReport, func(context.Context, upgrade.Report) error {
		_, err := answer[step.Done](w, step.SaveReport)
		return err
	})
	register(step.MoveInstance, func(_ context.Context, args step.MoveInstanceArgs) error {
		if w.away != nil && w.away() {
			return errors.New("the record is away")
		}
		w.note(func() { w.moves = append(w.moves, args) })
		_, err := answer[step.Done](w, step.MoveInstance)
		return err
	})
	register(step.RetireFormer, func(context.Context, int64) error {
		_, err := answer[step.Done](w, step.RetireFormer)
		return err
	})
	register(step.AmendTask, func(_ context.Context, args step.EndTaskArgs) error {
		w.note(func() { w.amended = append(w.amended, args.Outcome) })
		_, err := answer[step.Done](w, step.AmendTask)
		return err
	})
	register(step.EndTask, func(_ context.Context, args step.EndTaskArgs) error {
		w.note(func() { w.ends = append(w.ends, args.Outcome) })
		_, err := answer[step.Done](w, step.EndTask)
		return err
	})
}

func (w *world) note(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// answer is what the world says to a call.
func answer[R any](w *world, name string) (R, error) {
	w.mu.Lock()
	if name != step.Verify { // it runs beside the others
		w.calls = append(w.calls, name)
	}
	w.counts[name]++
	n, do := w.counts[name], w.does[name]
	w.mu.Unlock()
	var result R
	if do == nil {
		if switched, ok := any(&result).(*upgrade.Switchover); ok {
			switched.Switched = true
		}
		if v, ok := any(&result).(*upgrade.Verification); ok {
			v.Identical = true
		}
		return result, nil
	}
	said, err := do(n)
	if typed, ok := said.(R); ok {
		result = typed
	}
	return result, err
}

// slowly lets an activity that has come to a result take its time, see takes.
func (w *world) slowly(ctx context.Context, t *testing.T, name string, result any, err error) error {
	took := w.takes[name][w.counts[name]]
	if took == 0 || err != nil {
		return err
	}
	token := activity.GetInfo(ctx).TaskToken
	w.env.RegisterDelayedCallback(func() {
		if err := w.env.CompleteActivity(token, result, nil); err != nil {
			t.Error(err)
		}
	}, took)
	return activity.ErrResultPending
}

// pending leaves an activity running until it is cancelled.
func pending(int) (any, error) { return nil, activity.ErrResultPending }

// refuse is an error that no retry can mend.
func refuse(text string) func(int) (any, error) {
	return func(int) (any, error) { return nil, temporal.NewNonRetryableApplicationError(text, "Refused", nil) }
}

func notSwitched(reason string) (any, error) { return upgrade.Switchover{Reason: reason}, nil }

// signal is for use within activities: the workflow gets it while they run.
func (w *world) signal(name string) { w.env.SignalWorkflow(name, nil) }

// signalAndStay sends a signal when the activity is called, and leaves it running.
func (w *world) signalAndStay(name string) func(int) (any, error) {
	return func(int) (any, error) {
		w.signal(name)
		return nil, activity.ErrResultPending
	}
}

var testPlan = upgrade.Plan{
	Number: 7, ID: "00000000-0000-0000-0000-000000000007", Instance: "shop", Mode: upgrade.ZeroDowntime,
	Source: upgrade.Cluster{Host: "h1", Port: 5432}, Target: upgrade.Cluster{Host: "h1", Port: 5433},
	Options: upgrade.Options{SkipSwitchback: true}.WithDefaults(),
}

func planWith(change func(*upgrade.Options)) upgrade.Plan {
	plan := testPlan
	change(&plan.Options)
	return plan
}

// run lets the workflow come to its end, and checks what holds for each.
func (w *world) run(t *testing.T, plan upgrade.Plan) upgrade.Outcome {
	t.Helper()
	w.env.ExecuteWorkflow(ZeroDowntime, plan)
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatalf("the workflow failed: %v\ncalls: %v", err, w.calls)
	}
	var outcome upgrade.Outcome
	if err := w.env.GetWorkflowResult(&outcome); err != nil {
		t.Fatal(err)
	}
	w.check(t, outcome)
	return outcome
}

func (w *world) check(t *testing.T, outcome upgrade.Outcome) {
	t.Helper()
	if len(w.ends) != 1 || w.ends[0].Status != outcome.Status || w.ends[0].Reason != outcome.Reason {
		t.Errorf("EndTask: got %+v, the outcome is %+v", w.ends, outcome)
	}
	if w.calls[len(w.calls)-1] != step.EndTask {
		t.Errorf("EndTask is not last: %v", w.calls)
	}
	seen := map[string]bool{}
	for _, key := range w.keys {
		if key == "" || seen[key] {
			t.Errorf("key %q of a batch of the record is not unique: %v", key, w.keys)
		}
		seen[key] = true
	}
	discarded := slices.Index(w.calls, step.Discard)
	if discarded >= 0 && slices.Contains(w.calls[discarded:], step.SwitchOver) {
		t.Errorf("SwitchOver after Discard: %v", w.calls)
	}
	if succeeded := outcome.Status == upgrade.StatusSucceeded; succeeded == (discarded >= 0) {
		t.Errorf("status %s, and Discard was called: %t", outcome.Status, discarded >= 0)
	}
}

// told returns the texts of the events of a level.
func (w *world) told(level upgrade.Level) []string {
	var texts []string
	for _, event := range w.events {
		if event.Level == level {
			texts = append(texts, fmt.Sprintf("%s: %s", event.Phase, event.Text))
		}
	}
	return texts
}

type discardLogger struct{}

func (discardLogger) Debug(string, ...any) {}
func (discardLogger) Info(string, ...any)  {}
func (discardLogger) Warn(string, ...any)  {}
func (discardLogger) Error(string, ...any) {}
