package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// worth is what the last report is worth to an upgrade.
type worth struct {
	report  upgrade.Report
	note    string // it in a sentence, for the task's log
	current bool   // whether it tells of this upgrade, as things are now
	others  bool   // whether it answers other questions than this upgrade asks
	// accepted are the findings that the user took upon himself for it: without them the precheck that an upgrade
	// begins with would find the blockers again.
	accepted []string
}

// allows tells whether an upgrade that wants a report may begin.
func (w worth) allows() bool { return w.current && w.report.Passed() }

// inherited names, for the task's log, what an upgrade has accepted that rests on the report: some of it is data that the
// target will not have, and whoever starts the upgrade need not be who accepted that.
func (w worth) inherited() []string {
	if len(w.accepted) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("This upgrade has accepted what was accepted for report %d: %s.", w.report.Number, strings.Join(w.accepted, ", "))}
}

// worthOfReport finds the last report for a plan's instance, mode and target version, and what it is worth now. One that
// was asked all that is asked for the plan counts before a later one that was not, as the upgrade to a clone leaves one.
func (c *Control) worthOfReport(ctx context.Context, plan upgrade.Plan) (w worth, err error) {
	serves := func(made *upgrade.Plan) bool { return made == nil || len(unasked(*made, plan)) == 0 }
	var made *upgrade.Plan
	w.report, made, err = c.catalog.LatestReport(ctx, plan.Instance, plan.Mode, plan.Target.Version.Major(), serves)
	if _, none := errors.AsType[*upgrade.NotFound](err); none {
		return worth{note: "There is no report yet: the precheck will tell."}, nil
	}
	if err != nil {
		return worth{}, ofRecord(fmt.Errorf("find the latest report of instance %s: %w", plan.Instance, err))
	}
	var instead []string
	if made != nil { // else it is an old record
		instead, w.accepted = unasked(*made, plan), made.Options.Accepted
	}
	w.others = len(instead) > 0
	switch {
	case c.now().After(w.report.ValidUntil):
		w.note = fmt.Sprintf("Report %d has expired: the precheck will tell anew.", w.report.Number)
	case w.report.Source.Major() != plan.Source.Version.Major():
		w.note = fmt.Sprintf("Report %d is of another source version: the precheck will tell anew.", w.report.Number)
	case w.others:
		w.note = fmt.Sprintf("Report %d is for something else than this upgrade: %s. The precheck will tell anew.",
			w.report.Number, strings.Join(instead, "; "))
	default:
		w.note, w.current = c.seenSince(ctx, plan, w.report)
	}
	return w, nil
}

// seenSince says what a report is worth on what there is now.
func (c *Control) seenSince(ctx context.Context, plan upgrade.Plan, report upgrade.Report) (note string, current bool) {
	var now upgrade.Fingerprint
	if err := c.ask(ctx, plan.Source.Host, step.Fingerprint, plan, &now); err != nil {
		return fmt.Sprintf("Whether what report %d saw has changed is unknown (%v): the precheck will tell.", report.Number, err), false
	}
	return stillHolds(report, now)
}

// stillHolds says whether what a report saw is unchanged, and if not, what has changed.
func stillHolds(report upgrade.Report, now upgrade.Fingerprint) (note string, holds bool) {
	changes := upgrade.Changes(report.Seen(), now)
	switch {
	case len(changes) > 0:
		return fmt.Sprintf("What report %d saw has changed since: %s. The precheck will tell anew.", report.Number, strings.Join(changes, "; ")), false
	case !report.Passed():
		return fmt.Sprintf("Report %d had blockers: the precheck will tell whether they are gone.", report.Number), true
	}
	return fmt.Sprintf("Report %d passed, and what it saw is unchanged.", report.Number), true
}

// Checks whose blockers are a cause of their own.
const (
	standbysCheck = "standbys" // finds standbys which pgleap cannot make anew
	storageCheck  = "disk-space"
)

// notAllowed is why an upgrade that wants a report cannot begin. What a report found that is not current says nothing
// about it.
func notAllowed(plan upgrade.Plan, w worth) error {
	refused := &Conflict{
		Reason: fmt.Sprintf("no valid report allows the upgrade of instance %s to %d in mode %s. %s",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, w.note),
		Remedy: "run a precheck for that version and mode: its report is valid for 7 days, unless what it saw changes",
		Cause:  upgrade.CauseNoReport,
	}
	if w.others {
		refused.Remedy = fmt.Sprintf("run a precheck for that version and mode again by this API, or, to accept findings, on the host: pgleap precheck %s --to %d --mode %s",
			plan.Instance, plan.Target.Version.Major(), plan.Mode)
		return refused
	}
	blockers := w.report.Blockers()
	if !w.current || len(blockers) != 1 || len(w.report.NotChecked) > 0 {
		return refused
	}
	switch blockers[0].Check {
	case standbysCheck:
		refused.Reason = fmt.Sprintf("instance %s has standbys that pgleap does not make anew: %s (report %d)",
			plan.Instance, strings.Join(blockers[0].Objects, ", "), w.report.Number)
		refused.Remedy = fmt.Sprintf("once it is planned what becomes of them, accept each on the host: "+
			"pgleap precheck %s --to %d --mode %s --accept %s:NAME; an upgrade that relies on that report has accepted them too",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, standbysCheck)
		refused.Cause = upgrade.CauseStandbys
	case storageCheck:
		refused.Reason = fmt.Sprintf("there is too little disk space to upgrade instance %s to %d in mode %s: %s (report %d)",
			plan.Instance, plan.Target.Version.Major(), plan.Mode, strings.Join(blockers[0].Objects, ", "), w.report.Number)
		refused.Remedy = "make room, then run a precheck for that version and mode again"
		refused.Cause = upgrade.CauseStorage
	}
	return refused
}
