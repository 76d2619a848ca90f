// Command pgleap is the server with its agent, and the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/pgleap/pgleap/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr, newServerCommand(), newGuardCommand())
	stop()
	os.Exit(code)
}
