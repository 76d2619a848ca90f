package onhost

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// hookBed is a worker and programs that note that they were run.
type hookBed struct {
	*testing.T
	w    *Worker
	dir  string
	plan upgrade.Plan
}

func newHookBed(t *testing.T) *hookBed {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &hookBed{T: t, dir: dir, w: &Worker{runner: run.New(log), log: log, now: time.Now, dir: filepath.Join(dir, "agent")}}
	b.plan = upgrade.Plan{
		Number: 7, ID: "u", Instance: "orders", Mode: upgrade.BlueGreen,
		Source: upgrade.Cluster{Owner: me.Username, Version: 150018, Pgdata: "/data/15", Port: 5432},
		Target: upgrade.Cluster{Owner: me.Username, Version: 170011, Pgdata: "/data/17", Port: 5433},
		Hooks:  &upgrade.Hooks{Before: b.program("before", ""), After: b.program("after", "")},
	}
	return b
}

// program writes one that notes its environment and then does something.
func (b *hookBed) program(name, then string) string {
	path := filepath.Join(b.dir, name)
	text := "#!/bin/sh\necho \"" + name + " $PGLEAP_INSTANCE $PGLEAP_UPGRADE.$PGLEAP_ATTEMPT $PGLEAP_DIRECTION $PGLEAP_FROM_VERSION-$PGLEAP_TO_VERSION $PGLEAP_TO_PORT $PGLEAP_SWITCHED\" >> " +
		filepath.Join(b.dir, "log") + "\n" + then + "\n"
	// Or a process that another test starts meanwhile has it open for writing, and it cannot be run (golang.org/issue/22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be run
		b.Fatal(err)
	}
	return path
}

func (b *hookBed) attempt(args step.SwitchOverArgs, outcome upgrade.Switchover, err error) (upgrade.Switchover, bool, error) {
	b.Helper()
	args.Plan = b.plan
	done := false
	got, failed := b.w.aroundSwitch(context.Background(), args, func() (upgrade.Switchover, error) {
		done = true
		return outcome, err
	})
	return got, done, failed
}

// running waits until a program is under way and has noted itself.
func (b *hookBed) running() {
	files, err := b.w.files(b.plan)
	if err != nil {
		b.Error(err)
		return
	}
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(time.Millisecond); time.Now().Before(deadline); <-tick.C {
		noted, _ := os.ReadFile(filepath.Join(b.dir, "log")) // which the shell makes before it writes
		if content, err := os.ReadFile(files.pidfile("hook-before")); err == nil && len(content) > 0 && bytes.HasSuffix(noted, []byte("\n")) {
			return
		}
	}
	b.Error("the program does not run")
}

// log returns what was run since it was asked last.
func (b *hookBed) log() string {
	content, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	_ = os.Remove(filepath.Join(b.dir, "log"))
	return string(content)
}

func TestHooks(t *testing.T) {
	pgtest.Slow(t)
	const before, after = "before orders 7.1 there 15-17 5433 \n", "after orders 7.1 there 15-17 5433 "
	first := step.SwitchOverArgs{Attempt: 1}
	there := upgrade.Switchover{Switched: true}

	t.Run("around a switch, once", func(t *testing.T) {
		b := newHookBed(t)
		for _, want := range []string{before + after + "true\n", ""} {
			if got, _, err := b.attempt(first, there, nil); err != nil || !got.Switched || len(got.Told) > 0 {
				t.Errorf("%+v, %v", got, err)
			}
			if got := b.log(); got != want {
				t.Errorf("run: %q, want %q", got, want)
			}
		}
	})
	t.Run("a crash in between", func(t *testing.T) {
		b := newHookBed(t)
		if _, _, err := b.attempt(first, there, errors.New("the agent stops")); err == nil {
			t.Error("no error")
		}
		settle := first
		settle.SettleOnly = true
		b.attempt(settle, upgrade.Switchover{Reason: "undone"}, nil) //nolint:errcheck // see the log
		if got := b.log(); got != before+after+"false\n" {
			t.Errorf("run: %q", got)
		}
	})
	t.Run("the agent ends meanwhile, and the user interrupts", func(t *testing.T) {
		for _, c := range []struct {
			cause error
			again bool
			run   string
		}{
			{context.Canceled, true, ""},
			{temporal.NewCanceledError(), false, after + "false\n"},
		} {
			b := newHookBed(t)
			b.program("before", "exec sleep 600")
			ctx, end := context.WithCancelCause(t.Context())
			go func() {
				b.running()
				end(c.cause)
			}()
			args := first
			args.Plan = b.plan
			got, err := b.w.aroundSwitch(ctx, args, func() (upgrade.Switchover, error) { return there, errors.New("it is switched") })
			if (err != nil) != c.again || got.Switched || (got.Reason == "") != c.again {
				t.Errorf("%v: %+v, %v", c.cause, got, err)
			}
			if got := b.log(); got != before+c.run {
				t.Errorf("%v: run: %q", c.cause, got)
			}
		}
	})
	t.Run("one that a killed agent has left", func(t *testing.T) {
		b := newHookBed(t)
		b.program("before", "exec sleep 600")
		args := first
		args.Plan = b.plan
		left := make(chan error, 1)
		go func() {
			left <- b.w.runHook(context.WithoutCancel(t.Context()), args, "before", b.plan.Hooks.Before, false)
		}()
		b.running()
		b.program("before", "")
		if got, _, err := b.attempt(first, there, nil); err != nil || !got.Switched {
			t.Errorf("%+v, %v", got, err)
		}
		if err := <-left; err == nil {
			t.Error("it came to its end")
		}
	})
	t.Run("before fails", func(t *testing.T) {
		b := newHookBed(t)
		b.program("before", "echo no archive >&2; exit 3")
		got, done, err := b.attempt(first, there, nil)
		if err != nil || got.Switched || done || !strings.Contains(got.Reason, "no archive") {
			t.Errorf("%+v, switched: %t, %v", got, done, err)
		}
		if got := b.log(); got != before+after+"false\n" {
			t.Errorf("run: %q", got)
		}
	})
	t.Run("after fails", func(t *testing.T) {
		b := newHookBed(t)
		b.program("after", "exit 4")
		got, _, err := b.attempt(first, there, nil)
		if err != nil || !got.Switched || len(got.Told) != 1 || !strings.Contains(got.Told[0], "exit code 4") {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("others may write to it", func(t *testing.T) {
		b := newHookBed(t)
		if err := os.Chmod(b.plan.Hooks.Before, 0o722); err != nil { //nolint:gosec // it is to be refused
			t.Fatal(err)
		}
		got, done, err := b.attempt(first, there, nil)
		if err != nil || done || !strings.Contains(got.Reason, "chmod go-w") {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a rehearsal, and nothing to settle", func(t *testing.T) {
		b := newHookBed(t)
		for _, args := range []step.SwitchOverArgs{{Attempt: 1, Rehearse: true}, {Attempt: 1, SettleOnly: true}} {
			b.attempt(args, upgrade.Switchover{Reason: "not begun"}, nil) //nolint:errcheck // see the log
		}
		if got := b.log(); got != "" {
			t.Errorf("run: %q", got)
		}
	})
}
