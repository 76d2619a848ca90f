package onhost

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
	"github.com/pgleap/pgleap/internal/verify"
)

const (
	// verifyShare is the part of the time that the verification reads: clients have the rest.
	verifyShare = 0.5
	// verifyConnections is how many tables are read at a time, on each side.
	verifyConnections = 2
	// snapshotPatience is how long snapshots wait for their verification to begin. They keep VACUUM
	// from its work, so nobody's are kept.
	snapshotPatience = 5 * time.Minute
)

// snapshots are what attempts have kept for their verification. They live as long as this process:
// a snapshot is a transaction.
type snapshots struct {
	mu     sync.Mutex
	byName map[string]keptSnapshots
}

type keptSnapshots struct {
	switchover.Snapshots
	expiry *time.Timer
}

func (s *snapshots) keep(name string, kept switchover.Snapshots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string]keptSnapshots{}
	}
	s.byName[name] = keptSnapshots{kept, time.AfterFunc(snapshotPatience, func() {
		if forgotten, ok := s.take(name); ok {
			forgotten.Close()
		}
	})}
}

// drop closes what an upgrade's other attempts have kept: their verification was never begun, and the
// snapshots would be in the way of VACUUM.
func (s *snapshots) drop(task, but string) {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.byName))
	s.mu.Unlock()
	for _, name := range names {
		if strings.HasPrefix(name, task+"-") && name != but {
			if kept, ok := s.take(name); ok {
				kept.Close()
			}
		}
	}
}

// take gives the snapshots of an attempt to whoever comes first.
func (s *snapshots) take(name string) (switchover.Snapshots, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.byName[name]
	if ok {
		kept.expiry.Stop()
		delete(s.byName, name)
	}
	return kept.Snapshots, ok
}

// Verify compares all that both sides held when an attempt stood still. What it cannot find out is
// part of its result: a verification that fails does not fail the upgrade.
func (w *Worker) Verify(ctx context.Context, args step.VerifyArgs) (upgrade.Verification, error) {
	v := upgrade.Verification{StartedAt: w.now().UTC()}
	kept, ok := w.snapshots.take(attemptName(args.Plan, args.Attempt))
	if !ok {
		v.EndedAt = w.now().UTC()
		v.Problem = "the snapshots are gone, since the agent was restarted, or nobody asked for them in time; rehearse again"
		return v, nil
	}
	defer kept.Close()
	progress := progressOf(ctx)
	result, err := verify.Data(ctx, kept.Pairs, verify.Options{
		Join: func(ctx context.Context, side verify.Side, database string) (*pgx.Conn, error) {
			cluster := args.Plan.Source
			if side == verify.Target {
				cluster = args.Plan.Target
			}
			return postgres.Connect(ctx, quiet(login(args.Plan, cluster)).In(database))
		},
		LeavesUnlogged: func(database string, table postgres.ContentTable) bool {
			return args.Plan.Options.AcceptsObject("unlogged-tables", database, table.Schema, table.Name)
		},
		Connections: verifyConnections, Share: verifyShare, Opened: kept.TakenAt,
		Progress: func(p verify.Progress) {
			progress.text(fmt.Sprintf("verification: %d of %d tables, %d of %d MiB", p.TablesDone, p.Tables, p.BytesDone>>20, p.Bytes>>20))
		},
	})
	if ctx.Err() != nil && len(result.Differences) == 0 {
		return v, ctx.Err()
	}
	told(&v, result)
	if err != nil {
		v.Identical, v.Problem = false, err.Error()
	}
	v.EndedAt = w.now().UTC()
	return v, nil
}

// told takes over what the comparison says, as far as a task's record should hold it.
func told(v *upgrade.Verification, r verify.Result) {
	v.Identical = r.Identical()
	v.Tables, v.Rows, v.Bytes, v.Total = r.Tables, r.Rows, r.Bytes, len(r.Differences)
	for _, d := range r.Differences[:min(len(r.Differences), upgrade.MaxDifferences)] {
		v.Differences = append(v.Differences, upgrade.Difference{
			Kind: d.Kind, Database: d.Database, Object: d.Object, Detail: d.Detail, Keys: keysOf(d.Rows),
		})
	}
	for _, left := range r.NotCompared[:min(len(r.NotCompared), upgrade.MaxDifferences)] {
		v.NotCompared = append(v.NotCompared, fmt.Sprintf("%s, %s: %s", left.Database, left.Object, left.Reason))
	}
}

// keysShown is how many keys of different rows are told.
const keysShown = 5

func keysOf(rows []verify.Row) string {
	var keys []string
	for _, row := range rows[:min(len(rows), keysShown)] {
		key := row.Hash
		for i, column := range row.Key {
			if i > 0 {
				key += ", "
			}
			key += column.Column + "=" + column.Text
		}
		text := row.Change + " " + key
		if len(row.Columns) > 0 {
			text += " in " + strings.Join(row.Columns, ", ")
		}
		keys = append(keys, text)
	}
	if len(rows) > keysShown {
		keys = append(keys, "...")
	}
	return strings.Join(keys, "; ")
}
