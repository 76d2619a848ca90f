package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/agent"
	"github.com/pgleap/pgleap/internal/cli"
	"github.com/pgleap/pgleap/internal/config"
)

// newGuardCommand is started by a switchover, never by a person: it watches over the switchover of
// a journal, and ends it if the process that started it dies.
func newGuardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "guard JOURNAL",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load("", cli.StateDir(cmd))
			if err != nil {
				return err
			}
			log, err := c.Logger()
			if err != nil {
				return err
			}
			// It must outlive whatever ends the server.
			return agent.New(c.Agent("", log)).Guard(context.WithoutCancel(cmd.Context()), args[0])
		},
	}
}
