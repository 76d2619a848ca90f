package onhost

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Worker carries out the steps of upgrades on one host.
type Worker struct {
	host   *postmaster.Host
	runner *run.Runner
	log    *slog.Logger
	now    func() time.Time
	// dir is the agent's own directory: journals, transcripts and what it remembers of each upgrade.
	dir string
	// guard starts the process that ends a switchover if this one dies, see Guard.
	guard GuardCommand
	// places is held while one is taken, see takePlace.
	places sync.Mutex
	// fates keep what clients come back to from being retired meanwhile.
	fates fates
	// snapshots wait for their verification.
	snapshots snapshots
}

// GuardCommand is the program that runs Guard, and the arguments that come before the journal's path.
type GuardCommand struct {
	Path string
	Args []string
}

// New makes the worker of a host.
func New(host *postmaster.Host, runner *run.Runner, dir string, guard GuardCommand, log *slog.Logger, now func() time.Time) *Worker {
	return &Worker{host: host, runner: runner, log: log, now: now, dir: dir, guard: guard}
}

// Registry is what activities are registered with: a Temporal worker.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers every activity of the host.
func (w *Worker) Register(r Registry) {
	register(r, step.Discover, "", func(ctx context.Context, _ any) ([]step.Discovered, error) { return w.host.Discover(ctx) })
	register(r, step.Installations, "", func(ctx context.Context, _ any) ([]upgrade.VersionNum, error) { return w.host.Installations(ctx) })
	register(r, step.RetireCluster, "", w.RetireCluster)
	register(r, step.Inspect, "", w.host.Inspect)
	register(r, step.ChooseTarget, "", w.host.ChooseTarget)
	register(r, step.Fingerprint, "", w.Fingerprint)
	register(r, step.RecheckFindings, "", w.RecheckFindings)
	register(r, step.MakeEndpoint, "", w.MakeEndpoint)
	register(r, step.CheckEndpoint, "", w.CheckEndpoint)
	register(r, step.RemoveEndpoint, "", w.RemoveEndpoint)

	register(r, step.Precheck, upgrade.PhasePrecheck, w.Precheck)
	register(r, step.PrepareSource, upgrade.PhasePrepare, w.PrepareSource)
	register(r, step.BaseBackup, upgrade.PhaseBaseBackup, w.BaseBackup)
	register(r, step.StreamClone, upgrade.PhaseBaseBackup, w.StreamClone)
	register(r, step.CreateSlots, upgrade.PhaseHandover, w.CreateSlots)
	register(r, step.PromoteClone, upgrade.PhaseHandover, w.PromoteClone)
	register(r, step.InitTarget, upgrade.PhaseUpgrade, w.InitTarget)
	register(r, step.PgUpgrade, upgrade.PhaseUpgrade, w.PgUpgrade)
	register(r, step.StartTarget, upgrade.PhaseSubscribe, w.StartTarget)
	register(r, step.Subscribe, upgrade.PhaseSubscribe, w.Subscribe)
	register(r, step.UpdateExtensions, upgrade.PhaseSubscribe, w.UpdateExtensions)
	register(r, step.PrepareWayBack, upgrade.PhaseSubscribe, w.PrepareWayBack)
	register(r, step.OpenWayBack, upgrade.PhaseFollowing, w.OpenWayBack)
	register(r, step.RefreshMaterializedViews, upgrade.PhaseSubscribe, w.RefreshMaterializedViews)
	register(r, step.CollectStatistics, upgrade.PhaseSubscribe, w.CollectStatistics)
	register(r, step.Synchronize, upgrade.PhaseSynchronizing, w.Synchronize)
	register(r, step.SwitchOver, upgrade.PhaseSwitchover, func(ctx context.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
		return w.aroundSwitch(ctx, args, func() (upgrade.Switchover, error) { return w.SwitchOver(ctx, args) })
	})
	register(r, step.Verify, upgrade.PhaseSynchronizing, w.Verify)
	register(r, step.BuildStandbys, upgrade.PhaseFinishing, w.BuildStandbys)
	w.registerBlueGreen(r)
	w.registerInPlace(r)
	register(r, step.FenceForGood, upgrade.PhaseFinishing, w.FenceForGood)
	register(r, step.CloseWayBack, upgrade.PhaseFinishing, w.CloseWayBack)
	register(r, step.Finish, upgrade.PhaseFinishing, w.Finish)
	register(r, step.Discard, upgrade.PhaseCleanup, w.discardOrSay)
}

// register wraps a step: its progress beats for as long as it runs, and its errors cross the
// border to the engine in one place.
func register[A, R any](r Registry, name string, phase upgrade.Phase, do func(context.Context, A) (R, error)) {
	r.RegisterActivityWithOptions(func(ctx context.Context, args A) (R, error) {
		first := upgrade.Progress{Phase: phase, Step: name}
		if own, ok := any(args).(interface{ Phase() upgrade.Phase }); ok { // it depends on the way
			first.Phase = own.Phase()
		}
		ctx, stop := withProgress(ctx, first)
		defer stop()
		result, err := do(ctx, args)
		return result, atBorder(ctx, err)
	}, activity.RegisterOptions{Name: name})
}

// atBorder says what the engine may retry. Its text is all that remains of an error.
func atBorder(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	// The cause tells the user's cancel from the end of this agent, after which the step goes on.
	if temporal.IsCanceledError(context.Cause(ctx)) {
		return temporal.NewCanceledError()
	}
	if refused, ok := errors.AsType[*upgrade.Refused](err); ok {
		// Benign: the user is told, and the server's log needs no error of it.
		return temporal.NewApplicationErrorWithOptions(err.Error(), "Refused", temporal.ApplicationErrorOptions{
			NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{refused},
		})
	}
	if isOfSQL(err) {
		return temporal.NewApplicationError(err.Error(), "Failed", upgrade.Refused{Reason: err.Error(), Cause: upgrade.CauseSQL})
	}
	return temporal.NewApplicationError(err.Error(), "Failed")
}

// isOfSQL tells whether a server refused a statement, or took too long over it. What is wrong with a connection is not
// of this kind.
func isOfSQL(err error) bool {
	if _, unconnected := errors.AsType[*pgconn.ConnectError](err); unconnected {
		return false
	}
	_, said := errors.AsType[*pgconn.PgError](err)
	return said || pgconn.Timeout(err)
}

// say makes an event of the step that ctx belongs to.
func (w *Worker) say(ctx context.Context, level upgrade.Level, text string) upgrade.Event {
	return upgrade.Event{At: w.now().UTC(), Level: level, Phase: progressOf(ctx).phase(), Text: text}
}

func (w *Worker) info(ctx context.Context, text string) step.Done {
	return step.Done{Events: []upgrade.Event{w.say(ctx, upgrade.LevelInfo, text)}}
}

// owner is the operating system user of a plan's clusters.
func owner(plan upgrade.Plan) (run.User, error) {
	user, err := run.LookupUser(plan.Source.Owner)
	if err != nil {
		return user, &upgrade.Refused{Reason: err.Error()}
	}
	return user, nil
}

// caller runs PostgreSQL's programs for a plan as its owner, and keeps what they say.
func (w *Worker) caller(plan upgrade.Plan, program string) (pgbin.Caller, error) {
	user, err := owner(plan)
	if err != nil {
		return pgbin.Caller{}, err
	}
	files, err := w.files(plan)
	if err != nil {
		return pgbin.Caller{}, err
	}
	return pgbin.Caller{Runner: w.runner, As: user, Transcript: files.transcript(program)}, nil
}
