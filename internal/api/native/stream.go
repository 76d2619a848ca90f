package native

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const (
	// streamInterval is how often the record is looked at. It changes once a second at most
	// while a step only goes on.
	streamInterval = 250 * time.Millisecond
	// streamKeepAlive is how long a stream is silent at most, so that either side notices when
	// the other one is gone.
	streamKeepAlive = 15 * time.Second
)

// StreamTask implements StrictServerInterface.
func (a *api) StreamTask(ctx context.Context, r StreamTaskRequestObject) (StreamTaskResponseObject, error) {
	task, err := a.control.Task(ctx, r.Number)
	if err != nil {
		return nil, err
	}
	after := max(r.Params.After, r.Params.LastEventID)
	return &taskStream{ctx: ctx, control: a.control, number: task.Number, after: after}, nil
}

// taskStream is a task as server-sent events.
type taskStream struct {
	ctx     context.Context //nolint:containedctx // of the request, which the generated Visit does not hand on
	control Control
	number  int64
	after   int64  // seq of the last event sent
	last    []byte // the task as it was sent last
}

// VisitStreamTaskResponse implements StreamTaskResponseObject.
func (s *taskStream) VisitStreamTaskResponse(w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	out.SetWriteDeadline(time.Time{}) //nolint:errcheck // not every writer has one
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	for sent := time.Now(); ; {
		message, ended, err := s.next()
		if err != nil {
			return nil //nolint:nilerr // the answer has begun: the client comes back, and gets the error then
		}
		if len(message) == 0 && time.Since(sent) > streamKeepAlive {
			message = []byte(": still there\n\n")
		}
		if len(message) > 0 {
			sent = time.Now()
			if _, err := w.Write(message); err != nil || out.Flush() != nil { //nolint:gosec // JSON as text/event-stream, no page
				return nil //nolint:nilerr // the client went away
			}
		}
		if ended {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// next returns what is new since the last time, and whether that is the end.
func (s *taskStream) next() (message []byte, ended bool, err error) {
	// The task first: events that came before its end are then in the log.
	task, err := s.control.Task(s.ctx, s.number)
	if err != nil {
		return nil, false, err
	}
	var b bytes.Buffer
	if err := s.newEvents(&b); err != nil {
		return nil, false, err
	}
	ended = task.Status.Ended()
	if err := s.changedTask(&b, task, ended); err != nil {
		return nil, false, err
	}
	return b.Bytes(), ended, nil
}

func (s *taskStream) newEvents(b *bytes.Buffer) error {
	events, err := s.control.Events(s.ctx, s.number, s.after, 0)
	if err != nil {
		return err
	}
	for _, e := range events {
		data, err := json.Marshal(wireEvent(e))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "event: event\nid: %d\ndata: %s\n\n", e.Seq, data)
		s.after = e.Seq
	}
	return nil
}

func (s *taskStream) changedTask(b *bytes.Buffer, task upgrade.Task, ended bool) error {
	data, err := json.Marshal(task)
	if err != nil {
		return err
	}
	if ended {
		fmt.Fprintf(b, "event: end\ndata: %s\n\n", data)
	} else if !bytes.Equal(data, s.last) {
		fmt.Fprintf(b, "event: task\ndata: %s\n\n", data)
	}
	s.last = data
	return nil
}
