package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// watcher is told what happens to a task that is followed.
type watcher interface {
	// happened tells of a line in the log.
	happened(client.Event)
	// stands tells where the task stands, and is asked whether that is enough.
	stands(upgrade.Task) (enough bool)
}

// silent waits for the end and shows nothing.
type silent struct{}

func (silent) happened(client.Event)    {}
func (silent) stands(upgrade.Task) bool { return false }

// A server that restarts is away for seconds; the task goes on afterwards.
const (
	reconnectPause = time.Second
	reconnectFor   = time.Minute
)

// connector connects to the server anew: after a restart its address may be another one.
type connector func() (*client.Client, error)

func (o *options) reconnect(cmd *cobra.Command) connector {
	return func() (*client.Client, error) { return o.connect(cmd) }
}

// follow tells w what happens to a task until it ends or w has enough, through restarts of the
// server. It returns the task as it was last.
func follow(ctx context.Context, connect connector, number int64, w watcher) (upgrade.Task, error) {
	f := &follower{number: number, watcher: w}
	var lost time.Time // the connection; zero as long as there was none
	for {
		seen := f.messages
		err := f.stream(ctx, connect)
		if errors.Is(err, errStop) {
			return f.last, nil
		}
		if ctx.Err() != nil {
			return f.last, &Error{
				Code: ExitInterrupted, Reason: fmt.Sprintf("interrupted; task %d goes on", number),
				Remedy: fmt.Sprintf("pgleap task show %d --follow", number),
			}
		}
		if e, ok := errors.AsType[*Error](err); ok && e.Code != ExitUnreachable {
			return f.last, err
		}
		if f.messages > seen {
			lost = time.Now()
		}
		if time.Since(lost) > reconnectFor {
			return f.last, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnectPause):
		}
	}
}

// follower is what is known of the task that is followed.
type follower struct {
	watcher

	number   int64
	after    int64 // seq of the last event
	messages int
	last     upgrade.Task
}

// stream reads one connection. errStop means that there is no need for another one.
func (f *follower) stream(ctx context.Context, connect connector) error {
	api, err := connect()
	if err != nil {
		return err
	}
	response, err := api.StreamTask(ctx, f.number, &client.StreamTaskParams{After: f.after})
	if err := answered(response, err); err != nil {
		return err
	}
	defer response.Body.Close()
	return readMessages(response.Body, f.take)
}

func (f *follower) take(m message) error {
	f.messages++
	if m.name == "event" {
		var e client.Event
		if err := json.Unmarshal([]byte(m.data), &e); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		f.after = e.Seq
		f.happened(e)
		return nil
	}
	var t upgrade.Task
	if err := json.Unmarshal([]byte(m.data), &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	f.last = t
	if f.stands(t) || m.name == "end" {
		return errStop
	}
	return nil
}

// untilServed has enough, too, when applications are on the target and all that is left to say of the
// upgrade is that it may finish.
type untilServed struct{ watcher }

// stands implements watcher.
func (w untilServed) stands(t upgrade.Task) bool {
	enough := w.watcher.stands(t)
	return enough || served(t)
}

// served tells whether applications are on the target, what both sides held has been compared, and the
// way back is open.
func served(t upgrade.Task) bool {
	return t.AwaitsFinish() && t.Phase == upgrade.PhaseFollowing && t.Verification != nil
}

// followToEnd follows a task on the screen, and fails if the task did.
func followToEnd(cmd *cobra.Command, o *options, number int64) error {
	var w watcher = silent{}
	if !o.json() {
		s := newScreen(cmd.OutOrStdout())
		defer s.clear()
		w = s
	}
	task, err := follow(cmd.Context(), o.reconnect(cmd), number, untilServed{w})
	if err != nil {
		return err
	}
	if o.json() {
		err = printJSON(cmd.OutOrStdout(), task)
	} else {
		err = printEnd(cmd.OutOrStdout(), task)
	}
	if err == nil && task.Status != upgrade.StatusSucceeded && !served(task) {
		err = failed(task)
	}
	return err
}
