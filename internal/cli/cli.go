// Package cli is the command line: it talks to the server over the native API, and does nothing
// that the API cannot do, but for the precheck of a server that is not registered. One file a command.
package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the exit code. The commands in extra are those that a
// program has beside the ones that every program has.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, extra ...*cobra.Command) int {
	root := New(extra...)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	err = ofFlagGroup(cmd, err)
	code := exitCode(ctx, err)
	complain(cmd, err, code)
	return code
}

// New returns the root command.
func New(extra ...*cobra.Command) *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "pgleap",
		Short: "Upgrade PostgreSQL instances to a new major version",
		Long: `pgleap upgrades PostgreSQL instances to a new major version, with a write pause of
milliseconds. These commands talk to a running "pgleap server".` + exitStatus(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // or cobra complains by itself, and says less
		RunE:          showCommands,

		SuggestionsMinimumDistance: 2,
	}
	o.addFlags(root)
	root.SetFlagErrorFunc(badFlag)
	root.AddCommand(
		newInstanceCommand(o), newPrecheckCommand(o), newUpgradeCommand(o), newRehearseCommand(o), newSwitchoverCommand(o), newFinishCommand(o),
		newTasksCommand(o), newTaskCommand(o), newAccessKeyCommand(o), newAuditCommand(o), newVersionCommand(o),
	)
	for _, cmd := range extra {
		if cmd.Args == nil {
			cmd.Args = arguments()
		}
		root.AddCommand(cmd)
	}
	return root
}

// group is a command that only has commands.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + "." + exitStatus(),
		RunE: showCommands, SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(commands...)
	return cmd
}

// showCommands is what a command does that only has commands. One that it does not have was mistyped, most likely.
func showCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	unknown := &Error{
		Code: ExitRefused, Reason: fmt.Sprintf("%q is not a command of %q", args[0], cmd.CommandPath()), Remedy: cmd.CommandPath() + " --help",
	}
	if alike := cmd.SuggestionsFor(args[0]); len(alike) == 1 {
		unknown.Remedy = cmd.CommandPath() + " " + alike[0]
	}
	return unknown
}
