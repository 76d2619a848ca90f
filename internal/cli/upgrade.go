package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// upgradeOptions are the flags of `upgrade`.
type upgradeOptions struct {
	targetOptions
	detach bool
}

func newUpgradeCommand(o *options) *cobra.Command {
	var u upgradeOptions
	cmd := &cobra.Command{
		Use:   "upgrade ID --to VERSION",
		Short: "Upgrade an instance",
		Long: `Upgrade an instance, and follow the upgrade until it ends; with --detach, only start it. It begins
with a precheck, and goes no further if that finds a blocker.

With --switch manual the upgrade stays in phase "synchronizing", the source in use, until
you run "pgleap switchover ID switch". With --switch auto it rehearses the switchover as soon as the
target is close behind, compares all data of both sides, and switches over if nothing differs.

With --mode in-place the data directory is upgraded where it is, in one outage during which clients
of the instance's PgBouncer wait. With --mode blue-green a clone of the instance is upgraded and
takes its place, in a switchover as above; with --clone-only it runs beside the instance.` + exitStatus(ExitFailed, ExitInterrupted),
		Example: `  pgleap upgrade orders --to 17
  pgleap upgrade orders --to 17 --switch auto --statistics after --detach
  pgleap upgrade orders --to 18 --mode in-place
  pgleap upgrade orders --to 18 --mode blue-green --clone-only`,
		Args:              u.arguments,
		ValidArgsFunction: o.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return runUpgrade(cmd, o, args[0], u) },
	}
	u.addFlags(cmd)
	flags, options := cmd.Flags(), &u.wanted.Options
	flags.StringVar((*string)(&options.Statistics), "statistics", "", "collect statistics before or after the switchover (default: before; after, where clients would wait for them)")
	flags.StringVar((*string)(&options.Switch), "switch", string(upgrade.SwitchManual), "who starts the switchover: auto or manual")
	flags.BoolVar(&options.SwitchInWindow, "switch-in-window", false, "with --mode blue-green or in-place: switch over in the instance's\nmaintenance window")
	flags.DurationVar(&options.SwitchoverTimeout, "switchover-timeout", 0, "how long clients may wait in the switchover, 10s to 1h; then it is undone\n(default: 1m, 10m in mode blue-green)")
	flags.BoolVar(&options.SkipRehearsal, "skip-rehearsal", false, "with --switch auto: switch over without a rehearsal")
	flags.BoolVar(&options.TerminateDirectClients, "terminate-direct-clients", false, "let the switchover terminate sessions that do not come through the endpoint")
	flags.BoolVar(&options.AllowDDL, "allow-ddl", false, "replay changes of definitions on the target instead of blocking them")
	flags.BoolVar(&options.ShowValues, "show-values", false, "keep with the task the values, not only the keys, of rows that a verification finds different")
	flags.BoolVar(&u.detach, "detach", false, "only start the upgrade")
	complete(cmd, "statistics", "before", "after")
	complete(cmd, "switch", "auto", "manual")
	return cmd
}

func runUpgrade(cmd *cobra.Command, o *options, id string, u upgradeOptions) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	task, err := decode[upgrade.Task](api.StartUpgrade(cmd.Context(), id, u.wanted))
	if err != nil {
		return err
	}
	if o.json() && u.detach {
		return printJSON(cmd.OutOrStdout(), task)
	}
	if !o.json() {
		fmt.Fprintf(cmd.OutOrStdout(), "Upgrade %d of instance %s from %s to %d has started.\n", task.Number, id, task.Source, task.Target)
	}
	if u.detach {
		fmt.Fprintf(cmd.OutOrStdout(), "Follow it with: pgleap task show %d --follow\n", task.Number)
		return nil
	}
	return followToEnd(cmd, o, task.Number)
}
