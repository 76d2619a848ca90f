package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The verbs.
const (
	verbSwitch    = "switch"
	verbInterrupt = "interrupt"
	verbCancel    = "cancel"
)

func newSwitchoverCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "switchover ID switch|interrupt|cancel",
		Short: "Switch over, interrupt the switchover, or cancel the upgrade",
		Long: `Tell the running upgrade of an instance (ID may be the upgrade's number, too) to

  switch      switch over: move applications to the target
  interrupt   abort the present switchover; the upgrade is synchronizing again
  cancel      abandon the upgrade, before it has switched; the source is as it was

and wait for the outcome.` + exitStatus(ExitFailed, ExitInterrupted),
		Args: arguments("ID", "the verb (switch, interrupt or cancel)"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{verbSwitch, verbInterrupt, verbCancel}, cobra.ShellCompDirectiveNoFileComp
			}
			return o.completeInstance(cmd, args, word)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := switchoverRequest(args[1], timeout, cmd.Flags().Changed("timeout"))
			if err != nil {
				return usage(cmd, err)
			}
			return runSwitchover(cmd, o, args[0], request)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "switch: how long clients may wait this time, 10s to 1h; then it is undone\n(default: the upgrade's --switchover-timeout)")
	return cmd
}

// switchoverRequest makes sense of the command line.
func switchoverRequest(verb string, timeout time.Duration, given bool) (client.SwitchoverRequest, error) {
	request := client.SwitchoverRequest{Verb: client.SwitchoverRequestVerb(verb)}
	switch {
	case verb != verbSwitch && verb != verbRehearse && verb != verbInterrupt && verb != verbCancel:
		return request, fmt.Errorf("%q is not %s, %s or %s", verb, verbSwitch, verbInterrupt, verbCancel)
	case !given:
		return request, nil
	case verb != verbSwitch && verb != verbRehearse:
		return request, fmt.Errorf("--timeout goes with %s only", verbSwitch)
	case timeout < upgrade.MinSwitchoverTimeout || timeout > upgrade.MaxSwitchoverTimeout || timeout%time.Second != 0:
		return request, fmt.Errorf("--timeout %s: give whole seconds between %s and %s", timeout, upgrade.MinSwitchoverTimeout, upgrade.MaxSwitchoverTimeout)
	}
	request.TimeoutSeconds = int32(timeout / time.Second)
	return request, nil
}

func runSwitchover(cmd *cobra.Command, o *options, id string, request client.SwitchoverRequest) error {
	verb := string(request.Verb)
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	before, err := decode[upgrade.Task](api.SwitchOver(cmd.Context(), id, request))
	if err != nil {
		return err
	}
	task, err := follow(cmd.Context(), o.reconnect(cmd), before.Number, outcomeOf(verb, before))
	if err != nil {
		return err
	}
	if o.json() {
		err = printJSON(cmd.OutOrStdout(), task)
	} else {
		printOutcome(cmd, verb, task)
	}
	if err == nil && !achieved(verb, task) {
		err = notAchieved(verb, task)
	}
	return err
}

// outcome waits until it is clear what came of a verb.
type outcome struct {
	silent

	verb     string
	attempts int // that had ended before the verb was said
}

func outcomeOf(verb string, before upgrade.Task) outcome {
	return outcome{verb: verb, attempts: attempts(verb, before)}
}

// stands implements watcher. An attempt's result is in the record before its phase ends.
func (o outcome) stands(t upgrade.Task) bool {
	switched := t.Switchover != nil && t.Switchover.Switched
	return t.Status.Ended() || switched || o.verb != verbCancel && attempts(o.verb, t) > o.attempts
}

// attempts counts the switchovers of an upgrade that have ended, rehearsed ones too if they matter.
func attempts(verb string, t upgrade.Task) int {
	n := 0
	for _, p := range t.Phases {
		rehearsal := p.Phase == upgrade.PhaseRehearsal && verb != verbSwitch
		if (p.Phase == upgrade.PhaseSwitchover || rehearsal) && p.EndedAt != nil {
			n++
		}
	}
	return n
}

// achieved tells whether what came is what was asked for.
func achieved(verb string, t upgrade.Task) bool {
	switched := t.Switchover != nil && t.Switchover.Switched
	switch verb {
	case verbSwitch:
		return switched
	case verbCancel:
		return t.Status == upgrade.StatusCancelled
	}
	return !switched
}

func printOutcome(cmd *cobra.Command, verb string, t upgrade.Task) {
	out := cmd.OutOrStdout()
	if t.Switchover != nil && verb != verbCancel {
		printSwitchover(out, *t.Switchover)
	}
	if t.Status.Ended() {
		fmt.Fprintf(out, "Upgrade %d has ended: %s.\n", t.Number, t.Status)
	} else {
		fmt.Fprintf(out, "Upgrade %d goes on; follow it with: pgleap task show %d --follow\n", t.Number, t.Number)
	}
}

func notAchieved(verb string, t upgrade.Task) error {
	if t.Switchover != nil && t.Switchover.Switched {
		return &Error{Code: ExitFailed, Reason: fmt.Sprintf("too late to %s: applications are on the target", verb)}
	}
	if t.Status.Ended() {
		return failed(t)
	}
	reason := fmt.Sprintf("upgrade %d did not switch over", t.Number)
	if t.Switchover != nil && t.Switchover.Reason != "" {
		reason += ": " + t.Switchover.Reason
	}
	return &Error{Code: ExitFailed, Reason: reason, Remedy: "do what the reason says, then switch again"}
}
