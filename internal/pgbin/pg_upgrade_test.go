package pgbin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// newTarget makes an empty target for a source, and the pg_upgrade that brings the one into the other.
func newTarget(t *testing.T, source *pgtest.Cluster, major int) (PgUpgrade, Caller) {
	t.Helper()
	bindir := pgtest.Bindir(t, major)
	as, dir := callerFor(t, source)
	initdb := Initdb{
		Bindir: bindir, Version: versionOf(t, as, bindir), Pgdata: filepath.Join(dir, "target"),
		Superuser: source.Superuser, Encoding: "UTF8", LcCollate: "C.UTF-8", LcCtype: "C.UTF-8", NoSync: true,
	}
	if err := initdb.Run(t.Context(), as); err != nil {
		t.Fatal(err)
	}
	return PgUpgrade{
		OldBindir: source.Bindir, NewBindir: bindir, OldPgdata: source.Pgdata, NewPgdata: initdb.Pgdata,
		OldPort: source.Port, NewPort: pgtest.FreePort(t), SocketDir: dir, Superuser: source.Superuser,
		Transfer: TransferLink, Jobs: 2, Dir: dir,
		OldOptions: Options("max_locks_per_transaction=128"), NewOptions: Options("max_locks_per_transaction=128"),
	}, as
}

func TestUpgrade(t *testing.T) {
	versions := pgtest.Versions(t)
	for i := range versions[1:] {
		from, to := versions[i], versions[i+1]
		source := pgtest.Start(t, from)
		source.CreateDatabase(t, "two words")
		source.Exec(t, "two words", `
			create table parent (id int primary key, body text) partition by range (id);
			create table child partition of parent for values from (0) to (1000000);
			insert into parent select g, 'x' from generate_series(1, 1000) g;
			create view v as select * from parent;
			create function f() returns int language sql as 'select 1'`)
		pgUpgrade, as := newTarget(t, source, to)
		if _, err := pgUpgrade.Check(t.Context(), as); err != nil {
			t.Fatalf("check %d to %d: %v", from, to, err)
		}
		source.Stop(t)
		var phases []string
		var counts []upgrade.Progress
		result, err := pgUpgrade.Run(t.Context(), as, func(phase string, done, total int64) {
			if len(phases) == 0 || phases[len(phases)-1] != phase {
				phases, counts = append(phases, phase), append(counts, upgrade.Progress{})
			}
			counts[len(counts)-1] = upgrade.Progress{Step: phase, Done: done, Total: total}
		})
		if err != nil {
			t.Fatalf("upgrade %d to %d: %v", from, to, err)
		}
		want := []string{PhaseChecking, PhaseDumping, PhasePreparing, PhaseRestoring, PhaseTransfer, PhaseEnding, PhaseSyncing}
		if diff := cmp.Diff(want, phases); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		for _, count := range counts {
			t.Logf("%s: %d of %d", count.Step, count.Done, count.Total)
			counted := count.Step == PhaseDumping || count.Step == PhaseTransfer
			if counted && (count.Total == 0 || count.Done != count.Total) || count.Done > count.Total {
				t.Errorf("%s ended at %d of %d", count.Step, count.Done, count.Total)
			}
		}
		if len(result.Warnings) != 0 || len(result.Files) != 0 || result.Outdir == "" {
			t.Errorf("result: %+v", result)
		}
		target := PgCtl{Bindir: pgUpgrade.NewBindir, Pgdata: pgUpgrade.NewPgdata}
		options := Options("listen_addresses=", "unix_socket_directories="+pgUpgrade.Dir)
		if err := target.Start(t.Context(), as, filepath.Join(pgUpgrade.Dir, "log"), options, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := target.Stop(t.Context(), as, StopFast, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

// Objects restored are counted from the outside, so it takes a few to see it.
func TestUpgradeCountsObjects(t *testing.T) {
	pgtest.Slow(t)
	source := pgtest.Start(t, 15)
	source.Exec(t, "postgres", `do $$ begin for i in 1..1500 loop execute format('create view v%s as select 1 as a', i); end loop; end $$`)
	pgUpgrade, as := newTarget(t, source, 17)
	source.Stop(t)
	var seen, total int64
	if _, err := pgUpgrade.Run(t.Context(), as, func(phase string, done, n int64) {
		if phase == PhaseRestoring {
			seen, total = max(seen, done), n
		}
	}); err != nil {
		t.Fatal(err)
	}
	if total < 1500 || total > 1700 || seen == 0 || seen > total {
		t.Errorf("restored %d of %d objects", seen, total)
	}
}

func TestCheckTellsWhatStandsInTheWay(t *testing.T) {
	source := pgtest.Start(t, 15, pgtest.Config(map[string]string{"max_prepared_transactions": "5"}))
	source.CreateDatabase(t, "two words")
	source.Exec(t, "postgres", "create extension adminpack")
	pgUpgrade, as := newTarget(t, source, 17)

	for _, test := range []struct {
		name, database, violate, remedy string
		check, message                  string
		files                           map[string][]Line
	}{
		{
			name: "columns of a reg* type", database: "two words",
			violate: `create table bad (a regproc, b int); create table "Bad one" (c regoper)`,
			remedy:  `drop table bad, "Bad one"`,
			check:   "Checking data type usage",
			message: "Your installation contains one of the reg* data types in user tables.",
			files: map[string][]Line{"tables_using_reg.txt": {
				{Database: "two words", Object: "public.bad.a", Names: []string{"public", "bad", "a"}},
				{Database: "two words", Object: "public.Bad one.c", Names: []string{"public", "Bad one", "c"}},
			}},
		},
		{
			name: "a prepared transaction", database: "postgres",
			violate: "begin; create table p (); prepare transaction 'p'", remedy: "rollback prepared 'p'",
			check: "Checking for prepared transactions", message: "The source cluster contains prepared transactions",
		},
		{
			name: "a library that the target lacks", database: "postgres", remedy: "drop extension adminpack",
			check: "Checking for presence of required libraries", message: "loadable libraries that are missing",
			files: map[string][]Line{"loadable_libraries.txt": {
				{Database: "postgres", Object: "$libdir/adminpack", Note: `could not access file "$libdir/adminpack": No such file or directory`},
			}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.violate != "" {
				source.Exec(t, test.database, test.violate)
			}
			_, err := pgUpgrade.Check(t.Context(), as)
			source.Exec(t, test.database, test.remedy)
			failure, ok := errors.AsType[*Failure](err)
			if !ok {
				t.Fatalf("check: %v", err)
			}
			if failure.Check != test.check || !strings.Contains(failure.Message, test.message) {
				t.Errorf("failed at %q: %q", failure.Check, failure.Message)
			}
			if test.files == nil {
				test.files = map[string][]Line{}
			}
			if diff := cmp.Diff(test.files, failure.Files); diff != "" {
				t.Errorf("report files (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := pgUpgrade.Check(t.Context(), as); err != nil {
		t.Errorf("after every remedy: %v", err)
	}
}

// Debian keeps the configuration out of the data directory: the check of a running source goes without it.
func TestCheckOfASourceWithItsConfigurationElsewhere(t *testing.T) {
	pgtest.Slow(t)
	source := pgtest.Start(t, 15)
	pgUpgrade, as := newTarget(t, source, 17)
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		if err := os.Rename(filepath.Join(source.Pgdata, name), filepath.Join(pgUpgrade.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := source.Pid()
	if _, err := pgUpgrade.Check(t.Context(), as); err != nil {
		t.Error(err)
	}
	if source.Pid() != before {
		t.Error("the source was restarted")
	}
}

// A view of a column that is gone passes the check and fails in the upgrade: the error must say which.
func TestUpgradeFailureShowsTheLog(t *testing.T) {
	source := pgtest.Start(t, 15)
	source.Exec(t, "postgres", "create view bad as select buffers_backend from pg_stat_bgwriter")
	pgUpgrade, as := newTarget(t, source, 17)
	source.Stop(t)
	_, err := pgUpgrade.Run(t.Context(), as, func(string, int64, int64) {})
	failure, ok := errors.AsType[*Failure](err)
	if !ok {
		t.Fatalf("upgrade: %v", err)
	}
	const want = `ERROR:  column pg_stat_bgwriter.buffers_backend does not exist`
	if failure.Check != "Restoring database schemas in the new cluster" || !strings.Contains(failure.Log, want) || strings.Contains(failure.Message, "executing") {
		t.Errorf("failed at %q: %q: %q", failure.Check, failure.Message, failure.Log)
	}
}

// Cancelled half-way, pg_upgrade leaves no server behind, and the source can be started again.
func TestUpgradeCancelled(t *testing.T) {
	source := pgtest.Start(t, 15)
	pgUpgrade, as := newTarget(t, source, 17)
	source.Stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := false
	_, err := pgUpgrade.Run(ctx, as, func(phase string, _, _ int64) {
		if phase == PhaseDumping || phase == PhaseRestoring {
			_, served = RunningPostmaster(pgUpgrade.OldPgdata)
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !served {
		t.Errorf("cancelled while the old server ran (%t): %v", served, err)
	}
	for _, pgdata := range []string{pgUpgrade.OldPgdata, pgUpgrade.NewPgdata} {
		if lock, running := RunningPostmaster(pgdata); running {
			t.Errorf("a server of %s is left: %+v", pgdata, lock)
		}
	}
	source.Restart(t)
	if err := pgUpgrade.StopServers(t.Context(), as); err != nil || source.Pid() == 0 {
		t.Errorf("the source's own server was stopped: %v", err)
	}
}

func TestUpgradeThatCannotStartIsNoFailure(t *testing.T) {
	_, err := PgUpgrade{NewBindir: "/no/such/dir"}.Check(t.Context(), Caller{Runner: run.New(discard())})
	failed, ok := errors.AsType[*run.Error](err)
	if _, failure := errors.AsType[*Failure](err); failure || !ok || failed.ExitCode != -1 {
		t.Errorf("check without programs: %v", err)
	}
}

// pad makes a status line as pg_upgrade 17 does.
func pad(message, rest string) string {
	return message + strings.Repeat(" ", max(0, 62-len(message))) + rest + "\n"
}

func TestParseFailure(t *testing.T) {
	for name, test := range map[string]struct{ out, check, message string }{
		"a check says fatal": {
			"Performing Consistency Checks\n-----------------------------\n" + pad("Checking cluster versions", "ok") +
				pad("Checking for prepared transactions", "fatal") + "\nThe source cluster contains prepared transactions\nFailure, exiting\n",
			"Checking for prepared transactions", "The source cluster contains prepared transactions",
		},
		"data type usage names the check": {
			pad("Checking data type usage", "") + "failed check: Checking for reg* data types in user tables\n\n" +
				"Data type checks failed: \nYour installation contains ...\n\n    /d/tables_using_reg.txt\n\nFailure, exiting\n",
			"Checking for reg* data types in user tables", "Data type checks failed: Your installation contains ... /d/tables_using_reg.txt",
		},
		"verbose output stands in between": {
			pad("Restoring global objects in the new cluster", `"/b/psql" --echo-queries`) + "*failure*\n\nConsult the last few lines of \"/d/log/x.log\" for\nthe probable cause of the failure.\nFailure, exiting\n",
			"Restoring global objects in the new cluster", `Consult the last few lines of "/d/log/x.log" for the probable cause of the failure.`,
		},
		"a server that cannot be reached": {
			pad("Checking database connection settings", `connection to server on socket "/s" failed: FATAL:  role "x" does not exist`) + "\nFailure, exiting\n",
			"Checking database connection settings", `connection to server on socket "/s" failed: FATAL:  role "x" does not exist`,
		},
		"a setting of the new cluster": {
			pad("Checking new cluster replication slots", `"wal_level" must be "replica" or "logical" but is set to "minimal"`) + "\nFailure, exiting\n",
			"Checking new cluster replication slots", `"wal_level" must be "replica" or "logical" but is set to "minimal"`,
		},
		"before any check": {
			"Performing Consistency Checks\n-----------------------------\n\nThere seems to be a postmaster servicing the new cluster.\nPlease shutdown that postmaster and try again.\nFailure, exiting\n",
			"", "There seems to be a postmaster servicing the new cluster. Please shutdown that postmaster and try again.",
		},
		"between two checks": {
			pad("Checking cluster versions", "ok") + "\nold and new pg_controldata WAL segment sizes are invalid or do not match\nFailure, exiting\n",
			"Checking cluster versions", "old and new pg_controldata WAL segment sizes are invalid or do not match",
		},
		"nothing": {},
	} {
		check, message := parseFailure(test.out)
		if check != test.check || message != test.message {
			t.Errorf("%s: failed at %q: %q", name, check, message)
		}
	}
}

func FuzzParseFailure(f *testing.F) {
	f.Add(pad("Checking for prepared transactions", "fatal") + "\nThe source cluster contains prepared transactions\nFailure, exiting\n")
	f.Add(pad("Checking data type usage", "") + "failed check: x\n")
	f.Fuzz(func(t *testing.T, out string) {
		check, message := parseFailure(out)
		if strings.Contains(check, "\n") || strings.Contains(message, "\n") {
			t.Errorf("%q, %q", check, message)
		}
		_ = warnings(out)
		p := &progress{report: func(string, int64, int64) {}}
		for line := range strings.Lines(out) {
			p.line(strings.TrimRight(line, "\r\n "))
		}
	})
}

func TestReportFilesAreThoseOfThisRun(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "old.txt"), "app\n")
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "old.txt"), hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "new.txt"), "app\n")
	writeFile(t, filepath.Join(dir, "pg_upgrade_internal.log"), "app\n")
	files, err := ReportFiles(dir, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]Line{"new.txt": {{Object: "app"}}}, files); diff != "" {
		t.Error(diff)
	}
}

func TestUpgradeArgs(t *testing.T) {
	for transfer, want := range map[Transfer]bool{TransferLink: true, TransferSwap: true, TransferClone: true, TransferCopyFileRange: true, TransferCopy: false, "": false} {
		args := PgUpgrade{Transfer: transfer}.args()
		if got := slices.Contains(args, "--"+string(transfer)); got != want {
			t.Errorf("%q is an option: %t", transfer, got)
		}
		if !slices.Contains(args, "--retain") || !slices.Contains(args, "--jobs=1") {
			t.Errorf("args: %v", args)
		}
	}
}
