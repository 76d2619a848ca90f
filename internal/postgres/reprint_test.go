package postgres_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	everything "github.com/pgleap/pgleap/internal/pgtest/content"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestContentOfVersions: what a server of one version prints of everything that PostgreSQL knows means the same as what
// another one prints that pg_dump has brought it to, and the other way round, whatever becomes of the words.
func TestContentOfVersions(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	versions := pgtest.Versions(t)
	for i, from := range versions {
		for _, to := range versions[i+1:] {
			t.Run(strconv.Itoa(from)+" to "+strconv.Itoa(to), func(t *testing.T) {
				settings := pgtest.Config(everything.Settings())
				source, target := pgtest.Start(t, from, settings), pgtest.Start(t, to, settings)
				everything.Load(t, source, everything.For{Target: to, Clone: true})
				restore(t, source, target)
				sameGlobals(t, in(t, source, "postgres"), in(t, target, "postgres"))
				for _, database := range databasesOf(t, source) {
					sameShape(t, in(t, source, database), in(t, target, database))
					sameFacts(t, in(t, source, database), in(t, target, database))
				}
			})
		}
	}
}

// TestGrammarOfAnotherVersion: a definition that a printer cannot even parse differs, even if it is the first, and
// keeps the others from nothing.
func TestGrammarOfAnotherVersion(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	conn := session(t, c)
	worded := func(what, text string) (string, postgres.Definition) {
		return what + ": " + text, postgres.Definition{What: what, Kind: "query", Text: text}
	}
	source, target := postgres.Shape{}, postgres.Shape{}
	unparsable, definition := worded("view first", "SELECT 1 OF A GRAMMAR TO COME")
	source[unparsable] = definition
	for _, other := range []string{"view second", "view third"} {
		line, definition := worded(other, "SELECT  1  AS  one")
		source[line] = definition
		line, definition = worded(other, "SELECT (1) AS one")
		target[line] = definition
	}
	line, definition := worded("view first", "SELECT 2 AS two")
	target[line] = definition
	must(t, "reconcile", new(postgres.Reconciler).Reconcile(t.Context(), source, target, conn))
	if only := source.Without(target); !slices.Equal(only, []string{unparsable}) {
		t.Errorf("only on the source: %q, want %q", only, unparsable)
	}
}

// sameShape wants both sides to have the same shape, and the same in the other direction.
func sameShape(t *testing.T, source, target *pgx.Conn) {
	t.Helper()
	for _, side := range [][2]*pgx.Conn{{source, target}, {target, source}} {
		var shapes [2]postgres.Shape
		for i, conn := range side {
			shapes[i], _ = shape(t, conn)
		}
		var reconciler postgres.Reconciler
		before := len(shapes[0].Without(shapes[1]))
		must(t, "reconcile", reconciler.Reconcile(t.Context(), shapes[0], shapes[1], side[1], side[0]))
		t.Logf("%s: %d lines, of which %d were worded differently", side[0].Config().Database, len(shapes[0]), before)
		only, missing := shapes[0].Without(shapes[1]), shapes[1].Without(shapes[0])
		slices.Sort(only)
		slices.Sort(missing)
		if len(only)+len(missing) > 0 {
			t.Errorf("%s, to port %d: only there:\n%s\nmissing there:\n%s", side[0].Config().Database, side[1].Config().Port,
				strings.Join(only, "\n"), strings.Join(missing, "\n"))
		}
	}
}

// sameGlobals wants both sides to have the same roles and databases.
func sameGlobals(t *testing.T, source, target *pgx.Conn) {
	t.Helper()
	here, _ := globals(t, source)
	there, _ := globals(t, target)
	only, missing := here.Without(there), there.Without(here)
	// pg_dumpall writes no settings that hold for all roles in all databases.
	only = slices.DeleteFunc(only, func(line string) bool { return strings.HasSuffix(line, "of database *, role *") })
	slices.Sort(only)
	slices.Sort(missing)
	if len(only)+len(missing) > 0 {
		t.Errorf("to port %d: only there:\n%s\nmissing there:\n%s", target.Config().Port, strings.Join(only, "\n"), strings.Join(missing, "\n"))
	}
}

// sameFacts wants both sides to say the same of their objects besides.
func sameFacts(t *testing.T, source, target *pgx.Conn) {
	t.Helper()
	for _, set := range postgres.FactSets()[:1] { // the others are of large objects
		var facts [2]map[postgres.CatalogFact]bool
		for side, conn := range []*pgx.Conn{source, target} {
			facts[side] = map[postgres.CatalogFact]bool{}
			must(t, "read facts", pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				if err := postgres.FixOutput(t.Context(), tx.Conn()); err != nil {
					return err
				}
				read, err := set.Read(t.Context(), tx.Conn())
				for _, fact := range read {
					facts[side][fact] = true
				}
				return err
			}))
		}
		for side := range facts {
			for fact := range facts[side] {
				if !facts[1-side][fact] && fact.Property != "is populated" { // no data came over
					t.Errorf("%s, %s: only on side %d: %+v", source.Config().Database, set.Name(), side, fact)
				}
			}
		}
	}
}

// restore brings all of a cluster to another, as pg_upgrade does.
func restore(t *testing.T, from, to *pgtest.Cluster) {
	t.Helper()
	at := func(c *pgtest.Cluster) []string {
		return []string{"-h", "127.0.0.1", "-U", "postgres", "-p", strconv.Itoa(c.Port)}
	}
	dump := exec.CommandContext(t.Context(), filepath.Join(to.Bindir, "pg_dumpall"), append(at(from), "-s", "--quote-all-identifiers", "--encoding=UTF8")...)
	script, err := dump.Output()
	must(t, "dump", err)
	load := exec.CommandContext(t.Context(), filepath.Join(to.Bindir, "psql"), append(at(to), "-Xqd", "postgres", "-o", "/dev/null")...)
	load.Env = append(os.Environ(), "PGOPTIONS=-c default_transaction_read_only=off", "PGCLIENTENCODING=UTF8")
	load.Stdin = bytes.NewReader(script)
	said, err := load.CombinedOutput()
	must(t, "load", err)
	t.Logf("restored:\n%s", said)
}

func databasesOf(t *testing.T, c *pgtest.Cluster) []string {
	t.Helper()
	rows, err := c.Connect(t, "postgres").Query(t.Context(), `
		-- Its public schema is gone, which pg_dump does not carry.
		SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'cast_of_mold'`)
	must(t, "list databases", err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "list databases", err)
	return names
}

// in opens a session like those of a switchover.
func in(t *testing.T, c *pgtest.Cluster, database string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), postgres.Login{
		Address: upgrade.Address{Host: "127.0.0.1", Port: c.Port}, User: "postgres", Database: database,
		Settings: map[string]string{"bytea_output": "hex"},
	})
	must(t, "connect", err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
