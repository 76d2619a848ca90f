package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// instanceSettings are what the user wants to be set; nil: it stays.
type instanceSettings struct {
	window        *upgrade.Window
	before, after *string
	backedUp      bool
}

func newInstanceSetCommand(o *options) *cobra.Command {
	var window, before, after string
	var backedUp bool
	cmd := &cobra.Command{
		Use:   "set ID",
		Short: "Set the maintenance window of an instance, and what is run around its switch",
		Long: `Set the maintenance window of an instance: the time of day, in UTC, in which "upgrade
--switch-in-window" begins its switch or its outage. The vendors' APIs show it. A window whose end is
before its start ends on the next day.

Set the programs that are run on its host around a switch, such as one that switches the archive of the WAL
over: before clients wait, where a failure keeps everything as it is, and when they go on again. Each is run
as the cluster's owner, without arguments, for 5 minutes at most; its environment tells what it is about
(docs/operations.md). An empty path means: none.

Confirm that a base backup of the version that the instance has was taken since its last upgrade.` + exitStatus(),
		Example: `  pgleap instance set orders --window 22:00Z-02:00Z
  pgleap instance set orders --before-switch /etc/pgleap/stop-archive --after-switch /etc/pgleap/new-stanza
  pgleap instance set orders --base-backup-taken`,
		Args:              arguments("ID"),
		ValidArgsFunction: o.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := instanceSettings{backedUp: backedUp}
			if cmd.Flags().Changed("window") {
				w, err := upgrade.ParseWindow(window)
				if err != nil {
					return usage(cmd, err)
				}
				wanted.window = &w
			}
			if cmd.Flags().Changed("before-switch") {
				wanted.before = &before
			}
			if cmd.Flags().Changed("after-switch") {
				wanted.after = &after
			}
			if wanted == (instanceSettings{}) {
				return usage(cmd, errors.New("name at least one setting"))
			}
			return runInstanceSet(cmd, o, args[0], wanted)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&window, "window", "", "maintenance `window`, in UTC")
	flags.StringVar(&before, "before-switch", "", "absolute `path` of a program to run before a switch")
	flags.StringVar(&after, "after-switch", "", "absolute `path` of a program to run after it")
	flags.BoolVar(&backedUp, "base-backup-taken", false, "there is a base backup of the version that the instance has")
	return cmd
}

func runInstanceSet(cmd *cobra.Command, o *options, id string, wanted instanceSettings) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	instance, err := decode[upgrade.Instance](api.GetInstance(ctx, id))
	if err == nil && wanted.window != nil {
		instance, err = decode[upgrade.Instance](api.SetWindow(ctx, id, *wanted.window))
	}
	if err == nil && (wanted.before != nil || wanted.after != nil) {
		instance, err = decode[upgrade.Instance](api.SetHooks(ctx, id, hooksOf(instance, wanted)))
	}
	if err == nil && wanted.backedUp {
		instance, err = decode[upgrade.Instance](api.ConfirmBaseBackup(ctx, id))
	}
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), instance)
	}
	out := cmd.OutOrStdout()
	if wanted.window != nil {
		fmt.Fprintf(out, "The maintenance window of instance %s is %s.\n", id, instance.Window)
	}
	if wanted.before != nil || wanted.after != nil {
		hooks := hooksOf(instance, instanceSettings{})
		fmt.Fprintf(out, "Before a switch of instance %s is run: %s; after it: %s.\n", id, orDash(hooks.Before), orDash(hooks.After))
	}
	if wanted.backedUp {
		fmt.Fprintf(out, "Instance %s has a base backup of version %s.\n", id, version(instance.Cluster.Version))
	}
	return nil
}

// hooksOf are those of an instance, with what is wanted in their place.
func hooksOf(instance upgrade.Instance, wanted instanceSettings) client.Hooks {
	var hooks upgrade.Hooks
	if instance.Hooks != nil {
		hooks = *instance.Hooks
	}
	if wanted.before != nil {
		hooks.Before = *wanted.before
	}
	if wanted.after != nil {
		hooks.After = *wanted.after
	}
	return hooks
}
