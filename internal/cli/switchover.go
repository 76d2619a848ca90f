package cli

import (
	"fmt"
	"slices"
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
	verbBack      = "back"
)

func newSwitchoverCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "switchover ID switch|back|interrupt|cancel",
		Short: "Switch over, switch back, interrupt either, or cancel the upgrade",
		Long: `Tell the running upgrade of an instance (ID may be the upgrade's number, too) to

  switch      switch over: move applications to the target
  back        switch back: move applications to the source again, which has followed the target
              since the switchover; nothing that was written on the target is lost. After a
              blue-green upgrade, which has ended, only as long as nothing was written on the target
  interrupt   abort the present switchover or switchback; applications go on where they were
  cancel      abandon the upgrade, before it has switched; the source is as it was

and wait for the outcome.` + exitStatus(ExitFailed, ExitInterrupted),
		Args: arguments("ID", "the verb (switch, back, interrupt or cancel)"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{verbSwitch, verbBack, verbInterrupt, verbCancel}, cobra.ShellCompDirectiveNoFileComp
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
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "switch, back: how long clients may wait this time, 10s to 1h; then it is undone\n(default: the upgrade's --switchover-timeout)")
	return cmd
}

// switchoverRequest makes sense of the command line.
func switchoverRequest(verb string, timeout time.Duration, given bool) (client.SwitchoverRequest, error) {
	request := client.SwitchoverRequest{Verb: client.SwitchoverRequestVerb(verb)}
	switch {
	case !slices.Contains([]string{verbSwitch, verbRehearse, verbBack, verbInterrupt, verbCancel}, verb):
		return request, fmt.Errorf("%q is not %s, %s, %s or %s", verb, verbSwitch, verbBack, verbInterrupt, verbCancel)
	case !given:
		return request, nil
	case verb != verbSwitch && verb != verbRehearse && verb != verbBack:
		return request, fmt.Errorf("--timeout goes with %s and %s only", verbSwitch, verbBack)
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
	if err == nil && !achieved(verb, before, task) {
		err = notAchieved(verb, task)
	}
	return err
}

// outcome waits until it is clear what came of a verb.
type outcome struct {
	silent

	verb     string
	attempts int  // that had ended before the verb was said
	onTarget bool // applications were, then
}

func outcomeOf(verb string, before upgrade.Task) outcome {
	return outcome{verb: verb, attempts: attempts(verb, before), onTarget: before.OnTarget()}
}

// stands implements watcher. An attempt's result is in the record before its phase ends.
func (o outcome) stands(t upgrade.Task) bool {
	return t.Status.Ended() || t.OnTarget() != o.onTarget || o.verb != verbCancel && attempts(o.verb, t) > o.attempts
}

// attempts counts the switchovers of an upgrade that have ended, rehearsed ones too if they matter.
func attempts(verb string, t upgrade.Task) int {
	n := 0
	for _, p := range t.Phases {
		rehearsal := p.Phase == upgrade.PhaseRehearsal && verb != verbSwitch && verb != verbBack
		if (p.Phase == upgrade.PhaseSwitchover || p.Phase == upgrade.PhaseSwitchback || rehearsal) && p.EndedAt != nil {
			n++
		}
	}
	return n
}

// achieved tells whether what came is what was asked for.
func achieved(verb string, before, t upgrade.Task) bool {
	switch verb {
	case verbSwitch:
		return t.OnTarget()
	case verbBack:
		return !t.OnTarget()
	case verbCancel:
		return t.Status == upgrade.StatusCancelled
	}
	return t.OnTarget() == before.OnTarget()
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
	if !t.Status.Ended() && verb == verbInterrupt || t.OnTarget() && verb == verbCancel {
		where := "source"
		if t.OnTarget() {
			where = "target"
		}
		return &Error{Code: ExitFailed, Reason: fmt.Sprintf("too late to %s: applications are on the %s", verb, where)}
	}
	if t.Status.Ended() {
		return failed(t)
	}
	reason := fmt.Sprintf("upgrade %d did not switch %s", t.Number, map[string]string{verbSwitch: "over", verbBack: "back"}[verb])
	if t.Switchover != nil && t.Switchover.Reason != "" {
		reason += ": " + t.Switchover.Reason
	}
	return &Error{Code: ExitFailed, Reason: reason, Remedy: fmt.Sprintf("mend what the reason names, then repeat: pgleap switchover %s %s", t.Instance, verb)}
}
