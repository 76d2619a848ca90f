package onhost

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
	"github.com/pgleap/pgleap/internal/verify"
)

const (
	// verifyShare is the part of the time that the verification reads: clients have the rest.
	verifyShare = 0.5
	// verifyConnections is how many tables are read at a time, on each side.
	verifyConnections = 2
)

// goneSnapshots is why nothing is compared.
const goneSnapshots = "the snapshots are gone, since the processes that held them were ended, or nobody asked for them in time; rehearse again"

// noteVerified is what the verification of an attempt came to, for whoever asks again.
const noteVerified note = "verified.json"

type verified struct {
	Attempt int                  `json:"attempt"`
	Came    upgrade.Verification `json:"came"`
}

// Verify compares all that both sides held when an attempt stood still. What it cannot find out is
// part of its result: a verification that fails does not fail the upgrade. One that ended with its agent
// goes on where it was.
func (w *Worker) Verify(ctx context.Context, args step.VerifyArgs) (upgrade.Verification, error) {
	files, err := w.files(args.Plan)
	if err != nil {
		return upgrade.Verification{}, err
	}
	if !w.superseded(files, args.Attempt) {
		w.needed(files)
	}
	defer w.sayNeeded(ctx, files)()
	v, err := w.verification(ctx, args, files)
	if err != nil && !temporal.IsCanceledError(context.Cause(ctx)) { // the agent ends, and another one goes on, if soon
		if !w.superseded(files, args.Attempt) {
			w.letExpire(files)
		}
		return v, err
	}
	if ended := w.endVerificationOf(context.WithoutCancel(ctx), files, args.Attempt); ended != nil {
		w.log.WarnContext(ctx, "snapshots that were compared may still be held", "task", args.Plan.Number, "error", ended)
	}
	return v, err
}

// verification is what it came to, if somebody knows, or the comparison.
func (w *Worker) verification(ctx context.Context, args step.VerifyArgs, files files) (upgrade.Verification, error) {
	var known verified
	if found, err := files.read(noteVerified, &known); err == nil && found && known.Attempt == args.Attempt {
		return known.Came, nil
	}
	v, err := w.compare(ctx, args, files)
	if err != nil || w.superseded(files, args.Attempt) {
		return v, err
	}
	if err := files.write(noteVerified, verified{Attempt: args.Attempt, Came: v}); err != nil {
		w.log.WarnContext(ctx, "what the verification came to could not be noted", "task", args.Plan.Number, "error", err)
	}
	return v, nil
}

// compare is the comparison. It is an error if ctx ended first, unless it is cancelled and has found a
// difference: that is to be told.
func (w *Worker) compare(ctx context.Context, args step.VerifyArgs, files files) (upgrade.Verification, error) {
	var kept keptSnapshots
	found, err := files.read(noteSnapshots, &kept)
	if err != nil || !found || kept.Attempt != args.Attempt || !w.held(files) {
		now := w.now().UTC()
		return upgrade.Verification{StartedAt: now, EndedAt: now, Problem: goneSnapshots}, nil //nolint:nilerr // it is a result
	}
	compared, err := openCompared(files, args.Attempt, w.now().UTC())
	w.orWarn(ctx, err)
	defer compared.close()
	v := upgrade.Verification{StartedAt: compared.begun}
	result, err := verify.Data(ctx, kept.pairs(), w.comparison(ctx, args.Plan, kept, compared))
	canceled := temporal.IsCanceledError(context.Cause(ctx))
	if ctx.Err() != nil && (!canceled || len(result.Differences) == 0) {
		return v, ctx.Err()
	}
	told(&v, result)
	if err != nil {
		v.Identical, v.Problem = false, err.Error()
		if errors.Is(err, postgres.ErrNoSnapshot) {
			v.Problem = goneSnapshots + " (" + err.Error() + ")"
		}
	}
	v.EndedAt = w.now().UTC()
	return v, nil
}

// comparison says how to compare.
func (w *Worker) comparison(ctx context.Context, plan upgrade.Plan, kept keptSnapshots, compared *compared) verify.Options {
	progress := progressOf(ctx)
	return verify.Options{
		Join: func(ctx context.Context, side verify.Side, database string) (*pgx.Conn, error) {
			cluster := plan.Source
			if side == verify.Target {
				cluster = plan.Target
			}
			session := quiet(login(plan, cluster)).With(map[string]string{"application_name": upgrade.VerificationSession})
			return postgres.Connect(ctx, session.In(database))
		},
		LeavesUnlogged: func(database string, table postgres.ContentTable) bool {
			return plan.Options.AcceptsObject("unlogged-tables", database, table.Schema, table.Name)
		},
		Connections: verifyConnections, Share: verifyShare, Opened: kept.TakenAt, Values: plan.Options.ShowValues,
		State: &compared.state, Entered: func(e verify.Entry) { w.orWarn(ctx, compared.enter(e)) },
		Progress: func(p verify.Progress) {
			progress.text(fmt.Sprintf("verification: %d of %d tables, %d of %d MiB", p.TablesDone, p.Tables, p.BytesDone>>20, p.Bytes>>20))
		},
	}
}

func (w *Worker) orWarn(ctx context.Context, err error) {
	if err != nil {
		w.log.WarnContext(ctx, "what was compared will be compared again if the agent is restarted", "error", err)
	}
}

// told takes over what the comparison says, as far as a task's record should hold it.
func told(v *upgrade.Verification, r verify.Result) {
	v.Identical = r.Identical()
	v.Tables, v.Rows, v.Bytes, v.Total = r.Tables, r.Rows, r.Bytes, len(r.Differences)
	for _, d := range r.Differences[:min(len(r.Differences), upgrade.MaxDifferences)] {
		v.Differences = append(v.Differences, upgrade.Difference{
			Kind: d.Kind, Database: d.Database, Object: d.Object, Detail: d.Detail, Keys: rowsOf(d.Rows),
		})
	}
	for _, left := range r.NotCompared[:min(len(r.NotCompared), upgrade.MaxDifferences)] {
		v.NotCompared = append(v.NotCompared, fmt.Sprintf("%s, %s: %s", left.Database, left.Object, left.Reason))
	}
}
