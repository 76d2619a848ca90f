package onhost

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// What the engine is told decides whether a step is tried again, and what the user reads.
func TestAtBorder(t *testing.T) {
	alive := t.Context()
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	refused := &upgrade.Refused{Reason: "port 5433 is taken", Remedy: "choose another"}
	for _, c := range []struct {
		name         string
		ctx          context.Context
		err          error
		cancelled    bool
		nonRetryable bool
		text         string
	}{
		{"a failure is tried again", alive, errors.New("connection refused"), false, false, "connection refused"},
		{"what only the user can mend is not", alive, refused, false, true, "port 5433 is taken; choose another"},
		{"nor when it is wrapped", alive, fmt.Errorf("init target: %w", refused), false, true, "init target: port 5433 is taken; choose another"},
		{"the user's cancel", ended(temporal.NewCanceledError()), context.Canceled, true, false, ""},
		{"the user's cancel, whatever came of it", ended(temporal.NewCanceledError()), refused, true, false, ""},
		{"the end of this agent is none", ended(errors.New("worker is now shutdown")), context.Canceled, false, false, "context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := atBorder(c.ctx, c.err)
			if temporal.IsCanceledError(got) != c.cancelled {
				t.Fatalf("cancelled: got %v", got)
			}
			application, ok := errors.AsType[*temporal.ApplicationError](got)
			if ok == c.cancelled {
				t.Fatalf("got %T %v", got, got)
			}
			if ok && (application.NonRetryable() != c.nonRetryable || application.Message() != c.text) {
				t.Errorf("non-retryable %t, text %q", application.NonRetryable(), application.Message())
			}
		})
	}
	for _, c := range []struct {
		err  error
		want upgrade.Cause
	}{
		{fmt.Errorf("read the roles: %w", &pgconn.PgError{Code: "57014", Message: "canceling statement due to statement timeout"}), upgrade.CauseSQL},
		{fmt.Errorf("connect: %w", &pgconn.ConnectError{}), upgrade.CauseNone},
		{errors.New("no space left on device"), upgrade.CauseNone},
	} {
		var details upgrade.Refused
		application, _ := errors.AsType[*temporal.ApplicationError](atBorder(alive, c.err))
		if application.HasDetails() && application.Details(&details) != nil || details.Cause != c.want || application.NonRetryable() {
			t.Errorf("%v travels as %+v", c.err, details)
		}
	}
	if err := atBorder(alive, nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

// hostActivities are those of the contract, see step/onhost.go.
var hostActivities = []string{
	step.Discover, step.Installations, step.RetireCluster, step.Inspect, step.ChooseTarget, step.Fingerprint, step.CheckEndpoint, step.MakeEndpoint,
	step.RemoveEndpoint, step.Precheck, step.PrepareSource, step.BaseBackup, step.StreamClone,
	step.CreateSlots, step.PromoteClone, step.InitTarget, step.PgUpgrade, step.StartTarget,
	step.Subscribe, step.UpdateExtensions, step.CollectStatistics, step.Synchronize, step.SwitchOver, step.Verify,
	step.FenceForGood, step.CloseWayBack, step.Finish, step.Discard,
	step.PrepareWayBack, step.RefreshMaterializedViews, step.OpenWayBack,
	step.PrepareInPlace, step.UpgradeInPlace, step.FinishInPlace, step.UpdateInPlace, step.AnalyzeInPlace, step.DiscardInPlace,
	step.PrepareCloning, step.DetachClone, step.StartUpgraded, step.FinishClone, step.FollowSource, step.SwitchToClone,
	step.BuildStandbys, step.ReturnToSource, step.RecheckFindings,
}

// registry notes what is registered.
type registry map[string]bool

func (r registry) RegisterActivityWithOptions(_ any, options activity.RegisterOptions) {
	r[options.Name] = true
}

func TestEveryHostActivityIsRegistered(t *testing.T) {
	got := registry{}
	(&Worker{}).Register(got)
	for _, name := range hostActivities {
		if !got[name] {
			t.Errorf("%s is not registered", name)
		}
	}
	if len(got) != len(hostActivities) {
		t.Errorf("registered: %v", got)
	}
}
