package onhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// precheckBed is a worker, a running source, and a plan for a target beside it.
func precheckBed(t *testing.T, options ...pgtest.Option) (*Worker, *pgtest.Cluster, step.PrecheckArgs) {
	t.Helper()
	versions := pgtest.Versions(t)
	major := versions[len(versions)-1]
	bindir := pgtest.Bindir(t, major)
	options = append([]pgtest.Option{pgtest.Config(map[string]string{"max_prepared_transactions": "2"})}, options...)
	source := pgtest.Start(t, versions[0], options...)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, []string{filepath.Dir(bindir)}, log)
	w := New(host, runner, t.TempDir(), GuardCommand{}, log, time.Now)
	cluster, err := host.Inspect(t.Context(), step.InspectArgs{Pgdata: source.Pgdata})
	if err != nil {
		t.Fatal(err)
	}
	target, err := host.ChooseTarget(t.Context(), step.ChooseTargetArgs{
		Source: cluster, Major: upgrade.Major(major), Pgdata: filepath.Join(filepath.Dir(source.Pgdata), "target"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, source, step.PrecheckArgs{Number: 7, ID: "00000000-0000-0000-0000-000000000007", Plan: upgrade.Plan{
		Instance: "shop", Mode: upgrade.ZeroDowntime, Source: cluster, Target: target,
		Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer}, Options: upgrade.Options{}.WithDefaults(),
	}}
}

func find(report upgrade.Report, check string) upgrade.Finding {
	i := slices.IndexFunc(report.Findings, func(f upgrade.Finding) bool { return f.Check == check })
	if i < 0 {
		return upgrade.Finding{}
	}
	return report.Findings[i]
}

func TestPrecheck(t *testing.T) {
	w, source, args := precheckBed(t)
	beside := filepath.Dir(source.Pgdata)
	before := list(t, beside)
	// An attempt that was killed in its schema rehearsal has left its scratch clusters, running.
	plan := args.Plan
	plan.Number = args.Number
	args.Plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	left, err := w.makeScratch(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(left.sockets)
	if _, err := left.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rehearsal := &schemaRehearsal{scratch: left, place: left.rehearsalDir()}
	rehearsal.databases = []rehearsedDatabase{{gone: true}}
	as, err := rehearsal.caller()
	if err != nil {
		t.Fatal(err)
	}
	if err := rehearsal.makeCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := rehearsal.startCopy(t.Context(), as); err != nil {
		t.Fatal(err)
	}

	report, err := w.Precheck(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Errorf("not passed: %+v\nnot checked: %v", report.Findings, report.NotChecked)
	}
	fingerprint, err := w.Fingerprint(t.Context(), args.Plan)
	if err != nil || report.Fingerprint != fingerprint.Sum {
		t.Errorf("fingerprint: got %s in the report, then %s, %v", report.Fingerprint, fingerprint.Sum, err)
	}
	source.Exec(t, "postgres", `CREATE ROLE clerk`)
	if fingerprint, err = w.Fingerprint(t.Context(), args.Plan); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"role clerk was created"}, upgrade.Changes(report.Seen(), fingerprint)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, list(t, beside)); diff != "" {
		t.Errorf("files beside the source (-before +after):\n%s", diff)
	}
	for _, pgdata := range []string{left.pgdata(), rehearsal.copyData()} {
		if _, running := w.host.Running(upgrade.Cluster{Pgdata: pgdata}); running {
			t.Errorf("the scratch cluster in %s still runs", pgdata)
		}
	}
	if _, err := os.Stat(left.sockets); err == nil {
		t.Error("the directory of its sockets is still there")
	}
	if off := find(report, "not-rehearsed"); off.Total != 1 || !strings.Contains(off.Objects[0], "--no-schema-rehearsal") {
		t.Errorf("that there was no rehearsal: got %+v", off)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "upgrades", taskName(plan), "transcripts", "pg_upgrade_check.log")); err != nil {
		t.Errorf("the output of pg_upgrade --check is not kept: %v", err)
	}
}

func TestPrecheckTellsWhatPgUpgradeSays(t *testing.T) {
	pgtest.Slow(t)
	w, source, args := precheckBed(t)
	args.Plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	source.CreateDatabase(t, "shop")
	source.Exec(t, "shop", `CREATE TABLE t (id int PRIMARY KEY, p regproc)`)
	report, err := w.Precheck(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	columns := find(report, "reg-types")
	if columns.Severity != upgrade.Blocker || columns.Total != 1 || columns.Objects[0] != "shop.public.t.p (regproc)" {
		t.Errorf("got %+v", columns)
	}
	if said := find(report, "pg-upgrade"); said.Severity != upgrade.Info {
		t.Errorf("told twice: %+v", said)
	}

	source.Exec(t, "shop", `BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'open'`)
	if report, err = w.Precheck(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	if prepared := find(report, "prepared-transactions"); prepared.Total != 1 {
		t.Errorf("prepared transactions: got %+v", prepared)
	}
	if said := find(report, "pg-upgrade"); said.Severity == upgrade.Blocker && strings.Contains(said.Objects[0], "prepared") {
		t.Errorf("told twice: %+v", said)
	}
	if len(report.NotChecked) > 0 {
		t.Errorf("not checked: %v", report.NotChecked)
	}
}

func TestPrecheckWithoutTargetPrograms(t *testing.T) {
	w, source, args := precheckBed(t)
	args.Plan.Target.Port = source.Port
	// A program that ends at once: neither initdb nor anything else of the target works.
	broken := t.TempDir()
	for _, program := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\n[ \"$1\" = --version ] && echo 'postgres (PostgreSQL) " + args.Plan.Target.Version.String() + "' || exit 1\n"
		if err := os.WriteFile(filepath.Join(broken, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	openToOwner(t, broken)
	args.Plan.Target.Bindir = broken
	report, err := w.Precheck(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed() || len(report.NotChecked) < 5 {
		t.Errorf("passed: %t, not checked: %v", report.Passed(), report.NotChecked)
	}
	if place := find(report, "target-place"); place.Total != 1 || !strings.Contains(place.Objects[0], "is taken") {
		t.Errorf("the source's own port: got %+v", place)
	}
}

func TestWhatPgUpgradeSaid(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		unknown bool
		steps   []string
	}{
		{"a refusal", &pgbin.Failure{Check: "Checking for prepared transactions", Message: "The source cluster contains prepared transactions"}, false, []string{"Checking for prepared transactions"}},
		{"several files", &pgbin.Failure{Check: "Checking data type usage", Message: "x", Files: map[string][]pgbin.Line{
			"tables_using_reg.txt": {{Database: "a", Object: "b.c"}}, "tables_using_aclitem.txt": {{Object: "d"}},
		}}, false, []string{"tables using aclitem", "tables using reg"}},
		{"no login", &pgbin.Failure{Check: "Checking cluster versions", Message: "connection to server on socket failed"}, false, []string{"Checking cluster versions"}},
		{"before the first step", &pgbin.Failure{Message: "When checking a live server, the old and new port numbers must be different."}, false, []string{""}},
		{"no word", &pgbin.Failure{}, true, nil},
		{"not started", &run.Error{Program: "pg_upgrade", ExitCode: -1, Err: os.ErrNotExist}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			said, err := whatPgUpgradeSaid(pgbin.UpgradeResult{}, c.err)
			if (err != nil) != c.unknown {
				t.Fatalf("got error %v", err)
			}
			var steps []string
			for _, f := range said.Failures {
				steps = append(steps, f.Step)
			}
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// list names what is in a directory, but for sockets and logs.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// openToOwner lets every user reach a test's directory.
func openToOwner(t *testing.T, dir string) {
	t.Helper()
	for ; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever cancels a precheck while its scratch cluster runs finds nothing of it.
func TestPrecheckCancelled(t *testing.T) {
	w, source, args := precheckBed(t)
	beside := filepath.Dir(source.Pgdata)
	before := list(t, beside)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := make(chan bool, 1)
	go func() {
		defer cancel()
		scratch := upgrade.Cluster{Pgdata: filepath.Join(beside, fmt.Sprintf(".precheck-%d.pgleap", args.Number), "data")}
		found := false
		for deadline := time.Now().Add(2 * time.Minute); !found && time.Now().Before(deadline) && ctx.Err() == nil; {
			_, found = w.host.Running(scratch)
		}
		running <- found
	}()
	_, err := w.Precheck(ctx, args)
	if !<-running {
		t.Fatalf("the scratch cluster was never seen to run; the precheck ended with %v", err)
	}
	if err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(before, list(t, beside)); diff != "" {
		t.Errorf("files beside the source (-before +after):\n%s", diff)
	}
	conn := source.Connect(t, "postgres")
	sessions := -1
	for deadline := time.Now().Add(30 * time.Second); sessions != 0 && time.Now().Before(deadline); { // a backend takes a moment to go
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pgleap', 'pg_upgrade')`).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
	}
	if sessions != 0 {
		t.Errorf("%d sessions are left", sessions)
	}
}
