package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const verbRehearse = "rehearse"

func newRehearseCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "rehearse ID",
		Short: "Rehearse the switchover: all of it but the move",
		Long: `Rehearse the switchover of the running upgrade of an instance (ID may be the upgrade's number, too),
any number of times, while it is synchronizing, or following: then it is the way back that is
rehearsed. Clients pause as they will in the switchover, both sides are brought to a standstill, and
clients go on where they were. Then all data of both sides, as they stood still, are compared while
everybody works on. What differs is told, and stops a switchover until a later rehearsal finds nothing.` + exitStatus(ExitFailed, ExitInterrupted),
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := switchoverRequest(verbRehearse, timeout, cmd.Flags().Changed("timeout"))
			if err != nil {
				return usage(cmd, err)
			}
			return runRehearse(cmd, o, args[0], request)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long clients may wait this time, 10s to 1h; then it is undone\n(default: the upgrade's --switchover-timeout)")
	return cmd
}

func runRehearse(cmd *cobra.Command, o *options, id string, request client.SwitchoverRequest) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	before, err := decode[upgrade.Task](api.SwitchOver(cmd.Context(), id, request))
	if err != nil {
		return err
	}
	task, err := follow(cmd.Context(), o.reconnect(cmd), before.Number, rehearsed{before: before})
	if err != nil {
		return err
	}
	if o.json() {
		err = printJSON(cmd.OutOrStdout(), task)
	} else if task.Rehearsal != nil {
		printRehearsal(cmd.OutOrStdout(), *task.Rehearsal, limitOf(request, task))
	}
	if err != nil || task.Rehearsal != nil && task.Rehearsal.Passed() {
		return err
	}
	if task.Status.Ended() {
		return failed(task)
	}
	return &Error{Code: ExitFailed, Reason: "the rehearsal did not show that a switchover would succeed", Remedy: "do what it tells, then rehearse again"}
}

// limitOf is how long clients might have waited.
func limitOf(request client.SwitchoverRequest, t upgrade.Task) time.Duration {
	if request.TimeoutSeconds > 0 {
		return time.Duration(request.TimeoutSeconds) * time.Second
	}
	if t.Plan != nil && t.Plan.Options.SwitchoverTimeout > 0 {
		return t.Plan.Options.SwitchoverTimeout
	}
	return upgrade.DefaultSwitchoverTimeout
}

// rehearsed waits for the next attempt to end, and for its verification.
type rehearsed struct {
	silent

	before upgrade.Task
}

// stands implements watcher. A switchover that was begun meanwhile counts: then there is no rehearsal.
func (w rehearsed) stands(t upgrade.Task) bool {
	if t.Status.Ended() {
		return true
	}
	if t.Rehearsal == nil || attempts(verbRehearse, t) <= attempts(verbRehearse, w.before) {
		return false
	}
	return !t.Rehearsal.Outcome.Rehearsed || t.Rehearsal.Verification != nil
}
