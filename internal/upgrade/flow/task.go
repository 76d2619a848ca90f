package flow

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The task queues, as package durable names them.
const (
	serverQueue     = "server"
	hostQueuePrefix = "host."
)

// heartbeatTimeout is how soon a step is taken up again after its agent died.
const heartbeatTimeout = 10 * time.Second

// task is an upgrade under way: its plan, and the means to act and to tell.
type task struct {
	plan            upgrade.Plan
	current         upgrade.Phase
	source          string // of the record's batches: the first part of their keys
	batches         int    // so far: the second part
	cancelled       bool
	attempts        int                   // to switch over or to rehearse it so far; each has a journal of its own
	rehearses       bool                  // see synchronizeAndSwitch
	refreshes       bool                  // materialized views are, before a switchover
	returns         bool                  // there is a way back, see ZeroDowntime
	returned        bool                  // clients have gone back: nothing is switched by itself any more
	moved           bool                  // the instance is recorded where it is after the upgrade
	findings        []upgrade.OpenFinding // that are to be recorded then; nil: unknown
	standbys        bool                  // the target gets standbys as the source has
	amends          bool                  // a lost upgrade that was finished is recorded as such
	rehearsal       *upgrade.Rehearsal
	comparing       *verification // of the rehearsal, while it goes on
	switchSignal    workflow.ReceiveChannel
	rehearseSignal  workflow.ReceiveChannel
	interruptSignal workflow.ReceiveChannel
	backSignal      workflow.ReceiveChannel
	finishSignal    workflow.ReceiveChannel
	behind          []entry             // what the record has not taken yet, in order
	preparing       time.Duration       // how long it took last, in place
	finishing       step.FinishRequest  // what the user said with it
	work            workflow.Context    // what the user's cancel ends
	abandon         workflow.CancelFunc // ends it
}

func newTask(ctx workflow.Context, plan upgrade.Plan) *task {
	return &task{
		plan:            plan,
		switchSignal:    workflow.GetSignalChannel(ctx, step.SignalSwitch),
		rehearseSignal:  workflow.GetSignalChannel(ctx, step.SignalRehearse),
		interruptSignal: workflow.GetSignalChannel(ctx, step.SignalInterrupt),
		backSignal:      workflow.GetSignalChannel(ctx, step.SignalBack),
		finishSignal:    workflow.GetSignalChannel(ctx, step.SignalFinish),
	}
}

// untilCancelled is a context that ends when the user cancels the upgrade from now on.
func (t *task) untilCancelled(ctx workflow.Context) workflow.Context {
	listens := t.abandon != nil
	work, cancel := workflow.WithCancel(ctx)
	t.cancelled, t.work, t.abandon = false, work, cancel
	if !listens {
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				workflow.GetSignalChannel(ctx, step.SignalCancel).Receive(ctx, nil)
				t.cancelled = true
				t.abandon()
			}
		})
	}
	return work
}

// isOver tells whether the task has ended before its workflow has begun: the engine took it late, and nobody knows of it
// any more. Workflows that were started by an older program did not ask.
func (t *task) isOver(ctx workflow.Context) bool {
	if workflow.GetVersion(ctx, "begin only what runs", workflow.DefaultVersion, 1) < 1 {
		return false
	}
	over := false
	err := workflow.ExecuteActivity(serverOptions(ctx), step.IsTaskOver, t.plan.Number).Get(ctx, &over)
	return err == nil && over
}

// neverBegun is the outcome of a workflow whose task is over. Nothing is recorded of it.
func neverBegun() (upgrade.Outcome, error) {
	return upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "its task had ended before it began"}, nil
}

// phase enters a phase and does its steps, each with the plan.
func (t *task) phase(ctx workflow.Context, phase upgrade.Phase, steps ...string) error {
	t.enter(ctx, phase)
	for _, name := range steps {
		if err := t.do(ctx, name, t.plan); err != nil {
			return err
		}
	}
	return nil
}

// do carries out a step on the host and records what it has to tell.
func (t *task) do(ctx workflow.Context, name string, args any) error {
	var done step.Done
	if err := t.onHost(ctx, name, args, &done); err != nil {
		return err
	}
	t.tellOf(ctx, done)
	return nil
}

// tellOf records what a step had to tell. An agent knows the phase that a step is usually of, and not that the upgrade is in
// another one, as when statistics are collected after the switchover.
func (t *task) tellOf(ctx workflow.Context, done step.Done) {
	for i := range done.Events {
		done.Events[i].Phase = cmp.Or(t.current, done.Events[i].Phase)
	}
	t.record(ctx, done.Events...)
	if done.Findings != nil {
		t.findings = done.Findings
		t.recordFindings(ctx)
	}
}

// recordFindings records what is left to be mended of the instance that the upgrade has made, as soon as
// that is recorded.
func (t *task) recordFindings(ctx workflow.Context) {
	if !t.moved || t.findings == nil {
		return
	}
	args := step.RecordFindingsArgs{Number: t.plan.Number, Instance: t.plan.Instance, Findings: t.findings}
	if t.plan.Options.CloneOnly {
		args.Instance = upgrade.CloneID(t.plan.Instance, t.plan.Number)
	}
	t.orTell(ctx, t.post(ctx, step.RecordFindings, args))
	t.findings = nil
}

func (t *task) onHost(ctx workflow.Context, name string, args, result any) error {
	return workflow.ExecuteActivity(t.hostOptions(ctx, name), name, args).Get(ctx, result)
}

// hostOptions: steps may take days, but their agent must be heard of. A step that failed is tried
// again, since it goes on from what is true; what only the user can mend is not (Refused). The end
// of a switchover is never given up on.
func (t *task) hostOptions(ctx workflow.Context, name string) workflow.Context {
	attempts := int32(5)
	switch name {
	case step.SwitchOver, step.Synchronize, step.Verify, step.Discard, step.Finish:
		attempts = 0 // until it is done
	}
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           hostQueuePrefix + t.plan.Source.Host,
		StartToCloseTimeout: 30 * 24 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
			MaximumAttempts: attempts, NonRetryableErrorTypes: []string{"Refused"},
		},
	})
}

// onServer does something on the server, after everything that is still to be recorded, and waits for it.
func (t *task) onServer(ctx workflow.Context, name string, args any) error {
	if err := t.awaitRecord(ctx); err != nil {
		return err
	}
	return workflow.ExecuteActivity(serverOptions(ctx), name, args).Get(ctx, nil)
}

// awaitRecord waits until everything is recorded.
func (t *task) awaitRecord(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return len(t.behind) == 0 })
}

// entry is something for the record.
type entry struct {
	name string
	args any
}

// recordPatience is how long the first of what a record does not take keeps an upgrade waiting.
const recordPatience = 15 * time.Second

// post has something recorded. Slots fill a disk while nobody looks after them: a record that is away must not keep an
// upgrade from that, so it goes on after a while, and what was to be recorded follows, in order. It is not cut short by a
// cancel: what happened, happened. Older programs waited without end, so that no history of theirs gets here.
func (t *task) post(ctx workflow.Context, name string, args any) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	if len(t.behind) == 0 {
		options := workflow.GetActivityOptions(serverOptions(ctx))
		options.ScheduleToCloseTimeout = recordPatience
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), name, args).Get(ctx, nil)
		if err == nil || isRefused(err) {
			return err
		}
	}
	t.behind = append(t.behind, entry{name, args})
	if len(t.behind) == 1 {
		workflow.Go(ctx, t.catchUp)
	}
	return nil
}

// catchUp records what is still to be recorded, however long that takes.
func (t *task) catchUp(ctx workflow.Context) {
	for len(t.behind) > 0 {
		first := t.behind[0]
		err := workflow.ExecuteActivity(serverOptions(ctx), first.name, first.args).Get(ctx, nil)
		t.orTell(ctx, err) // it is not the last one then
		t.behind = t.behind[1:]
	}
}

// serverOptions: the record must be written, however long its database is away.
func serverOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           serverQueue,
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
			NonRetryableErrorTypes: []string{"Refused"},
		},
	})
}

// enter records the beginning of a phase.
func (t *task) enter(ctx workflow.Context, phase upgrade.Phase) {
	t.current = phase
	t.write(ctx, step.RecordArgs{Phase: phase})
}

// record writes events down.
func (t *task) record(ctx workflow.Context, events ...upgrade.Event) {
	if len(events) > 0 {
		t.write(ctx, step.RecordArgs{Events: events})
	}
}

// tell records one sentence of the workflow's own.
func (t *task) tell(ctx workflow.Context, level upgrade.Level, text string) {
	t.record(ctx, upgrade.Event{At: workflow.Now(ctx).UTC(), Level: level, Phase: t.current, Text: text})
}

// orTell records an error that does not change the course.
func (t *task) orTell(ctx workflow.Context, err error) {
	if err != nil {
		t.tell(ctx, upgrade.LevelError, sentence(err))
	}
}

func (t *task) write(ctx workflow.Context, args step.RecordArgs) {
	t.batches++
	args.Number, args.Key = t.plan.Number, t.source+strconv.Itoa(t.batches)
	_ = t.post(ctx, step.Record, args) // nothing of it is refused
}

func (t *task) recordSwitchover(ctx workflow.Context, result upgrade.Switchover) {
	level, text := upgrade.LevelInfo, fmt.Sprintf("switched over: clients paused for %s", result.Pause.Round(100*time.Microsecond))
	switch {
	case result.Switched && result.Back:
		text = strings.Replace(text, "over", "back", 1)
	case result.Back:
		level, text = upgrade.LevelWarning, "not switched back, clients go on at the target: "+result.Reason
	case !result.Switched:
		level, text = upgrade.LevelWarning, "not switched, clients go on at the source: "+result.Reason
	}
	args := step.RecordArgs{
		Switchover: &result,
		Events:     append(triesOf(result, t.current), upgrade.Event{At: workflow.Now(ctx).UTC(), Level: level, Phase: t.current, Text: text}),
	}
	for _, told := range result.Told {
		args.Events = append(args.Events, upgrade.Event{At: workflow.Now(ctx).UTC(), Level: upgrade.LevelWarning, Phase: t.current, Text: told})
	}
	if result.Switched {
		for _, consumer := range result.Consumers {
			args.Events = append(args.Events, upgrade.Event{At: workflow.Now(ctx).UTC(), Level: upgrade.LevelInfo, Phase: t.current, Text: consumer.String()})
		}
	}
	t.write(ctx, args)
}

// end writes the outcome. It is what every task ends with.
func (t *task) end(ctx workflow.Context, outcome upgrade.Outcome) (upgrade.Outcome, error) {
	return outcome, t.onServer(ctx, step.EndTask, step.EndTaskArgs{Number: t.plan.Number, Outcome: outcome})
}

// blocked is the error of a report that stands in the way.
func blocked(report upgrade.Report) error {
	if report.Passed() {
		return nil
	}
	var said []string
	for _, f := range report.Findings {
		if f.Severity == upgrade.Blocker {
			said = append(said, describe(f))
		}
	}
	said = append(said, report.NotChecked...)
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("the precheck found what stands in the way: %s; see `pgleap task show %d`", strings.Join(said, "; "), report.Number),
		"Refused", nil)
}

// describe names a finding and the first of its objects.
func describe(f upgrade.Finding) string {
	if len(f.Objects) == 0 {
		return f.Title
	}
	named := strings.Join(f.Objects[:min(3, len(f.Objects))], ", ")
	if more := f.Total - min(3, len(f.Objects)); more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return f.Title + " (" + named + ")"
}

// isRefused tells whether only the user can mend what is wrong.
func isRefused(err error) bool {
	application, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && application.Type() == "Refused"
}

// sentence is what an error says to the user, without the engine's words around it.
func sentence(err error) string {
	if err == nil {
		return ""
	}
	if temporal.IsCanceledError(err) {
		return "cancelled"
	}
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return application.Message()
	}
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return "nothing was heard from the agent: " + timeout.Error()
	}
	return err.Error()
}
