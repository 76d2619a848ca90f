package embedded

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/durable"
)

// stall is longer than the SDK lets a heart-beat take, and well within what we do.
const stall = 3 * time.Second

// TestStall holds back what an activity and the engine say to each other. That is shorter than the heart-beat
// timeout, so the activity must not notice: it would begin from zero.
func TestStall(t *testing.T) {
	e := startEngine(t, freePorts)
	line := newLine(t, e.Address())
	c, err := durable.Dial(t.Context(), durable.Options{
		Address: line.address, TLS: e.cfg.Keys.ClientTLS(), Key: e.key, Logger: e.cfg.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	beating, answers := make(chan struct{}, 100), make(chan struct{})
	w := durable.NewWorker(c, durable.ServerQueue)
	w.RegisterWorkflowWithOptions(longStep, workflow.RegisterOptions{Name: "long step"})
	w.RegisterActivityWithOptions(func(ctx context.Context) (int32, error) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx)
			select {
			case beating <- struct{}{}:
			default:
			}
			select {
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			case <-answers:
				return activity.GetInfo(ctx).Attempt, nil
			case <-tick.C:
			}
		}
	}, activity.RegisterOptions{Name: "works"})
	startWorker(t, w)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: durable.ServerQueue}, "long step")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-beating
	}
	line.hold()
	<-time.After(stall)
	line.letGo()
	for len(beating) > 0 {
		<-beating
	}
	<-beating // one at least has come through since: they are told one after the other
	close(answers)
	var attempt int32
	if err := run.Get(t.Context(), &attempt); err != nil || attempt != 1 {
		t.Errorf("attempt %d, %v: want the first to have gone on", attempt, err)
	}
}

func longStep(ctx workflow.Context) (attempt int32, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour, HeartbeatTimeout: durable.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 3},
	})
	err = workflow.ExecuteActivity(ctx, "works").Get(ctx, &attempt)
	return attempt, err
}

// line is a TCP connection that can be held up, and nobody's.
type line struct {
	address string
	held    sync.RWMutex
}

func (l *line) hold()  { l.held.Lock() }
func (l *line) letGo() { l.held.Unlock() }

// newLine leads to an address.
func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	l := &line{address: listener.Addr().String()}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go l.carry(near, far)
			go l.carry(far, near)
		}
	}()
	return l
}

// carry carries what is said in one direction, while the line is not held.
func (l *line) carry(from, to net.Conn) {
	defer to.Close() //nolint:errcheck // that is how the other side learns of the end
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.held.RLock()
		_, writeErr := to.Write(buffer[:n])
		l.held.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}
