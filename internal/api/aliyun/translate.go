package aliyun

import (
	"context"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// translated wraps an operation: its errors get the vendor's codes. What lies behind one that is
// pgleap's own fault is for the log, and not for the caller.
func translated(do func(context.Context, *api, *call) (any, error)) func(context.Context, *api, *call) (any, error) {
	return func(ctx context.Context, a *api, c *call) (any, error) {
		answer, err := do(ctx, a, c)
		if err == nil {
			return answer, nil
		}
		if e, ok := errors.AsType[*control.Unavailable](err); ok {
			a.log.WarnContext(ctx, "request not served", "request", c.requestID, "error", err, "cause", e.Err)
		}
		return nil, translate(err)
	}
}

// translate gives an error of the one door the vendor's code. What it does not know it leaves as
// it is: the frame takes that for a fault of pgleap's own.
func translate(err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if missing, ok := errors.AsType[*upgrade.NotFound](err); ok {
		return missed(missing)
	}
	if code := codeOf(err); code != "" {
		return fail(code, explained(err))
	}
	return err
}

// fromRecord says of an error of a call that needs the record only whose fault it is, if nothing
// else is known.
func fromRecord(err error) error {
	if err == nil || isNotFound(err) || codeOf(err) != "" || errors.Is(err, context.Canceled) {
		return err
	}
	return &control.Unavailable{
		Reason: "the record cannot be read", Remedy: "see the server's log",
		Cause: upgrade.CauseCatalogue, Err: err,
	}
}

// missed names what does not exist. A former cluster is an instance to the vendor.
func missed(missing *upgrade.NotFound) error {
	switch missing.Kind {
	case "task":
		return fail("Request.NotFound", fmt.Sprintf("Task %s does not exist.", missing.Name))
	case "report":
		return fail("InvalidUpgradePrecheckResult", fmt.Sprintf("Report %s does not exist.", missing.Name))
	}
	return fail("InvalidDBInstanceName.NotFound", fmt.Sprintf("Instance %s does not exist.", missing.Name))
}

func isNotFound(err error) bool {
	_, none := errors.AsType[*upgrade.NotFound](err)
	return none
}

// codeOf is the vendor's code for why something cannot be done: by the cause if there is one, else
// by the kind of error.
func codeOf(err error) string {
	if code := codeOfCause(upgrade.CauseOf(err)); code != "" {
		return code
	}
	if _, ok := errors.AsType[*control.Invalid](err); ok {
		return "Parameters.Invalid"
	}
	if _, ok := errors.AsType[*control.Conflict](err); ok {
		return "InvalideStatus.Format"
	}
	if _, ok := errors.AsType[*control.Unavailable](err); ok {
		return "ServiceUnavailable"
	}
	// What an agent failed with, or refused without giving a cause, has passed its retries.
	if _, ok := errors.AsType[*upgrade.Refused](err); ok {
		return "ExternalFailure"
	}
	return ""
}

func codeOfCause(cause upgrade.Cause) string {
	switch cause {
	case upgrade.CauseMode, upgrade.CauseModeUnavailable:
		return "InvalidUpgradeMode"
	case upgrade.CauseTarget:
		return "InvalidEngineVersion"
	case upgrade.CauseOption:
		return "Parameters.Invalid"
	case upgrade.CauseNoReport, upgrade.CauseStorage:
		return "InvalidUpgradePrecheckResult"
	case upgrade.CauseStandbys:
		return "PrimaryInstanceWithReadonlyNotSupport"
	case upgrade.CauseRunning, upgrade.CausePhase, upgrade.CauseNoEndpoint, upgrade.CauseServing:
		return "InvalideStatus.Format"
	case upgrade.CauseDown:
		return "IncorrectDBInstanceState"
	case upgrade.CauseRetired:
		return "ProductInstanceReleased"
	case upgrade.CauseSuperuser:
		return "Abs.InvalidAccount.NotFound"
	case upgrade.CauseNotPostgres:
		return "InvalidDBInstanceEngineType.Format"
	case upgrade.CauseSQL:
		return "SqlExecuteFailedOrTimeout"
	case upgrade.CausePlace:
		return "OperationDenied.ZoneResource"
	case upgrade.CauseFailed:
		return "ExternalFailure"
	case upgrade.CauseAgent:
		return "HostInfo.NotFound"
	case upgrade.CauseEngine:
		return "InvokeProxyFailure"
	case upgrade.CauseCatalogue:
		return "RequestMetaDataFailed"
	}
	return ""
}

// explained is what the one door said, as a sentence: the reason and the remedy.
func explained(err error) string {
	said, ok := errors.AsType[interface {
		error
		Why() upgrade.Cause
	}](err)
	if !ok {
		return ""
	}
	return sentence(said.Error())
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return fullStop(string(unicode.ToUpper(first)) + text[size:])
}
