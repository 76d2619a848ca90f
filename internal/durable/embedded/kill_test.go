package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/durable"
)

const (
	// childDir makes a process of the test binary a victim or heir; its value is the state
	// directory. childSays is the signal that an heir sends, if any.
	childDir  = "PGLEAP_TEST_ENGINE_DIR"
	childSays = "PGLEAP_TEST_ENGINE_SIGNAL"

	// killHeartbeat is short so that the test is. It is what the recovery takes.
	killHeartbeat = 3 * time.Second
	// stickyTimeout is how long the engine waits for the worker that had a workflow in its memory, unless a new one has
	// said that it is gone (worker.Options, StickyScheduleToStartTimeout).
	stickyTimeout = 5 * time.Second
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := runChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKill kills a process that has engine and worker in it, with one activity behind it and one
// under way, and expects the next process to end the workflow without doing the first again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	victim := startChild(t, dir, "go")
	victim.await(t, "second begun")
	victim.kill(t)

	begin := time.Now()
	heir := startChild(t, dir, "")
	heir.await(t, "engine ready")
	t.Logf("engine ready %v after the second start of the process", time.Since(begin))
	heir.await(t, "first, second")
	took := time.Since(begin)
	t.Logf("workflow went on and ended after %v, with a heart-beat timeout of %v", took, killHeartbeat)
	if limit := killHeartbeat + 30*time.Second; took > limit { // or it waits for the activity's own time-out, an hour
		t.Errorf("recovery took %v, more than %v", took, limit)
	}
	if err := heir.cmd.Wait(); err != nil {
		t.Errorf("second process: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "done.log"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "first\nsecond attempt 1\nsecond attempt 2\n"; string(got) != want {
		t.Errorf("activities did:\n%swant:\n%s", got, want)
	}
}

// TestKillWhileWaiting is about a workflow in the memory of a dead worker that waits for a user:
// it must not matter, when the user speaks, that the worker died.
func TestKillWhileWaiting(t *testing.T) {
	dir := t.TempDir()
	victim := startChild(t, dir, "")
	victim.await(t, "waiting for a signal")
	victim.kill(t)

	heir := startChild(t, dir, "go")
	heir.await(t, "waiting for a signal")
	begin := time.Now()
	heir.await(t, "second begun")
	took := time.Since(begin)
	t.Logf("workflow went on %v after the signal", took)
	if took > stickyTimeout-time.Second {
		t.Errorf("workflow went on %v after the signal: it waited for the dead worker", took)
	}
}

type child struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startChild(t *testing.T, dir, signal string) child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSays+"="+signal)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	// Whatever goes wrong in the child, the test ends.
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	return child{cmd, bufio.NewScanner(io.TeeReader(out, os.Stderr))}
}

func (c child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
}

// await reads the child's output up to this line.
func (c child) await(t *testing.T, line string) {
	t.Helper()
	for c.out.Scan() {
		if c.out.Text() == line {
			return
		}
	}
	t.Fatalf("the process ended without saying %q (%v)", line, errors.Join(c.out.Err(), c.cmd.Wait()))
}

// runChild is a process with engine and worker, which carries the workflow "two steps" to its
// end, whoever began it.
func runChild(dir string) error {
	ctx := context.Background()
	unlock, err := durable.LockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	cfg, key, err := configIn(dir)
	if err != nil {
		return err
	}
	s, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println("engine ready")
	c, err := durable.Dial(ctx, durable.Options{Address: s.Address(), TLS: cfg.Keys.ClientTLS(), Key: key, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	defer c.Close()
	w := durable.NewWorker(c, durable.ServerQueue)
	w.RegisterWorkflowWithOptions(twoSteps, workflow.RegisterOptions{Name: "two steps"})
	w.RegisterActivityWithOptions(diary(dir).first, activity.RegisterOptions{Name: "first"})
	w.RegisterActivityWithOptions(diary(dir).second, activity.RegisterOptions{Name: "second"})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "one upgrade", TaskQueue: durable.ServerQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, "two steps")
	if err != nil {
		return err
	}
	if err := awaitFirst(ctx, c, run.GetID()); err != nil {
		return err
	}
	fmt.Println("waiting for a signal")
	if signal := os.Getenv(childSays); signal != "" {
		if err := c.SignalWorkflow(ctx, run.GetID(), "", signal, nil); err != nil {
			return err
		}
	}
	var result []string
	if err := run.Get(ctx, &result); err != nil {
		return err
	}
	fmt.Println(strings.Join(result, ", "))
	return nil
}

// awaitFirst asks the workflow until it has the first step behind it. The answer also means that
// it is in this worker's memory.
func awaitFirst(ctx context.Context, c client.Client, id string) error {
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		answer, err := c.QueryWorkflow(ctx, id, "", "first done")
		if err != nil {
			return err
		}
		var done bool
		if err := answer.Get(&done); err != nil || done {
			return err
		}
	}
}

func twoSteps(ctx workflow.Context) ([]string, error) {
	done := false
	if err := workflow.SetQueryHandler(ctx, "first done", func() (bool, error) { return done, nil }); err != nil {
		return nil, err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour, HeartbeatTimeout: killHeartbeat,
	})
	var first, second string
	if err := workflow.ExecuteActivity(ctx, "first").Get(ctx, &first); err != nil {
		return nil, err
	}
	done = true
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	if err := workflow.ExecuteActivity(ctx, "second").Get(ctx, &second); err != nil {
		return nil, err
	}
	return []string{first, second}, nil
}

// diary is the directory in which the activities write down what they do.
type diary string

func (d diary) write(line string) error {
	f, err := os.OpenFile(filepath.Join(string(d), "done.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	return err
}

func (d diary) first(context.Context) (string, error) {
	return "first", d.write("first")
}

// second takes for ever at the first attempt, in good health.
func (d diary) second(ctx context.Context) (string, error) {
	attempt := activity.GetInfo(ctx).Attempt
	if err := d.write(fmt.Sprintf("second attempt %d", attempt)); err != nil {
		return "", err
	}
	if attempt > 1 {
		return "second", nil
	}
	fmt.Println("second begun")
	for beat := time.NewTicker(killHeartbeat / 6); ; {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		}
	}
}
