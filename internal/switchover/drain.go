package switchover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// drain brings everything that the source has committed to the target. A marker is written on the
// source after everything else; when the target shows it, the rest is there, for an apply worker
// commits in the order of the source. Waiting for the marker takes milliseconds; waiting for the
// worker to report its position takes its WAL writer's delays. Meanwhile those leave whom the endpoint
// has let go of, and the source is looked at.
func (s *section) drain(ctx context.Context) (err error) {
	if s.before, err = postgres.Snapshot(ctx, s.control); err != nil {
		return err
	}
	if err := s.inEach(ctx, writeMarker); err != nil {
		return err
	}
	var tooLong error // it must not cut short a query of a session that the undoing needs
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		err := s.awaitArrivals(ctx)
		if errors.Is(err, errHeldTooLong) {
			tooLong, err = err, nil
		}
		return err
	})
	all.Go(func() error { return s.inEach(ctx, lookAtDatabase) })
	all.Go(func() error {
		if err := s.lookAtCluster(ctx); err != nil {
			return err
		}
		return s.awaitFence(ctx)
	})
	if err := all.Wait(); err != nil {
		return err
	}
	return tooLong
}

func writeMarker(ctx context.Context, db *database) (err error) {
	db.written, db.marker, err = postgres.AdvanceMarkerAfter(ctx, db.source)
	return err
}

// awaitArrivals waits until every subscription has come past where its database's marker was written. One
// session asks for all of them: whoever asks takes processor time from those who bring it.
func (s *section) awaitArrivals(ctx context.Context) error {
	for {
		positions, err := postgres.AppliedPositions(ctx, s.arrivals)
		if err != nil {
			return err
		}
		behind := slices.IndexFunc(s.databases, func(db database) bool {
			return slices.ContainsFunc(db.subscriptions, func(oid uint32) bool { return positions[oid] <= db.written })
		})
		if behind < 0 {
			return nil
		}
		if err := s.lookAgain(ctx); err != nil {
			return fmt.Errorf("the target has not applied everything of %s: %w", s.databases[behind].name, err)
		}
	}
}

// lookAtDatabase reads where the source's sequences stand, which large objects were changed, and the mark
// of its catalogs.
func lookAtDatabase(ctx context.Context, db *database) error {
	state, err := postgres.ReadDatabaseState(ctx, db.source, db.sequences, db.sequencesAtOnce, db.since())
	if err != nil {
		return err
	}
	db.sourceSequences, db.largeObjects.state, db.shapeNow = state.Sequences, state.LargeObjects, state.ShapeMark
	return nil
}

// lookAtCluster reads what belongs to no database.
func (s *section) lookAtCluster(ctx context.Context) error {
	state, err := postgres.ReadClusterState(ctx, s.control)
	if err != nil {
		return err
	}
	s.outcome.SourceLSN = state.InsertLSN.String()
	if state.Prepared > 0 {
		return fmt.Errorf("%d transactions were prepared on the source meanwhile; commit or roll them back", state.Prepared)
	}
	if err := readConsumers(ctx, s.control, s.outcome.Consumers); err != nil {
		return err
	}
	if state.GlobalsMark != s.globalsMark {
		return errors.New("a role, a setting or a database of the source changed meanwhile; try again")
	}
	return nil
}

// awaitMarker asks the target until it shows the marker, or until the deadline.
func awaitMarker(ctx context.Context, db *database, deadline time.Time) (bool, error) {
	for {
		marker, err := postgres.ReadMarker(ctx, db.target)
		if err != nil {
			return false, err
		}
		if marker.Number >= db.marker {
			return true, nil
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			return false, nil
		}
		if err := sleep(ctx, betweenLooks); err != nil {
			return false, err
		}
	}
}

// provingRounds is how often everything is drained again before the proof is given up.
const provingRounds = 20

// prove makes sure that nobody but us has written to the source since the moment before the markers, and that
// nobody is about to: no backend has an xid, and since the snapshot of that moment no more xids were taken than
// the markers took, one in each database. Who has an xid is asked first: a transaction that takes one after the
// question counts when it has ended, or has done nothing yet. So every commit of others lies before the markers
// in WAL (its record comes before the snapshots see it ended: xact.c, CommitTransaction), and what was read of the
// source since that moment still holds; it tells whether the catalogs are those that were compared. If anything
// else took an xid, even a background worker, everything is drained again.
//
// Values of sequences can be drawn without an xid (sequence.c, nextval_internal). Who could do so is gone before
// that moment, but for backends that nobody can send anything to (see expel).
func (s *section) prove(ctx context.Context) error {
	for round := 1; ; round++ {
		now, err := s.awaitNobodyWriting(ctx)
		if err != nil {
			return err
		}
		if tookXIDs(s.before, now, len(s.databases)) {
			break
		}
		if round > provingRounds {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("something kept writing to the source: it did not stand still in %d attempts", provingRounds),
				Remedy: "stop what writes without a client, such as a scheduler among shared_preload_libraries, and try again",
			}
		}
		s.Log.InfoContext(ctx, "something was written on the source beside the marker; draining again", "before", s.before, "after", now)
		if err := s.drainAgain(ctx); err != nil {
			return err
		}
	}
	return s.inEach(ctx, s.shapeUnchanged)
}

// drainAgain drains once more, without autovacuum, whose ANALYZE takes an xid for every table.
func (s *section) drainAgain(ctx context.Context) error {
	if err := postgres.EndAutovacuum(ctx, s.control); err != nil {
		return err
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	return s.sequences(ctx)
}

// awaitNobodyWriting waits until no backend has an xid, and returns the snapshot that was taken after that
// question. Autovacuum is made to give way.
func (s *section) awaitNobodyWriting(ctx context.Context) (snapshot string, err error) {
	var holder string
	for {
		writing, snapshot, err := postgres.WritingAndSnapshot(ctx, s.control)
		if err == nil && len(writing) == 0 {
			return snapshot, nil
		}
		if err == nil {
			holder = writing[0].String()
			err = postgres.EndAutovacuum(ctx, s.control)
		}
		if err == nil {
			err = s.lookAgain(ctx)
		}
		if err != nil && (ctx.Err() != nil || errors.Is(err, errHeldTooLong)) && holder != "" {
			return "", fmt.Errorf("a transaction that writes stays open on the source: %s: %w", holder, err)
		}
		if err != nil {
			return "", err
		}
	}
}

// tookXIDs tells whether between two snapshots, both without a transaction in progress, exactly so many
// transactions took an xid.
func tookXIDs(before, after string, transactions int) bool {
	first, okFirst := nextXID(before)
	next, okNext := nextXID(after)
	return okFirst && okNext && standsStill(before) && standsStill(after) && next == first+uint64(transactions) //nolint:gosec // it is a length
}

// standsStill tells whether a snapshot, xmin:xmax:xip, shows no transaction in progress.
func standsStill(snapshot string) bool { return strings.HasSuffix(snapshot, ":") }

// nextXID is the xmax of a snapshot, xmin:xmax:xip.
func nextXID(snapshot string) (uint64, bool) {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return 0, false
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	return xmax, err == nil
}

// shapeUnchanged compares the catalogs' mark, and the shapes themselves only if it moved. Then there
// may also be sequences and unlogged tables, alike on both sides, that nobody has read. Nothing is printed again on the source: that
// would take an xid.
func (s *section) shapeUnchanged(ctx context.Context, db *database) error {
	if err := s.definitionsReplayed(ctx, db); err != nil {
		return err
	}
	if db.shapeNow == db.shapeMark {
		return nil
	}
	if err := s.shapesAlike(ctx, db, db.target); err != nil {
		return err
	}
	names, err := postgres.Sequences(ctx, db.source)
	if err != nil {
		return err
	}
	if !slices.Equal(names, db.sequences) {
		return errors.New("sequences were created meanwhile; try again")
	}
	return s.sameUnloggedTables(ctx, db)
}

// setSequences sets those of the target that do not stand there yet. It comes after what the subscriptions
// bring, which sets sequences too: TRUNCATE ... RESTART IDENTITY does, and definitions that are replayed.
func setSequences(ctx context.Context, db *database) error {
	var changed []postgres.Sequence
	for _, sequence := range db.sourceSequences {
		if db.known[sequence.Name] != sequence {
			changed = append(changed, sequence)
		}
	}
	if err := postgres.SetSequences(ctx, db.target, changed, db.sequencesAtOnce); err != nil {
		return err
	}
	for _, sequence := range changed {
		db.known[sequence.Name] = sequence
	}
	return nil
}

// sequences sets those that moved since they were set before the pause, carries the large objects that were
// changed since and the unlogged tables, and then sees to it that all is on the target's disk: what a subscription
// with synchronous_commit = off has applied is visible but not durable. The commit of the sequences has flushed
// most of it already.
func (s *section) sequences(ctx context.Context) error {
	err := s.inEach(ctx, func(ctx context.Context, db *database) error {
		if err := setSequences(ctx, db); err != nil {
			return err
		}
		if err := carryChangedLargeObjects(ctx, db); err != nil {
			return err
		}
		if err := carryUnloggedTables(ctx, db); err != nil {
			return err
		}
		return s.confirmApplied(ctx, db)
	})
	if err != nil || s.Plan.Options.SkipSwitchback && len(s.outcome.Consumers) == 0 {
		return err
	}
	// What the target has applied lies before this, on its disk; what clients will write lies after it.
	lsn, err := postgres.FlushLSN(ctx, s.databases[0].target)
	s.outcome.TargetLSN = lsn.String()
	return err
}

// confirmApplied wants the target to show the marker, and forces to disk what each subscription has applied,
// which is to be everything that the source had written before the marker: whoever may have written a marker on
// the target, an origin's position moves with the source's transactions alone. It also wants the target's
// sequences to stand where they were set, since what came after that may have set them back, and the same large
// objects to be there.
func (s *section) confirmApplied(ctx context.Context, db *database) error {
	for {
		state, err := postgres.ReadAppliedState(ctx, db.target, db.subscriptions, db.sequences, db.sequencesAtOnce, db.largeObjects.carried)
		if err != nil {
			return err
		}
		applied := slices.Min(state.Applied)
		if state.Marker >= db.marker && applied >= db.written {
			astray := db.astray(state.Sequences)
			if len(astray) == 0 {
				db.targetSequences = state.Sequences
				return sameLargeObjects(ctx, db, state.LargeObjectKeys)
			}
			if err := postgres.SetSequences(ctx, db.target, astray, db.sequencesAtOnce); err != nil {
				return err
			}
		}
		if err := s.lookAgain(ctx); err != nil {
			return fmt.Errorf("the target has applied up to LSN %s, the source has written up to %s: %w", applied, db.written, err)
		}
	}
}

// astray lists where those sequences of the target should stand that do not.
func (db *database) astray(standing []postgres.Sequence) []postgres.Sequence {
	var astray []postgres.Sequence
	for _, sequence := range standing {
		if known := db.known[sequence.Name]; known != sequence {
			astray = append(astray, known)
		}
	}
	return astray
}

// openSnapshots starts a read-only transaction on both sides of every database while both stand still.
func (s *section) openSnapshots(ctx context.Context) error {
	if s.Keep == nil {
		return nil
	}
	s.snapshotsAt = s.Now()
	return s.inEach(ctx, func(ctx context.Context, db *database) error {
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() error { return postgres.BeginSnapshot(ctx, db.source) })
		both.Go(func() error { return postgres.BeginSnapshot(ctx, db.snapshot) })
		return both.Wait()
	})
}
