package pgbin

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Caller is how a program is run: by which runner, as which operating system user, and where
// its output is kept. PostgreSQL's programs refuse to run as root, so As is the cluster's owner.
type Caller struct {
	Runner *run.Runner
	As     run.User
	// Transcript is a file that the command line and all output are appended to. Empty: not kept.
	Transcript string
	// Pidfile, when set, lets run.EndLeftover end a long program that outlived a crash of ours.
	Pidfile string
	// Nice is how far the program stands back behind others, see run.Command.
	Nice int
}

// call is a command of the caller's.
func (c Caller) call(bindir, program string, args ...string) run.Command {
	return run.Command{
		Path:       filepath.Join(bindir, program),
		Args:       args,
		As:         c.As,
		Transcript: c.Transcript,
		Pidfile:    c.Pidfile,
		Nice:       c.Nice,
	}
}

func (c Caller) run(ctx context.Context, bindir, program string, args ...string) (run.Result, error) {
	return c.Runner.Run(ctx, c.call(bindir, program, args...))
}

// untimed takes the user's time limits off a program's own sessions: a statement_timeout set for
// a role or a database would otherwise end pg_dump or vacuumdb half-way.
const untimed = "PGOPTIONS=-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off"

// untimedFor is the same for programs that talk to a version and to none that is older, as a superuser: older servers
// refuse to start a session with settings that they do not know.
func untimedFor(major upgrade.Major) string {
	options := untimed
	if major >= 14 {
		options += " -c idle_session_timeout=0"
	}
	if major >= 17 {
		// What fires at a login may refuse it.
		options += " -c transaction_timeout=0 -c event_triggers=off"
	}
	return options
}

// passfile is the environment that names a .pgpass file. One that cannot exist keeps the owner's
// ~/.pgpass out; libpq would warn of /dev/null itself, which is no plain file, at each connection.
func passfile(path string) string {
	if path == "" {
		path = "/dev/null/none"
	}
	return "PGPASSFILE=" + path
}

// quoteConnInfo writes a value for a libpq connection string.
func quoteConnInfo(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// QuoteWord writes a word for the shell that pg_ctl and pg_upgrade hand their options for servers to.
func QuoteWord(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Options joins settings into what pg_ctl's and pg_upgrade's -o take: "-c 'name=value' ...".
func Options(settings ...string) string {
	words := make([]string, 0, len(settings))
	for _, setting := range settings {
		words = append(words, "-c "+QuoteWord(setting))
	}
	return strings.Join(words, " ")
}
