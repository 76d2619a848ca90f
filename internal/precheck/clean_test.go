package precheck

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What nobody did anything to has nothing that stands in the way of an upgrade, in any mode: a
// database of pgbench's, and one with all of contrib's extensions that the target still has.
func TestCleanClustersRaiseNoAlarm(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	clusters := map[int]*pgtest.Cluster{}
	for _, major := range versions {
		clusters[major] = pgtest.Start(t, major)
		makeBench(t, clusters[major])
	}
	for i, source := range versions {
		for _, target := range versions[i+1:] {
			s := stage{clusters[source], clusters[target]}
			t.Run(fmt.Sprintf("%d to %d", source, target), func(t *testing.T) {
				makeContrib(t, s)
				modes := everyMode()
				if !pgtest.IsSlow() {
					modes = []upgrade.Mode{upgrade.InPlace, upgrade.ZeroDowntime}
				}
				for _, mode := range modes {
					t.Run(string(mode), func(t *testing.T) { s.raisesNoAlarm(t, mode) })
				}
			})
		}
	}
}

func makeBench(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	c.CreateDatabase(t, "bench")
	program := filepath.Join(pgtest.Bindir(t, c.Major), "pgbench")
	if output, err := exec.CommandContext(t.Context(), program, "-i", "-q", "--foreign-keys", c.DSN("bench")).CombinedOutput(); err != nil {
		t.Fatalf("pgbench: %v\n%s", err, output)
	}
	// pgbench makes it without a key, which is nothing clean.
	c.Exec(t, "bench", `ALTER TABLE pgbench_history ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY`)
}

// makeContrib makes all extensions that both sides have. Those that the target lacks are told of rightly.
func makeContrib(t *testing.T, s stage) {
	t.Helper()
	s.source.Exec(t, "postgres", `DROP DATABASE IF EXISTS contrib`)
	s.source.CreateDatabase(t, "contrib")
	list := func(c *pgtest.Cluster) []string {
		rows, err := c.Connect(t, "postgres").Query(t.Context(), `SELECT name FROM pg_available_extensions ORDER BY name`)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	offered := list(s.target)
	made := 0
	conn := s.source.Connect(t, "contrib")
	for _, name := range list(s.source) {
		// transforms need their languages, which may not be installed
		if !slices.Contains(offered, name) || strings.Contains(name, "plpython") || strings.Contains(name, "plperl") || strings.Contains(name, "pltcl") {
			continue
		}
		execute(t, conn, fmt.Sprintf(`CREATE EXTENSION IF NOT EXISTS %q CASCADE`, name))
		made++
	}
	if made < 30 {
		t.Fatalf("only %d extensions", made)
	}
}

func (s stage) raisesNoAlarm(t *testing.T, mode upgrade.Mode) {
	subject := s.subject(t, upgrade.Options{})
	subject.Plan.Mode = mode
	report, err := Run(t.Context(), subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Errorf("not passed; not checked: %v", report.NotChecked)
	}
	for _, f := range report.Findings {
		// The minor releases of this machine may be old, and some defaults that have changed are worth a warning.
		known := f.Check == sourceMinor.ID || f.Check == defaults.ID && f.Severity == upgrade.Warning
		if f.Severity != upgrade.Info && !known {
			t.Errorf("%s %s: %v", f.Severity, f.Check, f.Objects)
		}
	}
}

// Where there is no target to ask, the list of what is known says the same as the servers do.
func TestKnownRemovalsAreThoseOfTheServers(t *testing.T) {
	for _, s := range stages(t) {
		t.Run(fmt.Sprintf("%d to %d", s.source.Major, s.target.Major), func(t *testing.T) {
			asked, known := s.removed(t, true), s.removed(t, false)
			for _, name := range asked {
				// SQL cannot call these; conversions made of them are all that is lost.
				if !slices.Contains(known, name) && !strings.Contains(name, "internal") && !strings.Contains(name, "binary_upgrade") && !strings.HasSuffix(name, " by itself") {
					t.Errorf("%s is removed, and not known to be", name)
				}
			}
			for _, name := range known {
				if !slices.Contains(asked, name) {
					t.Errorf("%s is known to be removed, and is not", name)
				}
			}
		})
	}
}

// removed lists the columns, functions and operators that the target lacks, and the words it reserves.
func (s stage) removed(t *testing.T, ask bool) []string {
	t.Helper()
	source := s.source.Connect(t, "postgres")
	f, err := gather(t.Context(), source, s.subject(t, upgrade.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(t.Context())
	if !ask {
		f.targetErr = fmt.Errorf("not to be asked")
	}
	tx, err := source.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := Session{Tx: tx}
	var names []string
	columns, err := f.removedColumns(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		names = append(names, c.name)
	}
	for kind, list := range map[string]string{"functions": systemFunctions, "operators": systemOperators} {
		calls, err := f.removedCalls(t.Context(), session, kind, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			names = append(names, c.Name)
		}
	}
	bare, err := f.removedNames(t.Context(), session) // which bodies are searched for
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range bare {
		names = append(names, name+" by itself")
	}
	words, err := f.newlyReserved(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(names, words.names, words.functions)
}
