package huawei

import (
	"context"
	"errors"
	"math"
	"strconv"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// meaning is how the vendor calls a kind of refusal.
type meaning struct {
	code    code
	message message
}

// causes say what each cause is at this vendor. CauseNone is not among them: then the type of the
// error decides.
var causes = map[upgrade.Cause]meaning{
	upgrade.CauseMode:            {codeUnsupported, msgUnsupported},
	upgrade.CauseModeUnavailable: {codeUnsupported, msgModeUnavailable},
	upgrade.CauseTarget:          {codeTarget, msgTarget},
	upgrade.CauseOption:          {codeParameter, msgOptionRefused},
	upgrade.CauseNoReport:        {codeNoReport, msgNoReport},
	upgrade.CauseStandbys:        {codeNoReport, msgNoReport},
	upgrade.CauseStorage:         {codeStorage, msgStorage},
	upgrade.CauseRunning:         {codeRunning, msgRunning},
	upgrade.CausePhase:           {codeState, msgState},
	upgrade.CauseNoEndpoint:      {codeState, msgState},
	upgrade.CauseDown:            {codeState, msgState},
	upgrade.CauseSuperuser:       {codeState, msgState},
	upgrade.CauseNotPostgres:     {codeUnsupported, msgUnsupported},
	upgrade.CauseSQL:             {codeState, msgState},
	upgrade.CauseServing:         {codeState, msgState},
	upgrade.CauseRetired:         {codeState, msgState},
	upgrade.CausePlace:           {codeState, msgState},
	upgrade.CauseFailed:          {codeInternal, msgUnavailable},
	upgrade.CauseAgent:           {codeInternal, msgUnavailable},
	upgrade.CauseEngine:          {codeInternal, msgUnavailable},
	upgrade.CauseCatalogue:       {codeInternal, msgUnavailable},
}

// translate makes a failure of any error. It is the only place that knows which code belongs to
// which. What control says goes along as the detail: it names the object and the way out.
func translate(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	f := &failure{err: err}
	m := meaningOf(err)
	f.code, f.message, f.detail = m.code, m.message, detailOf(err)
	if t, ok := errors.AsType[*control.Throttled](err); ok {
		f.retryAfter = max(1, int(math.Ceil(t.RetryAfter.Seconds())))
		f.args = []string{"seconds", strconv.Itoa(f.retryAfter)}
	}
	if n, ok := errors.AsType[*upgrade.NotFound](err); ok {
		f.args = []string{"id", n.Name}
	}
	return f
}

// meaningOf goes from what is most particular to what is general.
func meaningOf(err error) meaning {
	if is[*control.Replayed](err) {
		return meaning{codeUnauthenticated, msgReplayed}
	}
	if is[*control.Throttled](err) {
		return meaning{codeThrottled, msgThrottled}
	}
	if m, ok := causes[upgrade.CauseOf(err)]; ok {
		return m
	}
	switch {
	case is[*control.Invalid](err):
		return meaning{codeParameter, msgOptionRefused}
	case is[*upgrade.NotFound](err):
		return meaning{codeInstanceAbsent, msgInstanceAbsent}
	case is[*control.Conflict](err):
		return meaning{codeRunning, msgRunning}
	case is[*upgrade.Refused](err):
		return meaning{codeState, msgState}
	case is[*control.Unavailable](err):
		return meaning{codeInternal, msgUnavailable}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return meaning{codeTimeout, msgTimeout}
	}
	return meaning{codeInternal, msgInternal}
}

// detailOf is what control says to people: reason and remedy. Other errors are not for callers.
func detailOf(err error) string {
	if e, ok := errors.AsType[*control.Invalid](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*control.Conflict](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*upgrade.Refused](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*control.Unavailable](err); ok {
		return e.Error()
	}
	return ""
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
