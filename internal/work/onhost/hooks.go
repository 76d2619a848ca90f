package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// hookTimeout is how long a program around the switch may take.
const hookTimeout = 5 * time.Minute

// hooksRun is what is remembered of the programs around an attempt.
type hooksRun struct {
	Begun  bool `json:"begun"`  // the one before may have been run
	Before bool `json:"before"` // it was, and was content
	After  bool `json:"after"`  // the other one was run
}

// aroundSwitch runs the user's programs before and after an attempt to switch. If the first one fails,
// nothing is switched. The second one is run whenever the first may have been, so that it can undo what that
// did; what it fails with is told. A crash may have either run again.
func (w *Worker) aroundSwitch(ctx context.Context, args step.SwitchOverArgs, do func() (upgrade.Switchover, error)) (upgrade.Switchover, error) {
	hooks := args.Plan.Hooks
	if hooks == nil || args.Rehearse {
		return do()
	}
	files, err := w.files(args.Plan)
	if err != nil {
		return upgrade.Switchover{}, err
	}
	name := noteHooks(args)
	var state hooksRun
	if _, err := files.read(name, &state); err != nil {
		return upgrade.Switchover{}, err
	}
	if args.SettleOnly {
		if err := endHooks(ctx, files); err != nil { // clients may be waiting: that comes first
			w.log.WarnContext(ctx, "a program of the user around the switch still runs", "task", args.Plan.Number, "error", err)
		}
	}
	var outcome upgrade.Switchover
	failed := w.hookBefore(ctx, args, files, name, &state)
	if failed != nil && ctx.Err() != nil && !temporal.IsCanceledError(context.Cause(ctx)) {
		return outcome, failed // the agent ends, see atBorder: the next one begins anew
	}
	if failed != nil {
		outcome = upgrade.Switchover{Reason: failed.Error(), Back: args.Plan.Reversed}
	} else if outcome, err = do(); err != nil {
		return outcome, err
	}
	if hooks.After == "" || state.After || !state.Begun && !outcome.Switched {
		return outcome, nil
	}
	if err := w.runHook(context.WithoutCancel(ctx), args, "after", hooks.After, outcome.Switched); err != nil {
		outcome.Told = append(outcome.Told, err.Error())
	}
	state.After = true
	return outcome, files.write(name, state)
}

// noteHooks is the hooksRun of an attempt.
func noteHooks(args step.SwitchOverArgs) note {
	return note(fmt.Sprintf("hooks-%d.json", args.Attempt))
}

// forgetHooks lets the programs around an attempt be run again.
func (w *Worker) forgetHooks(args step.SwitchOverArgs) error {
	files, err := w.files(args.Plan)
	if err == nil {
		err = files.remove(noteHooks(args))
	}
	return err
}

// hookBefore runs the program before the switch, unless it was run, or there is nothing to begin.
func (w *Worker) hookBefore(ctx context.Context, args step.SwitchOverArgs, files files, name note, state *hooksRun) error {
	if args.Plan.Hooks.Before == "" || state.Before || args.SettleOnly {
		return nil
	}
	state.Begun = true
	if err := files.write(name, *state); err != nil {
		return err
	}
	if err := w.runHook(ctx, args, "before", args.Plan.Hooks.Before, false); err != nil {
		return err
	}
	state.Before = true
	return files.write(name, *state)
}

// runHook runs one of them, as the cluster's owner, with what it may want to know in its environment.
func (w *Worker) runHook(ctx context.Context, args step.SwitchOverArgs, when, program string, switched bool) error {
	user, err := owner(args.Plan)
	if err != nil {
		return err
	}
	files, err := w.files(args.Plan)
	if err != nil {
		return err
	}
	if err := trustworthy(program, user); err != nil {
		return fmt.Errorf("the program %s the switch is not run: %w", when, err)
	}
	if err := endHooks(ctx, files); err != nil {
		return fmt.Errorf("the program %s the switch is not run: %w", when, err)
	}
	progressOf(ctx).text(fmt.Sprintf("running %s, %s the switch", program, when))
	ctx, cancel := context.WithTimeoutCause(ctx, hookTimeout, fmt.Errorf("it did not end within %s", hookTimeout))
	defer cancel()
	_, err = w.runner.Run(ctx, run.Command{
		Path: program, As: user, Env: hookEnvironment(args, when, switched), Transcript: files.transcript("hook-" + when),
		Pidfile: files.pidfile("hook-" + when),
	})
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errors.Join(err, context.Cause(ctx))
		}
		return fmt.Errorf("the program %s the switch failed: %w", when, err)
	}
	return nil
}

// endHooks ends a program that an agent which was killed has left: it would go on beside its repetition.
func endHooks(ctx context.Context, files files) error {
	return errors.Join(run.EndLeftover(ctx, files.pidfile("hook-before")), run.EndLeftover(ctx, files.pidfile("hook-after")))
}

func hookEnvironment(args step.SwitchOverArgs, when string, switched bool) []string {
	plan, direction := args.Plan, "there"
	if plan.Reversed {
		direction = "back"
	}
	env := []string{
		"PGLEAP_HOOK=" + when,
		"PGLEAP_INSTANCE=" + plan.Instance,
		"PGLEAP_UPGRADE=" + strconv.FormatInt(plan.Number, 10),
		"PGLEAP_ATTEMPT=" + strconv.Itoa(args.Attempt),
		"PGLEAP_MODE=" + string(plan.Mode),
		"PGLEAP_DIRECTION=" + direction,
	}
	if when == "after" {
		env = append(env, "PGLEAP_SWITCHED="+strconv.FormatBool(switched))
	}
	for side, c := range map[string]upgrade.Cluster{"FROM": plan.Source, "TO": plan.Target} {
		env = append(env,
			"PGLEAP_"+side+"_VERSION="+strconv.Itoa(int(c.Version.Major())),
			"PGLEAP_"+side+"_BINDIR="+c.Bindir,
			"PGLEAP_"+side+"_PGDATA="+c.Pgdata,
			"PGLEAP_"+side+"_PORT="+strconv.Itoa(c.Port),
			"PGLEAP_"+side+"_SOCKETDIR="+c.SocketDir)
	}
	return env
}

// trustworthy wants a program that nobody else can change: it is run as the cluster's owner.
func trustworthy(program string, user run.User) error {
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	switch owned, known := ownerOf(info); {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", program)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others than its owner may write to %s: chmod go-w %s", program, program)
	case known && owned != 0 && owned != user.UID:
		return fmt.Errorf("%s belongs neither to root nor to %s", program, user.Name)
	}
	return nil
}
