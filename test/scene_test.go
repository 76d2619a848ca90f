package test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// patience is how long a step of a test may take on a slow machine.
const patience = 3 * time.Minute

// id is the instance of a scene.
const id = "orders"

// scene is a source under load with a pgleap that looks after it.
type scene struct {
	t        *testing.T
	ctx      context.Context
	place    *harness.Workplace
	from, to int
	source   *harness.Cluster
	server   *harness.Server
	instance upgrade.Instance
	record   *harness.Record
	load     *harness.Load
}

// versions are the oldest and the newest version under test.
func versions(t *testing.T) (from, to int) {
	all := pgtest.Versions(t)
	return all[0], all[len(all)-1]
}

// newScene sets a scene that is gone when its test ends. The endpoint is a PgBouncer of pgleap's own
// unless further arguments of "instance add" say otherwise.
func newScene(t *testing.T, from, to int, endpoint ...func(*scene) []string) *scene {
	t.Helper()
	pgtest.Bindir(t, from) // skips the test, by name and with the reason, if it is not there
	pgtest.Bindir(t, to)
	s := &scene{t: t, from: from, to: to}
	s.ctx = deadline(t)
	var err error
	if s.place, err = harness.NewWorkplace("pgleap-e2e-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.strike)
	s.source, err = s.place.NewCluster(s.ctx, from, map[string]string{"fsync": "off"})
	s.must(err)
	s.must(s.source.Fill(s.ctx, 1))
	s.server, err = s.place.StartServer(s.ctx, pgleap)
	s.must(err)
	add := []string{"instance", "add", id, "--pgdata", s.source.Pgdata}
	for _, arguments := range endpoint {
		add = append(add, arguments(s)...)
	}
	s.must(s.server.JSON(s.ctx, &s.instance, add...))
	s.record, err = harness.NewRecord(filepath.Join(s.place.Dir, "acknowledged.log"))
	s.must(err)
	return s
}

// deadline is the test's context, ended early enough to clean up.
func deadline(t *testing.T) context.Context {
	end, limited := t.Deadline()
	if !limited {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-time.Minute))
	t.Cleanup(cancel)
	return ctx
}

// strike ends everything, and shows the logs if the test failed.
func (s *scene) strike() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if s.load != nil {
		s.load.Stop()
	}
	if s.server != nil {
		if err := s.server.Stop(ctx); err != nil {
			s.t.Error(err)
		}
	}
	if s.t.Failed() {
		s.showLogs()
	}
	if err := s.place.Clear(ctx); err != nil {
		s.t.Error(err)
	}
}

func (s *scene) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(s.place.Logs(), "*.log"))
	more, _ := filepath.Glob(filepath.Join(s.place.Dir, "*/*/*.pgleap/transcripts/*"))
	for _, log := range append(logs, more...) {
		content, err := os.ReadFile(log)
		if err != nil {
			continue
		}
		kept := filepath.Join(s.t.ArtifactDir(), filepath.Base(log))
		if err := os.WriteFile(kept, content, 0o644); err != nil {
			s.t.Log(err)
		}
		s.t.Logf("the end of %s:\n%s", log, harness.Tail(string(content), 25))
	}
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// within lets a subtest fail by itself. It ends the whole test if the subtest fails: what follows
// builds on it.
func (s *scene) within(name string, do func()) {
	s.t.Helper()
	outer := s.t
	ok := outer.Run(name, func(t *testing.T) {
		s.t = t
		defer func() { s.t = outer }()
		do()
	})
	if !ok {
		outer.FailNow()
	}
}

// write starts the clients, through PgBouncer.
func (s *scene) write() {
	s.t.Helper()
	s.load = harness.StartLoad(s.ctx, harness.LoadConfig{
		Port: s.instance.Endpoint.Listen.Port, Rate: 20, Scale: 1, Record: s.record,
		Clients: map[harness.Kind]int{harness.TPCB: 3, harness.Entry: 4, harness.Order: 3},
	})
	s.goesOn(20 * time.Second)
}

// goesOn makes sure that clients get answers, and have had no errors.
func (s *scene) goesOn(limit time.Duration) {
	s.t.Helper()
	err := s.load.AwaitProgress(s.ctx, 100, limit)
	if failed := s.load.Failed(); err != nil || failed > 0 {
		s.t.Fatalf("clients do not go on: %d failures, %v: %s", failed, err, strings.Join(s.load.Stop().Errors, "\n"))
	}
}

// upgrade starts the upgrade and returns its number. The schema is not rehearsed: that takes as long as all else.
func (s *scene) upgrade(args ...string) int64 {
	s.t.Helper()
	return s.upgradeRehearsed(append(args, "--no-schema-rehearsal")...)
}

// upgradeRehearsed starts the upgrade as users do.
func (s *scene) upgradeRehearsed(args ...string) int64 {
	s.t.Helper()
	var task upgrade.Task
	args = append([]string{"upgrade", id, "--to", strconv.Itoa(s.to), "--detach"}, args...)
	s.must(s.server.JSON(s.ctx, &task, args...))
	return task.Number
}

// synchronized waits until a switchover can be expected to succeed.
func (s *scene) synchronized(number int64) upgrade.Task {
	s.t.Helper()
	task, err := s.server.AwaitSynchronized(s.ctx, number, patience)
	s.must(err)
	return task
}

// reach waits for a phase.
func (s *scene) reach(number int64, phases ...upgrade.Phase) upgrade.Task {
	s.t.Helper()
	task, err := s.server.AwaitPhase(s.ctx, number, patience, phases...)
	s.must(err)
	return task
}

// switchOver says `switchover switch`, which waits for the outcome, and wants an exit code. It returns
// all that was said.
func (s *scene) switchOver(code int) string {
	s.t.Helper()
	result := s.server.CLI(s.ctx, "switchover", id, "switch")
	if result.Code != code {
		s.t.Fatalf("pgleap switchover %s switch: exit code %d, want %d\n%s\n%s", id, result.Code, code, result.Stdout, result.Stderr)
	}
	return result.Stdout + result.Stderr
}

// serves waits until clients are on the target, both sides were compared, and the source follows.
func (s *scene) serves(number int64) upgrade.Task {
	s.t.Helper()
	task, err := s.server.AwaitTask(s.ctx, number, patience, "the source to follow", func(t upgrade.Task) bool {
		return t.Status.Ended() || t.Phase == upgrade.PhaseFollowing && t.OnTarget() && t.Verification != nil
	})
	s.must(err)
	return task
}

// succeeds finishes the upgrade, lets clients write on, and proves that nothing is lost.
func (s *scene) succeeds(number int64) upgrade.Task {
	s.t.Helper()
	if task := s.serves(number); !task.Status.Ended() {
		if result := s.server.CLI(s.ctx, "finish", id, "--yes"); result.Code != 0 {
			s.t.Fatalf("pgleap finish %s: exit code %d: %s", id, result.Code, result.Stderr)
		}
	}
	task := s.hasSucceeded(number)
	target := s.target()
	verdict := s.prove(target)
	s.must(harness.VerifyService(s.ctx, verdict, s.instance.Endpoint.Listen.Port, s.source, target, s.to))
	s.accept(verdict)
	s.nothingOfOurs(target)
	return task
}

// hasSucceeded waits for the end of the upgrade, and lets clients write on.
func (s *scene) hasSucceeded(number int64) upgrade.Task {
	s.t.Helper()
	task, err := s.server.AwaitEnd(s.ctx, number, patience)
	s.must(err)
	if task.Status != upgrade.StatusSucceeded || task.Switchover == nil || !task.Switchover.Switched {
		s.t.Fatalf("the upgrade is %s (%s)", task.Status, task.Reason)
	}
	s.goesOn(20 * time.Second)
	summary := s.load.Stop()
	pause := summary.PauseBetween(task.Switchover.StartedAt, task.Switchover.EndedAt)
	s.t.Logf("%d transactions, pause %s as the clients saw it, %s from PAUSE to RESUME: %v",
		len(summary.Samples), pause.Seen().Round(time.Millisecond/10), task.Switchover.Pause.Round(time.Millisecond/10), task.Switchover.Steps)
	for _, span := range task.Phases {
		if span.EndedAt != nil {
			s.t.Logf("%-16s %s", span.Phase, span.EndedAt.Sub(span.StartedAt).Round(100*time.Millisecond))
		}
	}
	return task
}

// target is the instance's cluster as it is now.
func (s *scene) target() *harness.Cluster {
	s.t.Helper()
	s.must(s.server.JSON(s.ctx, &s.instance, "instance", "show", id))
	c := s.instance.Cluster
	if got := int(c.Version.Major()); got != s.to {
		s.t.Fatalf("instance %s is at version %s, want %d", id, c.Version, s.to)
	}
	return s.source.Upgraded(c.Bindir, c.Pgdata, c.Port)
}

func (s *scene) prove(c *harness.Cluster) *harness.Verdict {
	s.t.Helper()
	verdict, err := harness.Verify(s.ctx, c, s.record)
	s.must(err)
	return verdict
}

func (s *scene) accept(v *harness.Verdict) {
	s.t.Helper()
	if !v.Good() {
		s.t.Errorf("lost %d, duplicated %d, unexpected %d of %d:\n%s",
			v.Lost, v.Duplicated, v.Unexpected, v.Acknowledged, strings.Join(v.Problems, "\n"))
	}
}

// nothingOfOurs makes sure that what replication needed is gone from the target.
func (s *scene) nothingOfOurs(c *harness.Cluster) {
	s.t.Helper()
	lines, err := c.State(s.ctx)
	s.must(err)
	for _, line := range lines {
		if strings.Contains(line, "pgleap_") || strings.Contains(line, "role pgleap") || strings.Contains(line, "schema pgleap") ||
			strings.HasPrefix(line, "pg_hba.conf") && strings.Contains(line, "pgleap") {
			s.t.Errorf("left behind on the target: %s", line)
		}
	}
}

// hold opens a transaction through PgBouncer that books an entry, and returns what commits it.
func (s *scene) hold(ref string) (release func()) {
	s.t.Helper()
	conn, err := harness.ConnectPooled(s.ctx, s.instance.Endpoint.Listen.Port, harness.BankRole, harness.Bank, "holder")
	s.must(err)
	tx, err := conn.Begin(s.ctx)
	s.must(err)
	s.must(harness.BookEntry(s.ctx, tx, ref))
	return func() {
		s.t.Helper()
		defer conn.Close(s.ctx)
		s.must(tx.Commit(s.ctx))
		s.must(s.record.Note(harness.Entry, ref, harness.Acknowledged))
	}
}

// pausing does something and waits until PgBouncer has been told to hold the clients, by what it logs: a try that a
// transaction holds up gives way before the task could tell.
func (s *scene) pausing(do func()) {
	s.t.Helper()
	before := s.pauses()
	do()
	for begun := time.Now(); s.pauses() == before; <-time.After(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			s.t.Fatal("PgBouncer was not told to pause")
		}
	}
}

// pauses counts how often the instance's PgBouncer has been told to pause.
func (s *scene) pauses() int {
	s.t.Helper()
	log, err := os.ReadFile(filepath.Join(s.server.StateDir, "pgbouncer", id, "pgbouncer.log"))
	s.must(err)
	return bytes.Count(log, []byte("LOG PAUSE command issued"))
}

// refused is what a command says that is refused: exit code 2, and one sentence with what to do.
func (s *scene) refused(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second) // what is accepted by mistake may take its time
	defer cancel()
	result := s.server.CLI(ctx, append([]string{"--output", "json"}, args...)...)
	var said struct{ Error, Remedy string }
	if err := json.Unmarshal([]byte(result.Stderr), &said); err != nil {
		s.t.Fatalf("pgleap %s: exit code %d, standard error is no JSON (%v): %s", strings.Join(args, " "), result.Code, err, result.Stderr)
	}
	if result.Code != 2 || said.Error == "" || strings.Contains(said.Error+said.Remedy, "\n") {
		s.t.Errorf("pgleap %s: exit code %d, error %q, remedy %q; want 2 and one sentence",
			strings.Join(args, " "), result.Code, said.Error, said.Remedy)
	}
	return said.Error + "; " + said.Remedy
}
