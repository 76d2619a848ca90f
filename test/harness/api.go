package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Event is a line of a task's log.
type Event struct {
	Seq int64 `json:"seq"`
	upgrade.Event
}

// Address is where the server listens, as it told in its state directory.
func (s *Server) Address() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.StateDir, "address"))
	if err != nil {
		return "", err
	}
	address := strings.TrimSpace(string(text))
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return strings.TrimSuffix(address, "/"), nil
}

// Token is what opens the API.
func (s *Server) Token() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.StateDir, "token"))
	return strings.TrimSpace(string(text)), err
}

// Get asks the API for something.
func (s *Server) Get(ctx context.Context, path string, into any) error {
	token, err := s.Token()
	if err != nil {
		return err
	}
	status, body, err := s.Request(ctx, http.MethodGet, path, token, "")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %s", path, status, body)
	}
	return json.Unmarshal(body, into)
}

// Say says a verb of the switchover without waiting for what comes of it.
func (s *Server) Say(ctx context.Context, instance, verb string) error {
	token, err := s.Token()
	if err != nil {
		return err
	}
	path := "/instances/" + instance + "/switchover"
	status, body, err := s.Request(ctx, http.MethodPost, path, token, fmt.Sprintf(`{"verb": %q}`, verb))
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("POST %s %s: status %d: %s", path, verb, status, body)
	}
	return err
}

// Request sends a request to the API with a token, or without one, and returns whatever it answers.
func (s *Server) Request(ctx context.Context, method, path, token, content string) (status int, body []byte, err error) {
	address, err := s.Address()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address+"/api/v1"+path, strings.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	if content != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// Task asks where a task stands.
func (s *Server) Task(ctx context.Context, number int64) (task upgrade.Task, err error) {
	err = s.Get(ctx, fmt.Sprintf("/tasks/%d", number), &task)
	return task, err
}

// Events reads a task's log after an event.
func (s *Server) Events(ctx context.Context, number, after int64) (events []Event, err error) {
	query := url.Values{"after": {fmt.Sprint(after)}}
	err = s.Get(ctx, fmt.Sprintf("/tasks/%d/events?%s", number, query.Encode()), &events)
	return events, err
}

// AwaitTask waits until a task is as wanted. A task that has ended otherwise never will be; a server
// that does not answer may again.
func (s *Server) AwaitTask(ctx context.Context, number int64, limit time.Duration, what string, wanted func(upgrade.Task) bool) (upgrade.Task, error) {
	var task upgrade.Task
	err := Await(ctx, limit, what, func(ctx context.Context) error {
		now, err := s.Task(ctx, number)
		if err != nil {
			return err
		}
		task = now
		if wanted(task) {
			return nil
		}
		state := fmt.Errorf("task %d is %s in phase %q%s", number, task.Status, task.Phase, progress(task))
		if task.Status.Ended() {
			return Final(state)
		}
		return state
	})
	if err != nil {
		err = fmt.Errorf("%w%s", err, s.log(number))
	}
	return task, err
}

// AwaitPhase waits until a task is in one of the phases.
func (s *Server) AwaitPhase(ctx context.Context, number int64, limit time.Duration, phases ...upgrade.Phase) (upgrade.Task, error) {
	return s.AwaitTask(ctx, number, limit, fmt.Sprintf("phase %q", phases), func(t upgrade.Task) bool {
		return !t.Status.Ended() && slices.Contains(phases, t.Phase)
	})
}

// AwaitSynchronized waits until the target follows the source closely.
func (s *Server) AwaitSynchronized(ctx context.Context, number int64, limit time.Duration) (upgrade.Task, error) {
	return s.AwaitTask(ctx, number, limit, "the target to have caught up", func(t upgrade.Task) bool {
		return t.Phase == upgrade.PhaseSynchronizing && t.Progress != nil && t.Progress.Phase == upgrade.PhaseSynchronizing &&
			t.Progress.Lag != nil && t.Progress.Lag.LagSeconds < 5 && t.Progress.Lag.Bytes < 16<<20
	})
}

// AwaitEnd waits until a task has ended.
func (s *Server) AwaitEnd(ctx context.Context, number int64, limit time.Duration) (upgrade.Task, error) {
	return s.AwaitTask(ctx, number, limit, "the end", func(t upgrade.Task) bool { return t.Status.Ended() })
}

func progress(t upgrade.Task) string {
	var said string
	if t.Reason != "" {
		said = ": " + t.Reason
	}
	if p := t.Progress; p != nil {
		said += fmt.Sprintf(", step %q %d/%d %s", p.Step, p.Done, p.Total, p.Text)
		if p.Lag != nil {
			said += fmt.Sprintf(", lag %d bytes, %.1f s", p.Lag.Bytes, p.Lag.LagSeconds)
		}
	}
	return said
}

// log is the end of a task's log, for an error.
func (s *Server) log(number int64) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	events, err := s.Events(ctx, number, 0)
	if err != nil {
		return ""
	}
	var text strings.Builder
	for _, e := range events[max(0, len(events)-15):] {
		fmt.Fprintf(&text, "\n  %s %-7s %-15s %s", e.At.Format("15:04:05.000"), e.Level, e.Phase, e.Text)
	}
	return "\nlog of the task:" + text.String()
}
