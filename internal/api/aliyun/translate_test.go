package aliyun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestTranslate(t *testing.T) {
	because := func(cause upgrade.Cause) error {
		return fmt.Errorf("start precheck: %w", &upgrade.Refused{Reason: "this is so", Remedy: "do that", Cause: cause})
	}
	for _, c := range []struct {
		err     error
		code    string
		status  int
		message string
	}{
		{&upgrade.NotFound{Kind: "instance", Name: "a"}, "InvalidDBInstanceName.NotFound", 404, "Instance a does not exist."},
		{fmt.Errorf("x: %w", &upgrade.NotFound{Kind: "former cluster", Name: "a-old-1"}), "InvalidDBInstanceName.NotFound", 404, "Instance a-old-1 does not exist."},
		{&upgrade.NotFound{Kind: "task", Name: "7"}, "Request.NotFound", 404, "Task 7 does not exist."},
		{&upgrade.NotFound{Kind: "report", Name: "7"}, "InvalidUpgradePrecheckResult", 400, "Report 7 does not exist."},
		{because(upgrade.CauseMode), "InvalidUpgradeMode", 400, "This is so; do that."},
		{because(upgrade.CauseModeUnavailable), "InvalidUpgradeMode", 400, "This is so; do that."},
		{because(upgrade.CauseTarget), "InvalidEngineVersion", 400, "This is so; do that."},
		{because(upgrade.CauseOption), "Parameters.Invalid", 400, "This is so; do that."},
		{because(upgrade.CauseStandbys), "PrimaryInstanceWithReadonlyNotSupport", 400, "This is so; do that."},
		{because(upgrade.CauseNoReport), "InvalidUpgradePrecheckResult", 400, "This is so; do that."},
		{because(upgrade.CauseStorage), "InvalidUpgradePrecheckResult", 400, "This is so; do that."},
		{because(upgrade.CauseRunning), "InvalideStatus.Format", 400, "This is so; do that."},
		{because(upgrade.CausePhase), "InvalideStatus.Format", 400, "This is so; do that."},
		{because(upgrade.CauseNoEndpoint), "InvalideStatus.Format", 400, "This is so; do that."},
		{because(upgrade.CauseServing), "InvalideStatus.Format", 400, "This is so; do that."},
		{because(upgrade.CauseDown), "IncorrectDBInstanceState", 400, "This is so; do that."},
		{because(upgrade.CauseRetired), "ProductInstanceReleased", 400, "This is so; do that."},
		{because(upgrade.CauseSuperuser), "Abs.InvalidAccount.NotFound", 400, "This is so; do that."},
		{because(upgrade.CauseNotPostgres), "InvalidDBInstanceEngineType.Format", 400, "This is so; do that."},
		{because(upgrade.CauseSQL), "SqlExecuteFailedOrTimeout", 400, "This is so; do that."},
		{because(upgrade.CausePlace), "OperationDenied.ZoneResource", 403, "This is so; do that."},
		{because(upgrade.CauseFailed), "ExternalFailure", 500, "This is so; do that."},
		{because(upgrade.CauseAgent), "HostInfo.NotFound", 404, "This is so; do that."},
		{because(upgrade.CauseEngine), "InvokeProxyFailure", 500, "This is so; do that."},
		{because(upgrade.CauseCatalogue), "RequestMetaDataFailed", 500, "This is so; do that."},
		{because(upgrade.CauseNone), "ExternalFailure", 500, "This is so; do that."},
		{&control.Invalid{Reason: "no"}, "Parameters.Invalid", 400, "No."},
		{&control.Conflict{Reason: "not now"}, "InvalideStatus.Format", 400, "Not now."},
		{&control.Conflict{Reason: "not yet", Cause: upgrade.CauseNoReport}, "InvalidUpgradePrecheckResult", 400, "Not yet."},
		{&control.Unavailable{Reason: "it rests"}, "ServiceUnavailable", 503, "It rests."},
		{&control.Unavailable{Reason: "it rests", Cause: upgrade.CauseAgent, Err: errors.New("secret of the machine")}, "HostInfo.NotFound", 404, "It rests."},
		{fail("InvalidPayType", "Mine."), "InvalidPayType", 400, "Mine."},
	} {
		e, ok := errors.AsType[*Error](translate(c.err))
		if !ok || e.Code != c.code || e.Status != c.status || e.Message != c.message {
			t.Errorf("%v: got %+v, want %d %s: %s", c.err, e, c.status, c.code, c.message)
			continue
		}
		raised(t, e.Code)
	}
	unknown := errors.New("unknown")
	if got := translate(unknown); !errors.Is(got, unknown) {
		t.Errorf("an unknown error became %v", got)
	}
}

func TestFromRecord(t *testing.T) {
	known := []error{
		nil, &upgrade.NotFound{Kind: "instance", Name: "a"}, &control.Conflict{Reason: "x"}, fmt.Errorf("read: %w", context.Canceled),
	}
	for _, err := range known {
		if got := fromRecord(err); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	broken := errors.New("disk I/O error")
	got := fromRecord(broken)
	e, _ := errors.AsType[*Error](translate(got))
	if e == nil || e.Code != "RequestMetaDataFailed" || strings.Contains(e.Message, "disk") || !errors.Is(got, broken) {
		t.Errorf("got %v", e)
	}
}

// A record that is gone is nobody's fault but pgleap's.
func TestOperationsWithoutARecord(t *testing.T) {
	b := newBed(t, Options{})
	b.ok(b.record.Close())
	for _, a := range actions() {
		if a.name == "DescribeRegions" {
			continue
		}
		p := with(params{instanceName: "orders", "Type": "switch", "MaintainTime": "18:00Z-22:00Z"})
		answer, err := b.do(a.name, p)
		if err == nil {
			t.Errorf("%s: got %+v", a.name, answer)
		}
		e, ok := errors.AsType[*Error](err)
		if a.level != "update" && ok && e.Status < 500 {
			t.Errorf("%s: got %v", a.name, err)
		}
	}
}
