package onhost

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// A cluster that clients are being brought back to is not stopped, however far the way back is from its journal's first
// line; and to one that is being retired none begins, though it runs still.
func TestRetireBesideReturn(t *testing.T) {
	w := workerIn(t.TempDir(), t.TempDir(), GuardCommand{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	inspect := func() upgrade.Cluster {
		server := pgtest.Start(t, pgtest.Versions(t)[0])
		cluster, err := w.host.Inspect(t.Context(), step.InspectArgs{Pgdata: server.Pgdata})
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	plan := upgrade.Plan{Number: 7, ID: "x", Mode: upgrade.BlueGreen, Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer}, Source: inspect(), Target: inspect()}
	hasSwitched(t, w, plan)
	running := func() bool {
		_, is := w.host.Running(plan.Source)
		return is
	}
	goBack := func(ctx context.Context) string {
		t.Helper()
		outcome, err := w.returnOnce(ctx, step.SwitchOverArgs{Plan: plan.Back(), Attempt: 2})
		if err != nil || outcome.Switched {
			t.Fatalf("it went back: %+v, %v", outcome, err)
		}
		return outcome.Reason
	}

	asked := false
	ctx, cancel := context.WithCancel(t.Context())
	goBack(context.WithValue(ctx, progressKey{}, &progress{beat: func(now upgrade.Progress) {
		asked = asked || now.Text == "proving that nothing was written"
		if _, err := w.RetireCluster(t.Context(), plan.Source); upgrade.CauseOf(err) != upgrade.CauseServing || !running() {
			t.Errorf("retired at %q: %v, running %t", now.Text, err, running())
		}
		cancel() // there is no role of pgleap's to go on with
	}}))
	if !asked {
		t.Error("it did not come to its proof")
	}

	end, ok := w.fates.begin(plan.Source, isRetired)
	if !ok {
		t.Fatal("a way back that has ended keeps the cluster from being retired")
	}
	if reason := goBack(t.Context()); !strings.Contains(reason, "is being retired") {
		t.Errorf("it does not go back since %q", reason)
	}
	if _, err := w.RetireCluster(t.Context(), plan.Source); err != nil || running() {
		t.Errorf("asked twice to retire: %v, running %t", err, running())
	}
	end()
	if reason := goBack(t.Context()); !strings.Contains(reason, "does not run") {
		t.Errorf("when it was retired it does not go back since %q", reason)
	}
}

// hasSwitched writes the journal of a switchover that has brought clients to an upgrade's target.
func hasSwitched(t *testing.T, w *Worker, plan upgrade.Plan) {
	t.Helper()
	path, err := w.journalPath(step.SwitchOverArgs{Plan: plan, Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	journal, outcome := switchover.OpenJournal(path, time.Now), upgrade.Switchover{Switched: true, EndedAt: time.Now()}
	for _, write := range []func() error{
		func() error { return journal.Begin(t.Context(), switchover.Intent{Plan: plan}) },
		func() error { return journal.Commit(outcome) },
		func() error { return journal.Done(outcome) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
}
