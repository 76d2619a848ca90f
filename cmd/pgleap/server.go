package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/app"
	"github.com/pgleap/pgleap/internal/cli"
	"github.com/pgleap/pgleap/internal/config"
)

func newServerCommand() *cobra.Command {
	var file, listen, catalog, logLevel, logFormat string
	var prefixes []string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the server and this host's agent",
		Long: `Run the server and this host's agent, until SIGTERM or an interrupt.

It listens on loopback, or beyond if its configuration has a certificate, and keeps
everything in its state directory: the record of instances and tasks, the engine that
carries upgrades across restarts, and the token that the command line uses. Killed and started again, it goes on with the
upgrades that were running.

EXIT STATUS
  0  stopped as asked
  2  it could not start`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(file, cli.StateDir(cmd))
			if err != nil {
				return err
			}
			for name, set := range map[string]func(){
				"listen": func() { c.Listen = listen }, "catalog": func() { c.Catalog = catalog },
				"log-level": func() { c.LogLevel = logLevel }, "log-format": func() { c.LogFormat = logFormat },
				"postgres-prefix": func() { c.PostgresPrefixes = prefixes },
			} {
				if cmd.Flags().Changed(name) {
					set()
				}
			}
			return runServer(cmd, c)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", os.Getenv("PGLEAP_CONFIG"), "configuration `file` (YAML)")
	flags.StringVar(&listen, "listen", config.DefaultListen, "`address` of the API; port 0 means a free one")
	flags.StringVar(&catalog, "catalog", "", "`URL` of the record: postgres://... (default: an SQLite file in the state directory)")
	flags.StringSliceVar(&prefixes, "postgres-prefix", nil, "directory with PostgreSQL installations, as PREFIX/VERSION/bin; may be repeated")
	flags.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&logFormat, "log-format", "text", "text or json")
	return cmd
}

func runServer(cmd *cobra.Command, c config.Server) error {
	if err := c.Validate(); err != nil {
		return err
	}
	log, err := c.Logger()
	if err != nil {
		return err
	}
	if c.GuardProgram, err = os.Executable(); err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	server, err := app.Start(cmd.Context(), c, log)
	if err != nil {
		return err
	}
	return server.Run(cmd.Context())
}
