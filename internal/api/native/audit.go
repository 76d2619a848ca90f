package native

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
)

// defaultEntries is how many entries a list of the record holds when nothing is said.
const defaultEntries = 100

// ListAudit implements StrictServerInterface.
func (a *api) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	limit, err := limited(r.Params.Limit, defaultEntries)
	if err != nil {
		return nil, err
	}
	entries, err := a.control.Audit(ctx, limit)
	if err != nil {
		return nil, err
	}
	return ListAudit200JSONResponse(wireEntries(entries)), nil
}

// ListCalls implements StrictServerInterface.
func (a *api) ListCalls(ctx context.Context, r ListCallsRequestObject) (ListCallsResponseObject, error) {
	limit, err := limited(r.Params.Limit, defaultEntries)
	if err != nil {
		return nil, err
	}
	calls, err := a.control.Calls(ctx, limit)
	if err != nil {
		return nil, err
	}
	return ListCalls200JSONResponse(wireEntries(calls)), nil
}

func wireEntries(entries []control.AuditEntry) []AuditEntry {
	answer := make([]AuditEntry, 0, len(entries))
	for _, e := range entries {
		answer = append(answer, AuditEntry{
			At: e.At, Who: e.Who, What: e.What, Object: e.Object, Result: e.Result, RequestId: e.RequestID,
		})
	}
	return answer
}
