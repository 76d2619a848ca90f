package pgbin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// SchemaCopy carries the definitions of a cluster into an empty one of the same version, without its
// data. The dumps are those that pg_upgrade makes (dump.c, generate_old_dump), so that the copy is exact:
// extensions come with their very members, whether or not their scripts are still there, and columns that
// were dropped are there too. The cluster that takes them must run in binary upgrade mode (postgres -b).
//
// Passwords of roles, subscriptions, whose connection strings have passwords too, and tablespaces, whose
// directories are the source's, stay behind.
type SchemaCopy struct {
	Bindir string // of both
	Major  upgrade.Major
	From   upgrade.Address
	To     upgrade.Address
	User   string // the bootstrap superuser of both
	Dir    string // a private directory for the dumps; each is removed when it has been restored
	// LockWait bounds how long a dump waits for a lock on a table: it takes ACCESS SHARE, nothing stronger.
	LockWait time.Duration
}

// Globals carries over the roles, with their settings and memberships. What the copy did not take is
// returned.
func (c SchemaCopy) Globals(ctx context.Context, as Caller) ([]Statement, error) {
	file := filepath.Join(c.Dir, "globals.sql")
	dump := c.command(as, "pg_dumpall", c.From, "postgres", "--globals-only", "--quote-all-identifiers", "--binary-upgrade",
		"--no-role-passwords", "--no-tablespaces", "--file="+file)
	defer os.Remove(file) //nolint:errcheck // it goes with its directory
	if _, err := as.Runner.Run(ctx, dump); err != nil {
		return nil, fmt.Errorf("dump the roles: %w", err)
	}
	restore := c.command(as, "psql", c.To, "postgres", "--no-psqlrc", "--quiet", "--file="+file)
	restore.Transcript = "" // its errors show statements
	out, err := as.Runner.Run(ctx, restore)
	if err != nil {
		return nil, fmt.Errorf("restore the roles: %w", err)
	}
	return scriptFailures(out.Stderr, file, maxFailures, asOwner(as.As)), nil
}

// asOwner reads a line with the rights of a user.
func asOwner(user run.User) func(path string, number int) string {
	return func(path string, number int) (line string) {
		_ = user.Do(func() error { // without it the error alone is told
			line = lineOf(path, number)
			return nil
		})
		return line
	}
}

// Database carries over one database. What the copy did not take is returned.
func (c SchemaCopy) Database(ctx context.Context, as Caller, name string) ([]Statement, error) {
	file := filepath.Join(c.Dir, "schema.dump")
	dump := c.command(as, "pg_dump", c.From, name, "--schema-only", "--quote-all-identifiers", "--binary-upgrade",
		"--no-subscriptions", "--no-tablespaces", "--format=custom", "--compress=1",
		"--lock-wait-timeout="+strconv.FormatInt(c.LockWait.Milliseconds(), 10), "--file="+file)
	defer os.Remove(file) //nolint:errcheck // it goes with its directory
	if _, err := as.Runner.Run(ctx, dump); err != nil {
		return nil, fmt.Errorf("dump the definitions of database %q: %w", name, err)
	}
	return c.restore(ctx, as, name, file)
}

// restore creates the database as pg_upgrade does (pg_upgrade.c, create_new_objects): those that initdb
// made are dropped first.
func (c SchemaCopy) restore(ctx context.Context, as Caller, name, file string) ([]Statement, error) {
	via, args := "template1", []string{"--create", "--no-tablespaces", "--verbose"}
	switch name {
	case "template1":
		via, args = "postgres", append(args, "--clean")
	case "postgres":
		args = append(args, "--clean")
	}
	restore := c.command(as, "pg_restore", c.To, via, append(args, file)...)
	restore.Transcript = "" // its errors show statements
	out, err := as.Runner.Run(ctx, restore)
	failures := restoreFailures(out.Stderr)
	for i := range failures {
		failures[i].Database = name
	}
	if failed, ok := errors.AsType[*run.Error](err); ok && failed.ExitCode == 1 && len(failures) > 0 {
		return failures, nil // it went on after them
	}
	if err != nil {
		return failures, fmt.Errorf("restore the definitions of database %q: %w", name, err)
	}
	return failures, nil
}

func (c SchemaCopy) command(as Caller, program string, at upgrade.Address, database string, args ...string) run.Command {
	connection := fmt.Sprintf("host=%s port=%d user=%s dbname=%s", quoteConnInfo(at.Host), at.Port, quoteConnInfo(c.User), quoteConnInfo(database))
	command := as.call(c.Bindir, program, append([]string{"--dbname=" + connection, "--no-password"}, args...)...)
	command.Env = []string{untimedFor(c.Major), passfile(""), "PGSSLMODE=disable", "PGAPPNAME=pgleap schema rehearsal", "PGCLIENTENCODING=UTF8"}
	return command
}

// maxFailures bounds how many failures of one restore are read.
const maxFailures = 50

// restoreFailures reads what pg_restore, verbose and going on after errors, could not restore.
func restoreFailures(log string) []Statement {
	const mark = "pg_restore: error: "
	var found []Statement
	begin := 0
	for len(found) < maxFailures {
		at := strings.Index(log[begin:], mark)
		if at < 0 {
			return found
		}
		at += begin
		end := len(log)
		if next := strings.Index(log[at+len(mark):], "\npg_restore: "); next >= 0 {
			end = at + len(mark) + next + 1
		}
		s, ok := restoreStatement(log[begin:at], log[at:end])
		if !ok {
			s.Error = oneLine(strings.TrimPrefix(log[at:end], mark))
		}
		found = append(found, s)
		begin = end
	}
	return found
}
