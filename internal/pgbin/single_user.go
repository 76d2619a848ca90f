package pgbin

import (
	"context"
	"fmt"
	"strings"
)

// SingleUser runs SQL in a data directory that no server runs on: nobody else can come in, and nothing works in the
// background (PostgreSQL docs, "Options for Single-User Mode" of postgres).
type SingleUser struct {
	Bindir   string
	Pgdata   string
	Database string
}

// Run carries out a statement, which has no empty line. It leaves the cluster shut down cleanly.
func (s SingleUser) Run(ctx context.Context, as Caller, statement string) error {
	command := as.call(s.Bindir, "postgres", "--single", "-j", "-D", s.Pgdata,
		"-c", "exit_on_error=on", // else an error is told, and the exit code 0
		"-c", "log_min_error_statement=panic", // it may hold a secret
		"-c", "shared_preload_libraries=", "-c", "archive_mode=off", "-c", "logging_collector=off",
		// A server with the configured memory may run at this time.
		"-c", "shared_buffers=16MB", "-c", "huge_pages=off",
		s.Database)
	command.Stdin = strings.NewReader(statement + ";\n\n")
	if _, err := as.Runner.Run(ctx, command); err != nil {
		return fmt.Errorf("run SQL in %s: %w", s.Pgdata, err)
	}
	return nil
}
