package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is a server process that lives as long as its test at most.
type daemon struct {
	pid     int
	logFile string
	exited  <-chan struct{}
}

// launch starts a server with its output going to logFile.
//
// The kernel sends the server a SIGKILL or SIGQUIT (see dieWithParent) when this process dies without
// cleaning up, as at a test timeout. It does so when the *thread* that started it ends (prctl(2),
// PR_SET_PDEATHSIG), therefore that thread is kept until the server has ended.
func launch(t testing.TB, cmd *exec.Cmd, logFile string, onDeath syscall.Signal) *daemon {
	t.Helper()
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("open the server's log: %v", err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	dieWithParent(cmd, onDeath)
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	return &daemon{pid: cmd.Process.Pid, logFile: logFile, exited: exited}
}

// hasExited says whether the process has ended.
func (d *daemon) hasExited() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// await polls a condition, and fails with what it said last when the deadline has passed.
func await(timeout time.Duration, condition func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if permanent, ok := errors.AsType[*permanentError](err); ok {
			return permanent.error
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s: %w", timeout, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// permanentError ends an await at once.
type permanentError struct{ error }

// alive says whether a process runs. A zombie does not: its parent may take its time to reap it.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := bytes.Cut(stat, []byte(") ")) // the name in parentheses may hold anything, see proc(5)
	return !bytes.HasPrefix(state, []byte("Z"))
}

// kill signals a process and waits until it is gone.
func kill(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", signal, pid, err)
	}
	return await(30*time.Second, func() error {
		if alive(pid) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}

// showLog attaches a server's log to a test that failed.
func showLog(t testing.TB, name, logFile string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	content, err := os.ReadFile(logFile)
	if err != nil {
		t.Logf("no log of %s: %v", name, err)
		return
	}
	kept := filepath.Join(t.ArtifactDir(), name+".log")
	if err := os.WriteFile(kept, content, 0o644); err != nil {
		t.Logf("keep the log of %s: %v", name, err)
	}
	t.Logf("log of %s (its end):\n%s", name, tail(string(content), 60))
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
