package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Summary is a line of the history: a task without its plan. Its times are in order, whatever the
// clocks of the hosts said: StartedAt, SwitchStartedAt, SwitchEndedAt, EndedAt.
type Summary struct {
	Number   int64
	ID       string // UUID
	Kind     upgrade.TaskKind
	Instance string
	Mode     upgrade.Mode
	Source   upgrade.VersionNum
	Target   upgrade.Major
	// TargetVersion is that of the target's programs.
	TargetVersion upgrade.VersionNum
	Status        upgrade.Status
	Phase         upgrade.Phase
	Reason        string
	Statistics    upgrade.Statistics
	StartedAt     time.Time
	EndedAt       *time.Time
	// SwitchStartedAt and SwitchEndedAt are when clients waited in the last switchover; Switched
	// tells whether they went on at the target.
	SwitchStartedAt *time.Time
	SwitchEndedAt   *time.Time
	Switched        bool
	// Followed tells whether the source has followed the target, which keeps a way back open.
	Followed bool
	// CloneOnly tells whether the upgrade was to make a clone, and to move nobody.
	CloneOnly bool
	// Clone is the id of the instance that the upgrade made beside its own; empty: none.
	Clone string
	// Log has a line for each event: "2026-03-01 12:00:00 --- What happened.\n", in UTC.
	Log string
}

// HistoryFilter chooses a page of the history of an instance: of its tasks of one kind. What else is
// empty does not matter.
type HistoryFilter struct {
	Instance string
	// OfAllTimes keeps what a removed instance did that had the same id before, too.
	OfAllTimes bool
	Kind       upgrade.TaskKind
	Mode       upgrade.Mode
	Target     upgrade.Major
	Number     int64
	// PassedAt keeps only prechecks whose report passed and is valid at that moment.
	PassedAt    time.Time
	ByEnd       bool // sorted by the end, what runs being newest; otherwise by the start
	ByExpiry    bool // sorted by when the report expires; who has none has expired with its end, and what runs is newest
	OldestFirst bool
	Limit       int // 0: all
	Offset      int
}

const summaryColumns = `number, id, kind, instance, mode, source, target, target_version,
       status, phase, reason, statistics, started_at, ended_at, switch_started_at, switch_ended_at, switched, clone_only, clone, log, phases`

// Conditions are put together, and not switched off by a parameter: only so is an index found.
const (
	ofHistory = ` FROM task WHERE instance = $1`

	// sinceAdded leaves out what a removed instance did that had the id before. The indexes have that time, too.
	sinceAdded = ` AND started_at >= coalesce((SELECT created_at FROM instance WHERE id = $1), 0)`

	passedReport = ` AND EXISTS (SELECT 1 FROM report WHERE report.number = task.number AND passed = 1 AND retired = 0 AND valid_until > `
)

func (f HistoryFilter) conditions() (where string, args []any) {
	where, args = ofHistory, []any{legible(f.Instance)}
	// A word of the statement, and no parameter: one that a partial index is about makes SQLite compile
	// a statement anew each time that it is bound.
	kind := "'precheck'"
	if f.Kind == upgrade.TaskUpgrade {
		kind = "'upgrade'"
	}
	where += " AND kind = " + kind
	if !f.OfAllTimes {
		where += sinceAdded
	}
	add := func(condition string, value any) {
		args = append(args, value)
		where += fmt.Sprintf(condition, len(args))
	}
	if f.Mode != "" {
		add(" AND mode = $%d", f.Mode)
	}
	if f.Target != 0 {
		add(" AND target = $%d", f.Target)
	}
	if f.Number != 0 {
		add(" AND number = $%d", f.Number)
	}
	if !f.PassedAt.IsZero() {
		add(passedReport+"$%d)", instant{&f.PassedAt})
	}
	return where, args
}

func (f HistoryFilter) order() string {
	order := "number DESC"
	switch {
	case f.ByExpiry:
		order = fmt.Sprintf("coalesce((SELECT valid_until FROM report WHERE report.number = task.number), ended_at, %d) DESC, number DESC",
			int64(math.MaxInt64))
	case f.ByEnd:
		order = fmt.Sprintf("coalesce(ended_at, %d) DESC, number DESC", int64(math.MaxInt64))
	}
	if f.OldestFirst {
		order = strings.ReplaceAll(order, "DESC", "ASC")
	}
	return " ORDER BY " + order
}

// page is the query for the filter's page.
func (f HistoryFilter) page() (query string, args []any) {
	where, args := f.conditions()
	// Without the casts SQLite compiles the statement anew each time that they are bound (expr.c, sqlite3ExprIsInteger).
	of := f.order() + fmt.Sprintf(" LIMIT CAST($%d AS BIGINT) OFFSET CAST($%d AS BIGINT)", len(args)+1, len(args)+2)
	args = append(args, limit(f.Limit), f.Offset)
	if f.Offset > 0 { // PostgreSQL would read all tasks of the pages before; their numbers are in the index
		where, of = " FROM task WHERE number IN (SELECT number"+where+of+")", f.order()
	}
	return "SELECT " + summaryColumns + where + of, args
}

// History returns a page of the history of an instance, and how long the whole is. A page that is not full tells that;
// a task that begins while the rest is counted makes neither of them wrong.
func (c *Catalog) History(ctx context.Context, f HistoryFilter) (page []Summary, total int, err error) {
	query, args := f.page()
	statement, err := c.prepared(ctx, c.read, query)
	if err == nil {
		page, err = collectFrom(ctx, statement, scanSummary, args...)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read history of instance %q: %w", f.Instance, err)
	}
	seen := f.Offset + len(page)
	if int64(len(page)) < limit(f.Limit) && (len(page) > 0 || f.Offset == 0) {
		return page, seen, nil
	}
	where, args := f.conditions()
	count, err := c.prepared(ctx, c.read, "SELECT count(*)"+where)
	if err == nil {
		err = count.QueryRowContext(ctx, args...).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count history of instance %q: %w", f.Instance, err)
	}
	if len(page) > 0 {
		total = max(total, seen)
	}
	return page, total, nil
}

// followingPhase is in the phases of a task whose source has followed its target. They are JSON, as Go writes it.
const followingPhase = `"phase":"` + string(upgrade.PhaseFollowing) + `"`

func scanSummary(r row) (Summary, error) {
	var s Summary
	var started, switched, cloneOnly int64
	var phases string
	var ended, switchStarted, switchEnded sql.Null[int64]
	err := r.Scan(&s.Number, &s.ID, &s.Kind, &s.Instance, &s.Mode, &s.Source, &s.Target, &s.TargetVersion, &s.Status, &s.Phase, &s.Reason,
		&s.Statistics, &started, &ended, &switchStarted, &switchEnded, &switched, &cloneOnly, &s.Clone, &s.Log, &phases)
	s.StartedAt, s.Switched, s.CloneOnly = time.UnixMicro(started).UTC(), switched != 0, cloneOnly != 0
	s.Followed = strings.Contains(phases, followingPhase)
	s.SwitchStartedAt, s.SwitchEndedAt, s.EndedAt = inOrder(started, switchStarted, switchEnded, ended)
	return s, err
}

// inOrder lets no time come before the one that it must follow. The end of a switchover whose beginning is not
// known is none.
func inOrder(since int64, switchStarted, switchEnded, ended sql.Null[int64]) (_, _, _ *time.Time) {
	follow := func(at sql.Null[int64]) *time.Time {
		if !at.Valid {
			return nil
		}
		since = max(since, at.V)
		t := time.UnixMicro(since).UTC()
		return &t
	}
	a := follow(switchStarted)
	if !switchStarted.Valid {
		switchEnded.Valid = false
	}
	b := follow(switchEnded)
	return a, b, follow(ended)
}

// switchover is what the history tells of a task's last switchover.
type switchover struct {
	switched           int64
	startedAt, endedAt any
}

func switchoverColumns(s *upgrade.Switchover) switchover {
	if s == nil {
		return switchover{}
	}
	columns := switchover{switched: flag(s.OnTarget())}
	if s.StartedAt.IsZero() {
		return columns // it was undone after a crash: nobody knows since when clients had waited
	}
	columns.startedAt = instant{&s.StartedAt}
	if !s.EndedAt.IsZero() {
		columns.endedAt = instant{&s.EndedAt}
	}
	return columns
}

func statisticsOf(p *upgrade.Plan) upgrade.Statistics {
	if p == nil {
		return ""
	}
	return p.Options.Statistics
}

func isCloneOnly(p *upgrade.Plan) bool { return p != nil && p.Options.CloneOnly }

func targetVersionOf(p *upgrade.Plan) upgrade.VersionNum {
	if p == nil {
		return 0
	}
	return p.Target.Version
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// logLine is an event as a line: the time to the second in UTC, and a sentence.
func logLine(at time.Time, text string) string {
	return at.UTC().Format(time.DateTime) + " --- " + asSentence(text) + "\n"
}

// asSentence puts a text on one line, with a capital letter and a full stop.
func asSentence(text string) string {
	text = strings.Join(strings.Fields(legible(text)), " ")
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	// A program's name, such as pg_upgrade, is written as it is.
	if word, _, _ := strings.Cut(text, " "); !strings.Contains(word, "_") {
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}
