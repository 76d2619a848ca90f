package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// printTask prints all there is to know of a task, but its report.
func printTask(out io.Writer, t upgrade.Task, events []client.Event, now time.Time) error {
	if err := table(out, describeTask(t, now)); err != nil {
		return err
	}
	if len(t.Phases) > 0 {
		fmt.Fprint(out, "\nPhases:\n")
		if err := table(out, phaseRows(t, now)); err != nil {
			return err
		}
	}
	if t.Progress != nil && !t.Status.Ended() {
		fmt.Fprintf(out, "\nNow: %s\n", progressLine(*t.Progress))
	}
	if t.Rehearsal != nil {
		fmt.Fprintln(out)
		printRehearsal(out, *t.Rehearsal, limitOf(client.SwitchoverRequest{}, t))
	}
	if t.Switchover != nil {
		fmt.Fprintln(out)
		printSwitchover(out, *t.Switchover)
	}
	if t.Verification != nil {
		printVerification(out, *t.Verification)
	}
	if err := printComparison(out, t.Comparison); err != nil {
		return err
	}
	if len(events) > 0 {
		fmt.Fprint(out, "\nLog:\n")
	}
	for _, e := range events {
		fmt.Fprintf(out, "  %s  %-7s  %s\n", timestamp(e.At), e.Level, e.Text)
	}
	return nil
}

func describeTask(t upgrade.Task, now time.Time) [][]string {
	ended := now
	if t.EndedAt != nil {
		ended = *t.EndedAt
	}
	rows := [][]string{
		{"Task:", fmt.Sprintf("%d (%s %s)", t.Number, t.Kind, t.ID)},
		{"Instance:", t.Instance},
		{"From:", version(t.Source)},
		{"To:", fmt.Sprint(t.Target)},
		{"Mode:", string(t.Mode)},
		{"Status:", string(t.Status)},
		{"Phase:", string(t.Phase)},
		{"Started:", fmt.Sprintf("%s by %s", timestamp(t.StartedAt), orDash(t.RequestedBy))},
		{"Took:", report.Span(ended.Sub(t.StartedAt))},
	}
	if t.Reason != "" {
		rows = append(rows, []string{"Reason:", t.Reason})
	}
	if t.Kind == upgrade.TaskUpgrade && t.Plan != nil {
		rows = append(rows, []string{"Target:", fmt.Sprintf("%s (port %d)", t.Plan.Target.Pgdata, t.Plan.Target.Port)})
	}
	return rows
}

func phaseRows(t upgrade.Task, now time.Time) [][]string {
	rows := make([][]string, 0, len(t.Phases))
	for _, p := range t.Phases {
		took := report.Span(now.Sub(p.StartedAt)) + " so far"
		if p.EndedAt != nil {
			took = report.Pause(p.EndedAt.Sub(p.StartedAt))
		}
		rows = append(rows, []string{"  " + string(p.Phase), p.StartedAt.Local().Format(time.TimeOnly), took})
	}
	return rows
}

// printSwitchover prints what a switchover did, and how long each part of it took.
func printSwitchover(out io.Writer, s upgrade.Switchover) {
	switch {
	case s.Switched && s.Back:
		fmt.Fprintf(out, "Switched back: clients paused for %s and are on the source (port %d) again.\n", report.Pause(s.Pause), s.TargetPort)
	case s.Switched:
		fmt.Fprintf(out, "Switched over: clients paused for %s and are on the target (port %d) now.\n", report.Pause(s.Pause), s.TargetPort)
	default:
		over, where := "over", "source"
		if s.Back {
			over, where = "back", "target"
		}
		waited := "did not wait"
		if s.Pause > 0 {
			waited = "paused for " + report.Pause(s.Pause)
		}
		fmt.Fprintf(out, "Not switched %s: %s.\nClients are on the %s; they %s.\n", over, orDash(s.Reason), where, waited)
	}
	printSteps(out, s)
}

func printSteps(out io.Writer, s upgrade.Switchover) {
	rows := make([][]string, 0, len(s.Steps))
	for _, step := range s.Steps {
		rows = append(rows, []string{"  " + step.Step, report.Pause(step.Duration)})
	}
	table(out, rows) //nolint:errcheck // the next line fails likewise
}

// printRehearsal prints what a rehearsal did, and what its verification came to.
func printRehearsal(out io.Writer, r upgrade.Rehearsal, limit time.Duration) {
	what, where := "switchover", "source"
	if r.Outcome.Back {
		what, where = "switchback", "target"
	}
	if r.Outcome.Rehearsed {
		fmt.Fprintf(out, "Rehearsed: clients paused for %s of the %s that a %s may take, and went on at the %s.\n", report.Pause(r.Outcome.Pause), report.Span(limit), what, where)
	} else {
		fmt.Fprintf(out, "Rehearsal failed: %s.\nClients are on the %s.\n", orDash(r.Outcome.Reason), where)
	}
	printSteps(out, r.Outcome)
	if r.Earlier != nil && r.Difference() == r.Earlier {
		fmt.Fprint(out, "An earlier rehearsal found a difference, which stops a switchover: ")
		printVerification(out, *r.Earlier)
	}
	if r.Verification != nil {
		printVerification(out, *r.Verification)
	} else if r.Outcome.Rehearsed {
		fmt.Fprintln(out, "Both sides are being compared.")
	}
}

func printVerification(out io.Writer, v upgrade.Verification) {
	text := v.String()
	fmt.Fprintf(out, "%s%s.\n", strings.ToUpper(text[:1]), text[1:])
	for _, d := range v.Differences {
		fmt.Fprintf(out, "  different: %s\n", d)
	}
	for _, left := range v.NotCompared {
		fmt.Fprintf(out, "  not compared: %s\n", left)
	}
}

// printEnd is the last word on a task that was followed: to its end, or until only its way back is open.
func printEnd(out io.Writer, t upgrade.Task) error {
	took := ""
	if t.EndedAt != nil {
		took = " after " + report.Span(t.EndedAt.Sub(t.StartedAt))
	}
	if t.OnTarget() {
		printSwitchover(out, *t.Switchover)
	}
	if t.Verification != nil {
		printVerification(out, *t.Verification)
	}
	kind := "Upgrade"
	if t.Kind == upgrade.TaskPrecheck {
		kind = "Precheck"
	}
	if !t.Status.Ended() {
		_, err := fmt.Fprintf(out, "The source follows the target. The way back: pgleap switchover %s back. To give it up: pgleap finish %s\n", t.Instance, t.Instance)
		return err
	}
	_, err := fmt.Fprintf(out, "%s %d has ended%s: %s.\n", kind, t.Number, took, t.Status)
	return err
}
