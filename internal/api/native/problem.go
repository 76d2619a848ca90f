package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// writeError answers with what an error means to the caller. What means nothing to the caller is
// logged, and the answer names the place in the log.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // nobody is there to read it
	}
	p := problemOf(err)
	// Not being ready yet is no fault: whoever asks will ask again.
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable {
		log.ErrorContext(r.Context(), "request failed", "request", actor(r.Context()).RequestID,
			"method", r.Method, "path", r.URL.Path, "error", withCause(err))
	}
	writeProblem(w, r, p.Status, p.Detail, p.Remedy)
}

// withCause returns the error that hides behind what the caller is told.
func withCause(err error) error {
	if u, ok := errors.AsType[*control.Unavailable](err); ok && u.Err != nil {
		return fmt.Errorf("%w: %w", err, u.Err)
	}
	return err
}

// problemOf translates an error. It is the only place that knows which status belongs to which.
func problemOf(err error) Problem {
	if e, ok := errors.AsType[*control.Invalid](err); ok {
		return Problem{Status: http.StatusBadRequest, Detail: e.Reason, Remedy: e.Remedy}
	}
	if e, ok := errors.AsType[*upgrade.NotFound](err); ok {
		return Problem{Status: http.StatusNotFound, Detail: e.Error(), Remedy: whereToLook(e)}
	}
	if e, ok := errors.AsType[*control.Conflict](err); ok {
		return Problem{Status: http.StatusConflict, Detail: e.Reason, Remedy: e.Remedy}
	}
	if e, ok := errors.AsType[*upgrade.Refused](err); ok {
		return Problem{Status: http.StatusUnprocessableEntity, Detail: e.Reason, Remedy: e.Remedy}
	}
	if e, ok := errors.AsType[*control.Unavailable](err); ok {
		return Problem{Status: http.StatusServiceUnavailable, Detail: e.Reason, Remedy: e.Remedy}
	}
	return Problem{
		Status: http.StatusInternalServerError,
		Detail: "the server failed to carry out the request",
		Remedy: "look for the request's id in its log",
	}
}

func whereToLook(e *upgrade.NotFound) string {
	switch e.Kind {
	case "instance":
		return "list the instances with `pgleap instance list`"
	case "task":
		return "list the tasks with `pgleap tasks`"
	case "former cluster", "former cluster of upgrade":
		return "list them with `pgleap instance list`"
	case "access key":
		return "list the access keys with `pgleap access-key list`"
	case "report":
		return "a task has a report as soon as its precheck has ended"
	}
	return ""
}

// unreadable translates the failure to read a request.
func unreadable(err error) error {
	if errors.Is(err, io.EOF) {
		return &control.Invalid{Reason: "the request has no body", Remedy: "send a JSON object"}
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &control.Invalid{Reason: fmt.Sprintf("the request is larger than %d bytes", large.Limit)}
	}
	return &control.Invalid{Reason: err.Error()}
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail, remedy string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(Problem{ //nolint:errcheck // the caller went away
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: detail, Remedy: remedy, RequestId: actor(r.Context()).RequestID,
	})
}
