package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Upgrade starts an upgrade and returns its task. It begins with a precheck, always: that is
// light, and what a report saw days ago may have changed unseen.
func (c *Control) Upgrade(ctx context.Context, who Actor, req UpgradeRequest) (_ upgrade.Task, err error) {
	defer func() { c.audit(ctx, who, "upgrade", req.Instance, err) }()
	if err := req.validate(); err != nil {
		return upgrade.Task{}, err
	}
	plan, err := c.plan(ctx, req)
	if err != nil {
		return upgrade.Task{}, err
	}
	if plan.Endpoint.Driver == "" && movesClients(plan) {
		return upgrade.Task{}, &upgrade.Refused{
			Reason: fmt.Sprintf("instance %s has no endpoint: nothing could move its clients", plan.Instance),
			Remedy: "remove it and add it again with --pgbouncer own or --pgbouncer adopt",
			Cause:  upgrade.CauseNoEndpoint,
		}
	}
	if err := c.refuseOwnCluster(ctx, plan); err != nil {
		return upgrade.Task{}, err
	}
	report, note, valid, err := c.reportNote(ctx, plan)
	if err != nil {
		return upgrade.Task{}, err
	}
	if req.RequireReport {
		if !valid {
			return upgrade.Task{}, notAllowed(plan, report, note)
		}
		if plan.Options.Accepted, err = c.acceptedBy(ctx, report); err != nil {
			return upgrade.Task{}, err
		}
	}
	return c.start(ctx, who, upgrade.TaskUpgrade, plan, note)
}

// Checks whose blockers are a cause of their own.
const (
	standbysCheck = "standbys" // finds standbys which pgleap cannot make anew
	storageCheck  = "disk-space"
)

// notAllowed is why an upgrade that wants a report cannot begin.
func notAllowed(plan upgrade.Plan, report upgrade.Report, note string) error {
	refused := &Conflict{
		Reason: fmt.Sprintf("no valid report allows the upgrade of instance %s to %d in mode %s. %s",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, note),
		Remedy: "run a precheck for that version and mode: its report is valid for 7 days, unless what it saw changes",
		Cause:  upgrade.CauseNoReport,
	}
	blockers := report.Blockers()
	if len(blockers) != 1 || len(report.NotChecked) > 0 {
		return refused
	}
	switch blockers[0].Check {
	case standbysCheck:
		refused.Reason = fmt.Sprintf("instance %s has standbys that pgleap does not make anew: %s (report %d)",
			plan.Instance, strings.Join(blockers[0].Objects, ", "), report.Number)
		refused.Remedy = fmt.Sprintf("once it is planned what becomes of them, accept each on the host: "+
			"pgleap precheck %s --to %d --mode %s --accept %s:NAME; an upgrade that relies on that report has accepted them too",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, standbysCheck)
		refused.Cause = upgrade.CauseStandbys
	case storageCheck:
		refused.Reason = fmt.Sprintf("there is too little disk space to upgrade instance %s to %d in mode %s: %s (report %d)",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, strings.Join(blockers[0].Objects, ", "), report.Number)
		refused.Remedy = "make room, then run a precheck for that version and mode again"
		refused.Cause = upgrade.CauseStorage
	}
	return refused
}

// acceptedBy lists the findings that the user took upon himself for a report: without them the precheck that an
// upgrade begins with would find the blockers again.
func (c *Control) acceptedBy(ctx context.Context, report upgrade.Report) ([]string, error) {
	task, err := c.catalog.Task(ctx, report.Number)
	if err != nil {
		return nil, ofRecord(fmt.Errorf("find what was accepted for report %d: %w", report.Number, err))
	}
	if task.Plan == nil {
		return nil, nil // an old record
	}
	return task.Plan.Options.Accepted, nil
}

// refuseOwnCluster refuses to upgrade the cluster that the catalogue is in: it would be down or fenced just when
// is to be noted what becomes of it. A clone leaves it as it is.
func (c *Control) refuseOwnCluster(ctx context.Context, plan upgrade.Plan) error {
	if plan.Options.CloneOnly {
		return nil
	}
	own, err := c.catalog.SystemIdentifier(ctx)
	if err != nil {
		return ofRecord(err)
	}
	if own == "" || own != plan.Source.SystemIdentifier {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("pgleap's own catalogue is in instance %s: its system identifier is the same", plan.Instance),
		Remedy: "move the catalogue to another cluster, or leave --catalog out, then upgrade",
		Cause:  upgrade.CauseServing,
	}
}

// movesClients tells whether clients end elsewhere than they were. An instance that is upgraded in place
// keeps its address.
func movesClients(plan upgrade.Plan) bool {
	return plan.Mode != upgrade.InPlace && !plan.Options.CloneOnly
}

// reportNote finds the last report, and says for the task's log what it is worth now.
func (c *Control) reportNote(ctx context.Context, plan upgrade.Plan) (report upgrade.Report, note string, valid bool, err error) {
	report, err = c.catalog.LatestReport(ctx, plan.Instance, plan.Mode, plan.Target.Version.Major())
	if _, none := errors.AsType[*upgrade.NotFound](err); none {
		return upgrade.Report{}, "There is no report yet: the precheck will tell.", false, nil
	}
	if err != nil {
		return upgrade.Report{}, "", false, ofRecord(fmt.Errorf("find the latest report of instance %s: %w", plan.Instance, err))
	}
	switch {
	case !report.Passed():
		note = fmt.Sprintf("Report %d had blockers: the precheck will tell whether they are gone.", report.Number)
	case c.now().After(report.ValidUntil):
		note = fmt.Sprintf("Report %d has expired: the precheck will tell anew.", report.Number)
	case report.Source.Major() != plan.Source.Version.Major():
		note = fmt.Sprintf("Report %d is of another source version: the precheck will tell anew.", report.Number)
	default:
		note, valid = c.seenSince(ctx, plan, report)
	}
	return report, note, valid, nil
}

// seenSince says what a report that passed is worth on what there is now.
func (c *Control) seenSince(ctx context.Context, plan upgrade.Plan, report upgrade.Report) (note string, valid bool) {
	var now upgrade.Fingerprint
	if err := c.ask(ctx, plan.Source.Host, step.Fingerprint, plan, &now); err != nil {
		return fmt.Sprintf("Whether what report %d saw has changed is unknown (%v): the precheck will tell.", report.Number, err), false
	}
	return stillHolds(report, now)
}

// stillHolds says whether what a report that passed saw is unchanged, and if not, what has changed.
func stillHolds(report upgrade.Report, now upgrade.Fingerprint) (note string, holds bool) {
	changes := upgrade.Changes(report.Seen(), now)
	if len(changes) > 0 {
		return fmt.Sprintf("What report %d saw has changed since: %s. The precheck will tell anew.", report.Number, strings.Join(changes, "; ")), false
	}
	return fmt.Sprintf("Report %d passed, and what it saw is unchanged.", report.Number), true
}
