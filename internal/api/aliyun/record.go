package aliyun

import (
	"context"
	"errors"
	"strings"

	"github.com/pgleap/pgleap/internal/control"
)

// maxResult is how much of an error is kept: it may repeat what the client sent.
const maxResult = 500

// explain says an error in the vendor's words. What means nothing to the caller is logged under the
// request's id.
func (a *api) explain(ctx context.Context, x *exchange, err error) *Error {
	if err == nil {
		return nil
	}
	if e, ours := errors.AsType[*Error](err); ours {
		return e
	}
	if unavailable, is := errors.AsType[*control.Unavailable](err); is {
		a.log.WarnContext(ctx, "request not served", "request", x.requestID, "error", err, "cause", unavailable.Err)
		return fail("ServiceUnavailable", "")
	}
	if ctx.Err() == nil {
		a.log.ErrorContext(ctx, "request failed", "request", x.requestID, "error", err)
	}
	return fail("InternalError", "")
}

// record writes down a call, with what became of it. Who names no key, or one that was not looked up or does not
// exist, is a stranger, whose words are shortened.
func (a *api) record(ctx context.Context, x *exchange, e *Error) {
	who := "access key " + x.caller.KeyID
	if !x.known() {
		who = "nobody"
		if x.keyID != "" {
			who = "access key " + printable(x.keyID, 32)
		}
		a.log.DebugContext(ctx, "request of a stranger refused", "request", x.requestID, "who", who, "error", e)
	}
	result := "ok"
	if e != nil {
		result = shortened(e.Error(), maxResult)
	}
	call := control.Call{
		At: x.at, Who: who, What: "aliyun " + x.actionName(), Object: printable(x.objectID(), 128),
		Result: result, RequestID: x.requestID,
	}
	if x.proven && !unbounded(e) {
		a.gate.RecordCall(call)
	} else {
		a.gate.RecordStranger(call)
	}
}

// unbounded tells of a refusal that costs its sender nothing: whoever has seen one request of a key can send it again
// and again without the key.
func unbounded(e *Error) bool {
	return e != nil && (e.Code == "Throttling.User" || e.Code == "SignatureNonceUsed")
}

// shortened cuts a text off where a character ends.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
