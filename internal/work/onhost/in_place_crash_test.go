package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// dieInPlaceSetup is the variable with which this program starts itself to die in an outage.
const dieInPlaceSetup = "PGLEAP_TEST_IN_PLACE"

// inPlaceDeath is where a process dies, and what dies with it.
type inPlaceDeath struct {
	Plan  upgrade.Plan
	Dir   string // the agent's
	Guard bool
	// Transfer is by links unless it says otherwise.
	Transfer upgrade.Transfer
	// At begins the text that the progress shows then.
	At string
	// PgUpgrade and Agent tell who dies.
	PgUpgrade, Agent bool
}

func (d inPlaceDeath) String() string {
	var who []string
	if d.PgUpgrade {
		who = append(who, "pg_upgrade")
	}
	if d.Agent {
		who = append(who, "agent")
	}
	text := strings.Join(who, " and ") + " at " + d.At
	if d.Transfer != "" {
		text += " by " + string(d.Transfer)
	}
	return text
}

// inPlaceWorker is the agent of a process that stands for one.
func inPlaceWorker(dir string, guard GuardCommand) *Worker {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	runner := run.New(log)
	return New(postmaster.New("h1", runner, nil, log), runner, dir, guard, log, time.Now)
}

// TestDiesInPlace is not a test of its own: it is the process that upgrades in place, and dies.
func TestDiesInPlace(t *testing.T) {
	text := os.Getenv(dieInPlaceSetup)
	if text == "" {
		t.Skip("it is started by other tests")
	}
	var d inPlaceDeath
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var guard GuardCommand
	if d.Guard {
		guard = GuardCommand{Path: os.Args[0], Args: []string{"-test.run=^TestGuardsInPlace$"}}
	}
	worker := workerIn(d.Dir, filepath.Dir(d.Plan.Target.Bindir), guard, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	died := false
	watch := &progress{beat: func(now upgrade.Progress) {
		if died || !strings.HasPrefix(now.Text, d.At) {
			return
		}
		died = true
		if d.PgUpgrade {
			killPgUpgrade(worker, d.Plan)
		}
		if d.Agent {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	ctx := context.WithValue(context.Background(), progressKey{}, watch)
	result, err := worker.UpgradeInPlace(ctx, step.InPlaceArgs{Plan: d.Plan})
	fmt.Printf("ended: %+v, %v\n", result.Switchover, err)
}

// killPgUpgrade kills it with its servers left to themselves.
func killPgUpgrade(worker *Worker, plan upgrade.Plan) {
	files, err := worker.files(plan)
	if err != nil {
		panic(err)
	}
	var pid int
	if _, err := fmt.Sscan(read(files.pidfile("pg_upgrade")), &pid); err == nil && pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// TestGuardsInPlace is the guard of a process that upgrades in place.
func TestGuardsInPlace(t *testing.T) {
	path := flag.Arg(0)
	if path == "" {
		t.Skip("it is started by other tests")
	}
	worker := inPlaceWorker(filepath.Dir(filepath.Dir(path)), GuardCommand{})
	if !worker.IsOutage(path) {
		t.Fatalf("%s is not known as the journal of an upgrade in place", path)
	}
	if err := worker.GuardInPlace(t.Context(), path, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

// dieInPlace carries out the outage in a process of its own, which dies.
func (b *upgradeBed) dieInPlace(d inPlaceDeath) {
	b.Helper()
	d.Plan, d.Dir = b.plan, b.worker.dir
	text, err := json.Marshal(d)
	b.must(err)
	program, err := os.Executable()
	b.must(err)
	out, err := b.worker.runner.Run(b.Context(), run.Command{
		Path: program, Args: []string{"-test.run=^TestDiesInPlace$"}, Env: []string{dieInPlaceSetup + "=" + string(text)},
	})
	if d.Agent != (err != nil && strings.Contains(err.Error(), "killed")) {
		b.Fatalf("the process did not die as meant: %v\n%s%s", err, out.Stdout, out.Stderr)
	}
	b.Logf("%s%s", out.Stdout, out.Stderr)
}

// stage is what the journal tells.
func (b *upgradeBed) stage() outageStage {
	b.Helper()
	path, err := b.worker.outagePath(b.plan)
	b.must(err)
	state, err := readOutage(path)
	b.must(err)
	return state.Stage
}

// serveAgainWithin is how soon the source serves again when the agent is back.
const serveAgainWithin = 10 * time.Second

// recovers has an agent that is back end the outage within that time.
func (b *upgradeBed) recovers() {
	b.Helper()
	began := time.Now()
	b.must(b.worker.RecoverInPlace(b.Context()))
	took := time.Since(began)
	b.Logf("the instance served again %s after the agent was back", took.Round(time.Millisecond))
	if took > serveAgainWithin {
		b.Errorf("it served again %s after the agent was back, want at most %s", took, serveAgainWithin)
	}
}

// isPutBack looks whether the source serves as before an outage that has ended.
func (b *upgradeBed) isPutBack(before beforeOutage, bouncer *pgtest.Bouncer) {
	b.Helper()
	if b.stage() != outageUndone {
		b.Errorf("the journal says %q", b.stage())
	}
	if version := b.through(bouncer, `SHOW server_version_num`); !strings.HasPrefix(version, fmt.Sprint(b.plan.Source.Version.Major())) {
		b.Errorf("clients are on %s", version)
	}
	b.isAsBefore(before)
}

// TestInPlaceCrash kills the agent, pg_upgrade, or both, at every stage of the outage. Before the target
// has begun to write, the source is put back, exactly as it was, without anybody asking; afterwards the
// target serves.
func TestInPlaceCrash(t *testing.T) {
	pgtest.Exhaustive(t)
	deaths := []inPlaceDeath{
		{At: "pause", Agent: true},
		{At: "stop", Agent: true},
		{At: "pg_upgrade", Agent: true},
		{At: "sync", Agent: true},
		{At: "configure", Agent: true},
		{At: "start", Agent: true},
		{At: "resume", Agent: true},
	}
	for _, phase := range []string{pgbin.PhaseChecking, pgbin.PhaseDumping, pgbin.PhasePreparing, pgbin.PhaseRestoring, pgbin.PhaseTransfer, pgbin.PhaseEnding} {
		at := "pg_upgrade: " + phase
		deaths = append(deaths,
			inPlaceDeath{At: at, Agent: true},
			inPlaceDeath{At: at, PgUpgrade: true},
			inPlaceDeath{At: at, PgUpgrade: true, Agent: true})
	}
	deaths = append(deaths, inPlaceDeath{At: "pg_upgrade: " + pgbin.PhaseTransfer, PgUpgrade: true, Agent: true, Transfer: upgrade.TransferCopy})
	for _, d := range deaths {
		t.Run(d.String(), func(t *testing.T) {
			if d.Transfer == "" {
				d.Transfer = upgrade.TransferLink
			}
			b := newInPlaceBed(t, d.Transfer)
			bouncer := b.adoptBouncer()
			before := b.prepared()
			b.dieInPlace(d)
			found := b.stage()
			t.Logf("found: %s", found)
			if d.Agent && found.ended() {
				t.Fatalf("the agent died at %q, and the journal says %q", d.At, found)
			}
			b.recovers()
			settled, err := b.worker.UpgradeInPlace(t.Context(), step.InPlaceArgs{Plan: b.plan, SettleOnly: true})
			b.must(err)
			if d.At == "resume" {
				b.servesInPlace(settled, before, bouncer)
				return
			}
			if settled.Switchover.Switched || settled.Switchover.Reason == "" {
				t.Errorf("outcome: %+v", settled.Switchover)
			}
			b.isPutBack(before, bouncer)
		})
	}
}

// TestInPlaceCrashAfterFailure kills the agent while it puts the source back after what no check could see: a
// disk that has filled up since, a library that is gone from the target. Its successor ends that.
func TestInPlaceCrashAfterFailure(t *testing.T) {
	pgtest.Exhaustive(t)
	for _, failure := range []struct {
		name     string
		transfer upgrade.Transfer
		// before is done while the source serves, and returns what makes the upgrade fail.
		before func(*upgradeBed) (fail func())
	}{
		{"full disk", upgrade.TransferCopy, func(b *upgradeBed) func() {
			small := b.targetOnSmallDisk()
			return func() { b.fill(small, 10<<20) }
		}},
		{"missing library", upgrade.TransferLink, (*upgradeBed).withLibrary},
	} {
		t.Run(failure.name, func(t *testing.T) {
			b := newInPlaceBed(t, failure.transfer)
			fail := failure.before(b)
			bouncer := b.adoptBouncer()
			before := b.prepared()
			fail()
			b.dieInPlace(inPlaceDeath{At: "putting the source back", Agent: true})
			b.recovers()
			b.isPutBack(before, bouncer)
		})
	}
}

// withLibrary lets the source use a library that both versions can load, and returns what takes it away.
func (b *upgradeBed) withLibrary() (remove func()) {
	b.Helper()
	dir := filepath.Join(filepath.Dir(b.plan.Source.Pgdata), "libraries")
	b.must(os.Mkdir(dir, 0o755))
	library := filepath.Join(dir, "own.so")
	use := func(bindir string) {
		out, err := b.worker.runner.Run(b.Context(), run.Command{Path: filepath.Join(bindir, "pg_config"), Args: []string{"--pkglibdir"}})
		b.must(err)
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(out.Stdout), "hstore.so"))
		b.must(err)
		b.must(errors.Join(os.RemoveAll(library), os.WriteFile(library, text, 0o644)))
	}
	use(b.plan.Source.Bindir)
	b.source.Exec(b, "shop", `CREATE FUNCTION own(text) RETURNS int LANGUAGE c AS '`+library+`', 'hstore_in'`)
	use(b.plan.Target.Bindir)
	return func() { b.must(os.Remove(library)) }
}

// An agent that dies before or while files are swapped leaves a pg_upgrade that goes on: its successor waits
// for it, and lets the target serve. It knows of it even if the agent had no time to note its pid.
func TestInPlaceSwapOutlivesTheAgent(t *testing.T) {
	for _, phase := range []string{pgbin.PhaseDumping, pgbin.PhaseTransfer} {
		t.Run(phase, func(t *testing.T) {
			b := swapBed(t)
			b.plan.Options.Accepted = []string{upgrade.AcceptSwap}
			bouncer := b.adoptBouncer()
			before := b.prepared()
			b.dieInPlace(inPlaceDeath{At: "pg_upgrade: " + phase, Agent: true})
			if phase == pgbin.PhaseDumping {
				files, err := b.worker.files(b.plan)
				b.must(err)
				b.must(os.Remove(files.pidfile("pg_upgrade")))
				if _, err := os.Stat(controlFile(b.plan.Source.Pgdata) + ".old"); err == nil {
					t.Log("it has begun to move files already")
				}
			}
			b.must(b.worker.RecoverInPlace(t.Context()))
			settled, err := b.worker.UpgradeInPlace(t.Context(), step.InPlaceArgs{Plan: b.plan, SettleOnly: true})
			b.must(err)
			b.servesInPlace(settled, before, bouncer)
		})
	}
}

// A pg_upgrade that is killed while it swaps leaves nothing that can be started. That is said, and nothing is
// removed.
func TestInPlaceSwapIsLost(t *testing.T) {
	b := swapBed(t)
	b.plan.Options.Accepted = []string{upgrade.AcceptSwap}
	b.prepared()
	b.dieInPlace(inPlaceDeath{At: "pg_upgrade: " + pgbin.PhaseTransfer, Agent: true, PgUpgrade: true})
	b.must(b.worker.RecoverInPlace(t.Context()))
	settled, err := b.worker.UpgradeInPlace(t.Context(), step.InPlaceArgs{Plan: b.plan, SettleOnly: true})
	b.must(err)
	if settled.Switchover.Switched || !strings.Contains(settled.Switchover.Reason, "restore the instance from a backup") || b.stage() != outageLost {
		t.Errorf("outcome at %q: %+v", b.stage(), settled.Switchover)
	}
	b.step("DiscardInPlace", b.worker.DiscardInPlace)
	for _, pgdata := range []string{b.plan.Source.Pgdata, b.plan.Target.Pgdata} {
		if _, err := os.Stat(filepath.Join(pgdata, "PG_VERSION")); err != nil {
			t.Error(err)
		}
	}
}

// servesInPlace looks whether the target serves with all that the source had.
func (b *upgradeBed) servesInPlace(settled step.InPlaceResult, before beforeOutage, bouncer *pgtest.Bouncer) {
	b.Helper()
	if !settled.Switchover.Switched {
		b.Fatalf("outcome: %+v", settled.Switchover)
	}
	if diff := cmp.Diff(before.content, b.content(b.plan.Target)); diff != "" {
		b.Errorf("content (-source +target):\n%s", diff)
	}
	if version := b.through(bouncer, `SHOW server_version_num`); !strings.HasPrefix(version, fmt.Sprint(b.plan.Target.Version.Major())) {
		b.Errorf("clients are on %s", version)
	}
	b.sourceCannotStart()
}

// The guard puts the source back while nobody starts the agent again.
func TestInPlaceGuard(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferLink)
	bouncer := b.adoptBouncer()
	before := b.prepared()
	b.dieInPlace(inPlaceDeath{At: "pg_upgrade: " + pgbin.PhaseTransfer, Agent: true, Guard: true})
	b.until("the guard has put the source back", func() bool { return b.stage() == outageUndone })
	if version := b.through(bouncer, `SHOW server_version_num`); !strings.HasPrefix(version, fmt.Sprint(b.plan.Source.Version.Major())) {
		t.Errorf("clients are on %s", version)
	}
	b.must(b.worker.RecoverInPlace(t.Context()))
	b.isAsBefore(before)
}

// A torn line never counted, and lines after it go on from the last whole one.
func TestOutageJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "7-u.journal")
	now := func() time.Time { return time.Unix(1, 0).UTC() }
	journal, err := openOutage(t.Context(), path, now)
	if err != nil {
		t.Fatal(err)
	}
	intent := outageIntent{Plan: upgrade.Plan{Number: 7}, Sockets: "/tmp/x"}
	for _, rec := range []outageRecord{
		{Stage: outagePausing, Intent: &intent}, {Stage: outageStopping}, {Stage: outageStarting, Checkpoint: "0/1"},
	} {
		if err := journal.write(rec); err != nil {
			t.Fatal(err)
		}
	}
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := openOutage(waiting, path, now); err == nil {
		t.Error("a journal was opened twice")
	}
	journal.close()
	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"stage":"do`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	journal, err = openOutage(t.Context(), path, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.write(outageRecord{Stage: outageUndoing, Reason: "it failed"}); err != nil {
		t.Fatal(err)
	}
	journal.close()
	got, err := readOutage(path)
	if err != nil {
		t.Fatal(err)
	}
	want := outageState{Stage: outageUndoing, Intent: intent, Checkpoint: "0/1", Reason: "it failed", BegunAt: now()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if missing, err := readOutage(path + "x"); err != nil || missing.Stage != outageNone {
		t.Errorf("a journal that is not there: %+v, %v", missing, err)
	}
}

func FuzzParseOutage(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-01T00:00:00Z","stage":"pausing","intent":{"sockets":"/tmp/x"}}` + "\n"))
	f.Add([]byte(`{"stage":"starting","checkpoint":"0/1"}` + "\n" + `{"stage":"do`))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, end, err := parseOutage(content)
		if end > len(content) || err == nil && strings.Contains(string(content[end:]), "\n") {
			t.Errorf("it ends at %d of %q", end, content)
		}
	})
}
