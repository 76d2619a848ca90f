package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// childPlan is the variable with which this program starts itself to die in a switch.
const childPlan = "PGLEAP_TEST_SWITCH_TO_CLONE"

// death is where an agent dies: when the progress of the switch says so.
type death struct {
	Dir     string // the agent's
	Plan    upgrade.Plan
	Attempt int
	Moment  string
	Guarded bool
}

func workerIn(dir, prefix string, guard GuardCommand, log *slog.Logger) *Worker {
	runner := run.New(log)
	return New(postmaster.New("h1", runner, []string{prefix}, log), runner, dir, guard, log, time.Now)
}

// TestDieInSwitch is an agent that dies. It does nothing unless it is started by dieAt.
func TestDieInSwitch(t *testing.T) {
	text := os.Getenv(childPlan)
	if text == "" {
		t.Skip("only for a process of its own")
	}
	var d death
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	guard := GuardCommand{}
	if d.Guarded {
		guard = GuardCommand{Path: os.Args[0], Args: []string{"-test.run=^TestGuardSwitch$"}}
	}
	w := workerIn(d.Dir, filepath.Dir(d.Plan.Target.Bindir), guard, slog.New(slog.DiscardHandler))
	watch := &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, d.Moment) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	ctx := context.WithValue(t.Context(), progressKey{}, watch)
	if d.Plan.Reversed {
		result, err := doReturn(ctx, w, d)
		t.Fatalf("it came to its end: %+v, %v", result, err)
	}
	result, err := w.SwitchToClone(ctx, step.SwitchOverArgs{Plan: d.Plan, Attempt: d.Attempt})
	t.Fatalf("it came to its end: %+v, %v", result, err)
}

// TestGuardSwitch is a guard process. It does nothing unless it is started by an agent that dies.
func TestGuardSwitch(t *testing.T) {
	journal := os.Args[len(os.Args)-1]
	if !strings.HasSuffix(journal, ".journal") {
		t.Skip("only for a process of its own")
	}
	w := workerIn(filepath.Dir(filepath.Dir(journal)), "", GuardCommand{}, slog.New(slog.DiscardHandler))
	if err := w.Guard(context.Background(), journal); err != nil {
		t.Fatal(err)
	}
}

// dieAt lets a process of its own begin a switch, and die in it.
func (b *switchBed) dieAt(moment string, attempt int, guarded bool) {
	b.Helper()
	b.die(death{Dir: b.worker.dir, Plan: b.plan, Attempt: attempt, Moment: moment, Guarded: guarded})
}

func (b *switchBed) die(d death) {
	b.Helper()
	program, err := os.Executable()
	b.must(err)
	text, err := json.Marshal(d)
	b.must(err)
	_, err = run.New(slog.New(slog.DiscardHandler)).Run(b.Context(), run.Command{
		Path: program, Args: []string{"-test.run=^TestDieInSwitch$"}, Env: []string{childPlan + "=" + string(text)},
	})
	if err == nil || !strings.Contains(err.Error(), "killed") {
		b.Fatalf("the process did not die as meant: %v", err)
	}
}

// An agent dies at every step before the commit point. Clients go on at the source, led there by the
// guard or by the next agent, and none has seen an error. What was made of the clone is thrown away,
// and another one can be made; given up, the source is as it was.
func TestAgentDiesBeforeCommit(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newSwitchBed(t, func(*upgrade.Options) {})
	before := b.sourceState()
	b.must(os.MkdirAll(b.worker.dir, 0o700))
	clients := b.book()
	for i, c := range []struct {
		moment  string
		guarded bool
	}{
		{"pause", false},
		{"fence", true},
		{"replay", false},
		{"promote", true},
		{"pg_upgrade: " + pgbin.PhaseRestoring, false},
		{"pg_upgrade: " + pgbin.PhaseTransfer, true},
		{"start", true},
		{"collecting statistics", false},
		{"proof", true},
		{"commit", false},
	} {
		b.do("PrepareCloning", b.worker.PrepareCloning)
		b.do("BaseBackup", b.worker.BaseBackup)
		b.follow()
		began := time.Now()
		b.dieAt(c.moment, i+1, c.guarded)
		if !c.guarded {
			b.must(b.worker.RecoverSwitchovers(t.Context())) // as the next agent does first
		}
		clients.more(20)
		t.Logf("died at %q, guarded: %t, clients went on after %s", c.moment, c.guarded, time.Since(began).Round(time.Millisecond))
		result := b.switchTo(i + 1) // as the engine does
		if result.Switchover.Switched || result.Spent != (i > 3) {
			t.Errorf("died at %q: %+v", c.moment, result)
		}
		if got := b.servedBy(); got != b.plan.Source.Port {
			t.Errorf("died at %q: clients are led to port %d, want %d", c.moment, got, b.plan.Source.Port)
		}
	}
	made := clients.end()
	b.step("Discard", b.worker.Discard)
	b.unchanged(before)
	b.booksBalance(b.plan.Source, made, 0)
}

// An agent dies after the commit point, alone or with the whole machine: clients go on at the target, which is
// started if nobody else does. The fenced source is left as it is.
func TestAgentDiesAfterCommit(t *testing.T) {
	pgtest.Slow(t)
	for _, guarded := range []bool{false, true} {
		b := newSwitchBed(t, func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter })
		b.must(os.MkdirAll(b.worker.dir, 0o700))
		b.toClone()
		clients := b.book()
		clients.more(20)
		b.dieAt("move", 1, guarded)
		if !guarded {
			b.kill(b.plan.Source)
			b.kill(b.plan.Target)
			b.must(b.worker.RecoverSwitchovers(t.Context()))
			if _, running := b.worker.host.Running(b.plan.Source); running {
				t.Error("the fenced source was started")
			}
		}
		clients.more(20)
		if result := b.switchTo(1); !result.Switchover.Switched {
			t.Errorf("committed, and not switched: %s", result.Switchover.Reason)
		}
		if got := b.servedBy(); got != b.plan.Target.Port {
			t.Errorf("clients are led to port %d, want %d", got, b.plan.Target.Port)
		}
		b.booksBalance(b.plan.Target, clients.end(), 0)
	}
}

// kill ends a server as a crash of the machine does.
func (b *upgradeBed) kill(cluster upgrade.Cluster) {
	b.Helper()
	pid, running := b.worker.host.Running(cluster)
	if !running {
		b.Fatalf("%s does not run", cluster)
	}
	b.must(syscall.Kill(pid, syscall.SIGKILL))
	b.until("the end of "+cluster.String(), func() bool {
		_, running := b.worker.host.Running(cluster)
		return !running
	})
}

// What takes longer than the deadline is undone, and so is what the user interrupts: clients have
// waited, not failed, and another attempt with another clone succeeds.
func TestSwitchToCloneUndone(t *testing.T) {
	pgtest.Slow(t)
	b := newSwitchBed(t, func(*upgrade.Options) {})
	b.toClone()
	clients := b.book()
	clients.more(20)
	attempt, late := 0, step.CloneSwitch{}
	// A slow machine does not come to promote its clone within a second: it gets more time then, with the same clone.
	for within := time.Second; within < time.Minute && !late.Spent && !late.Switchover.Switched; within *= 2 {
		attempt++
		b.plan.Options.SwitchoverTimeout = within
		late = b.switchTo(attempt)
	}
	said := fmt.Sprintf("was not done within %s (switchoverTimeout): it was at ", b.plan.Options.SwitchoverTimeout)
	if late.Switchover.Switched || !late.Spent || !strings.Contains(late.Switchover.Reason, said) {
		t.Errorf("after the deadline: %+v", late)
	}
	clients.more(20)
	b.plan.Options.SwitchoverTimeout = 10 * time.Minute
	b.do("BaseBackup", b.worker.BaseBackup)
	b.follow()
	interrupted, err := b.interruptAt("pg_upgrade: "+pgbin.PhaseRestoring, attempt+1)
	b.must(err)
	if interrupted.Switchover.Switched || !interrupted.Spent || !strings.Contains(interrupted.Switchover.Reason, "interrupted") {
		t.Errorf("interrupted: %+v", interrupted)
	}
	clients.more(20)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.follow()
	if result := b.switchTo(attempt + 2); !result.Switchover.Switched {
		t.Errorf("it did not switch: %s", result.Switchover.Reason)
	}
	clients.more(20)
	b.booksBalance(b.plan.Target, clients.end(), 0)
}

// interruptAt cancels an attempt when its progress says so.
func (b *switchBed) interruptAt(moment string, attempt int) (step.CloneSwitch, error) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	watch := &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, moment) {
			cancel()
		}
	}}
	return b.worker.SwitchToClone(context.WithValue(ctx, progressKey{}, watch), step.SwitchOverArgs{Plan: b.plan, Attempt: attempt})
}

// A clone can be given up after any step: the source is as it was, and nothing lies beside it.
func TestDiscardCloneAfterEachStep(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	before := b.sourceState()
	story := []struct {
		name    string
		do      stepFunc
		discard bool // after it
	}{
		{"PrepareCloning", b.worker.PrepareCloning, true},
		{"BaseBackup", b.worker.BaseBackup, false},
		{"FollowSource", func(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
			result, err := b.worker.FollowSource(ctx, step.SynchronizeArgs{Plan: plan, UntilReady: true})
			return result.Done, err
		}, true},
		{"DetachClone", b.worker.DetachClone, true},
		{"InitTarget", b.worker.InitTarget, false},
		{"PgUpgrade", b.worker.PgUpgrade, true},
		{"StartUpgraded", b.worker.StartUpgraded, true},
	}
	for last, until := range story {
		if !until.discard {
			continue
		}
		b.plan.Number++
		for _, s := range story[:last+1] {
			b.do(s.name, s.do)
		}
		b.step("Discard after "+until.name, b.worker.Discard)
		b.unchanged(before)
	}
}
