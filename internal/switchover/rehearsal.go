package switchover

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/verify"
)

// errRehearsed is why a rehearsal does not switch.
var errRehearsed = errors.New("it was a rehearsal")

// endRehearsal lets clients go on at the source, as every switchover does that does not switch.
func (s *section) endRehearsal(ctx context.Context) (upgrade.Switchover, error) {
	outcome, err := s.undo(ctx, errRehearsed)
	if err != nil {
		return outcome, err
	}
	if s.outcome.EndedAt.IsZero() { // it took a recovery, which has ended our sessions
		outcome.Reason = "clients went on at the source, but not over the connections that were open: see the agent's log"
		return outcome, nil
	}
	s.outcome.Reason, s.outcome.Rehearsed = "", true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepPatience)
	defer cancel()
	s.keep(ctx)
	return s.outcome, nil
}

// keepPatience bounds what is left to do when clients have gone on.
const keepPatience = 5 * time.Second

// Snapshots are what both sides held when they stood still.
type Snapshots struct {
	Pairs   []verify.Pair
	TakenAt time.Time
}

// Close lets go of them.
func (s Snapshots) Close() {
	for _, pair := range s.Pairs {
		for _, conn := range []*pgx.Conn{pair.Source, pair.Target} {
			_ = conn.Close(context.Background())
		}
	}
}

// sessionSnapshot is what the sessions are called that outlive their switchover: a recovery, which
// ends those of the section, has nothing to fear from them.
const sessionSnapshot = upgrade.VerificationSession

// keep gives the snapshots away. One whose session was lost meanwhile shows when it is used.
func (s *section) keep(ctx context.Context) {
	if s.Keep == nil {
		return
	}
	snapshots := Snapshots{TakenAt: s.snapshotsAt}
	for i := range s.databases {
		db := &s.databases[i]
		for _, conn := range []*pgx.Conn{db.source, db.snapshot} {
			if _, err := conn.Exec(ctx, "SET application_name = '"+sessionSnapshot+"'"); err != nil {
				s.Log.WarnContext(ctx, "a snapshot was lost before it was compared", "database", db.name, "error", err)
			}
		}
		snapshots.Pairs = append(snapshots.Pairs, verify.Pair{
			Database: db.name, Source: db.source, Target: db.snapshot,
			SourceSequences: db.standing(), TargetSequences: db.targetSequences,
		})
		db.source, db.snapshot = nil, nil
	}
	s.Keep(snapshots)
}

// standing is where the source's sequences stood: what is known of them was read after the last write.
func (db *database) standing() []postgres.Sequence {
	sequences := make([]postgres.Sequence, 0, len(db.sequences))
	for _, name := range db.sequences {
		sequences = append(sequences, db.known[name])
	}
	return sequences
}
