package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// upgradeOptions are the flags of `upgrade` beside those that it shares with `precheck`.
type upgradeOptions struct {
	targetOptions
	statistics, switching  string
	switchoverTimeout      time.Duration
	skipRehearsal          bool
	terminateDirectClients bool
	noSwitchback           bool
	allowDDL, fullIdentity bool
	showValues             bool
	tableGroups            int
	transfer               string
	cloneOnly, inWindow    bool
	waitForStandbys        bool
	detach                 bool
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
	flags := cmd.Flags()
	flags.StringVar(&u.statistics, "statistics", "", "collect statistics before or after the switchover (default: before; after, where clients would wait for them)")
	flags.StringVar(&u.switching, "switch", string(upgrade.SwitchManual), "who starts the switchover: auto or manual")
	flags.DurationVar(&u.switchoverTimeout, "switchover-timeout", 0, "how long clients may wait in the switchover, 10s to 1h; then it is undone\n(default: 1m, 10m in mode blue-green)")
	flags.BoolVar(&u.skipRehearsal, "skip-rehearsal", false, "with --switch auto: switch over without a rehearsal")
	flags.BoolVar(&u.terminateDirectClients, "terminate-direct-clients", false, "let the switchover terminate sessions that do not come through the endpoint")
	flags.BoolVar(&u.noSwitchback, "no-switchback", false, "finish as soon as clients are on the target: without a way back")
	flags.BoolVar(&u.allowDDL, "allow-ddl", false, "replay changes of definitions on the target instead of blocking them")
	flags.BoolVar(&u.fullIdentity, "full-identity", false, "give tables without a replica identity REPLICA IDENTITY FULL for the time of the upgrade")
	flags.BoolVar(&u.showValues, "show-values", false, "keep with the task the values, not only the keys, of rows that a verification finds different")
	flags.IntVar(&u.tableGroups, "table-groups", 1, "share the tables of each database among so many subscriptions")
	flags.StringVar(&u.transfer, "transfer", "", "with --mode in-place: how the files are taken over: auto, clone, copy-file-range, copy, link or swap (default auto)")
	flags.BoolVar(&u.cloneOnly, "clone-only", false, "with --mode blue-green: upgrade a clone, and leave clients where they are")
	flags.BoolVar(&u.inWindow, "switch-in-window", false, "with --mode blue-green or in-place: switch over in the instance's\nmaintenance window")
	flags.BoolVar(&u.waitForStandbys, "wait-for-standbys", false, "let the switchover wait until the target has standbys as the source has; in modes in-place and\nblue-green clients wait for them")
	flags.BoolVar(&u.detach, "detach", false, "only start the upgrade")
	cmd.MarkFlagsMutuallyExclusive("no-standbys", "wait-for-standbys")
	var transfers []string
	for _, transfer := range upgrade.Transfers() {
		transfers = append(transfers, string(transfer))
	}
	for flag, values := range map[string][]string{
		"statistics": {"before", "after"}, "switch": {"auto", "manual"}, "transfer": transfers,
	} {
		cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // fails for an unknown flag only
	}
	return cmd
}

func runUpgrade(cmd *cobra.Command, o *options, id string, u upgradeOptions) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	request := u.request()
	request.Options.Statistics = upgrade.Statistics(u.statistics)
	request.Options.Switch = upgrade.Switch(u.switching)
	request.Options.SwitchoverTimeout = u.switchoverTimeout
	request.Options.SkipRehearsal = u.skipRehearsal
	request.Options.TerminateDirectClients = u.terminateDirectClients
	request.Options.SkipSwitchback = u.noSwitchback
	request.Options.AllowDDL = u.allowDDL
	request.Options.FullIdentity = u.fullIdentity
	request.Options.ShowValues = u.showValues
	request.Options.TableGroups = u.tableGroups
	request.Options.Transfer = upgrade.Transfer(u.transfer)
	request.Options.CloneOnly = u.cloneOnly
	request.Options.SwitchInWindow = u.inWindow
	request.Options.WaitForStandbys = u.waitForStandbys
	task, err := decode[upgrade.Task](api.StartUpgrade(cmd.Context(), id, request))
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
