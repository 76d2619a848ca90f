package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
)

// Pair is a database with a snapshot open on each side, in transactions that are REPEATABLE READ.
type Pair struct {
	Database       string
	Source, Target *pgx.Conn
	// Exported are the names of the snapshots, for a pair without sessions of its own: then Options.Join
	// opens them for as long as the database is looked at.
	Exported [2]string
	// SourceSequences and TargetSequences are where the sequences stood when both sides stood still:
	// a snapshot does not hold them. One that is nil is read now, which is as good where nobody has
	// called nextval() since.
	SourceSequences, TargetSequences []postgres.Sequence
}

func (p Pair) conns() [2]*pgx.Conn { return [2]*pgx.Conn{p.Source, p.Target} }

// Data compares the whole content of source and target. A difference is no error: an error is what
// kept it from going on, and then the result says what it had come to, and that the rest was left out.
func Data(ctx context.Context, pairs []Pair, o Options) (Result, error) {
	r := &run{Options: o.withDefaults()}
	begun := time.Now()
	err := r.compare(ctx, pairs)
	r.result.Duration = time.Since(begun)
	return r.result, err
}

// run is one comparison.
type run struct {
	Options
	databases []*database

	mu       sync.Mutex // of what follows
	result   Result
	progress Progress
}

// database is a database that is compared.
type database struct {
	Pair
	snapshots [2]string // names to join them by, "" if nobody joins
	majors    [2]int
	tables    []*table
	state     *databaseState
}

func (r *run) compare(ctx context.Context, pairs []Pair) error {
	for i, pair := range pairs {
		db := &database{Pair: pair}
		r.databases = append(r.databases, db)
		if err := r.inSnapshots(ctx, db, r.prepare); err != nil {
			for _, left := range pairs[i:] {
				r.leaveOut(left.Database, "the database", err.Error())
			}
			return err
		}
	}
	r.report("")
	for i, db := range r.databases {
		err := r.inSnapshots(ctx, db, func(ctx context.Context, db *database) error {
			if err := r.readTables(ctx, db); err != nil {
				return err
			}
			return r.findRows(ctx, db)
		})
		if err != nil {
			for _, left := range r.databases[i:] {
				r.leaveOutRest(left, err)
			}
			return err
		}
	}
	return nil
}

// inSnapshots does something with a session in the snapshot of each side.
func (r *run) inSnapshots(ctx context.Context, db *database, do func(context.Context, *database) error) error {
	if db.Source != nil {
		return do(ctx, db)
	}
	db.snapshots = db.Exported
	defer func() {
		for _, conn := range []**pgx.Conn{&db.Source, &db.Target} {
			if *conn != nil {
				_ = (*conn).Close(context.WithoutCancel(ctx))
				*conn = nil
			}
		}
	}()
	err := onBoth(ctx, func(ctx context.Context, side Side) (err error) {
		*[]**pgx.Conn{&db.Source, &db.Target}[side], err = r.join(ctx, db, side)
		return err
	})
	if err != nil {
		return err
	}
	return do(ctx, db)
}

// prepare makes the sessions ready, compares all but the rows, and lists the tables.
func (r *run) prepare(ctx context.Context, db *database) error {
	var ids [2]string
	err := onBoth(ctx, func(ctx context.Context, side Side) (err error) {
		conn := db.conns()[side]
		if r.Connections > 1 && db.snapshots[side] == "" {
			if db.snapshots[side], err = postgres.ExportSnapshot(ctx, conn); err != nil {
				return err
			}
		}
		if err := postgres.FixOutput(ctx, conn); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text, current_setting('server_version_num')::int / 10000`).
			Scan(&ids[side], &db.majors[side])
	})
	if err != nil {
		return fmt.Errorf("prepare the comparison of %s: %w", db.Database, err)
	}
	r.mu.Lock()
	db.state = r.State.of(db.Database, ids)
	r.mu.Unlock()
	for _, compare := range []func(context.Context, *database) error{r.compareCatalogs, r.listTables} {
		if err := compare(ctx, db); err != nil {
			return fmt.Errorf("compare database %s: %w", db.Database, err)
		}
	}
	for _, t := range db.tables {
		r.takeUp(db, t)
	}
	return nil
}

// compareCatalogs compares all but the rows, unless that was done before: what the catalogs say is partly
// what holds now, and clients go on.
func (r *run) compareCatalogs(ctx context.Context, db *database) error {
	if before := db.state.Catalogs; before != nil {
		r.result.Differences = append(r.result.Differences, before.Differences...)
		r.result.NotCompared = append(r.result.NotCompared, before.NotCompared...)
		return nil
	}
	differences, notCompared := len(r.result.Differences), len(r.result.NotCompared)
	for _, compare := range []func(context.Context, *database) error{r.compareShapes, r.compareFacts, r.compareSequences} {
		if err := compare(ctx, db); err != nil {
			return err
		}
	}
	r.enter(db, Entry{Catalogs: &Catalogs{
		Differences: slices.Clone(r.result.Differences[differences:]),
		NotCompared: slices.Clone(r.result.NotCompared[notCompared:]),
	}})
	return nil
}

// sideError tells on which side it was.
type sideError struct {
	side Side
	err  error
}

func (e *sideError) Error() string { return e.side.String() + ": " + e.err.Error() }

func (e *sideError) Unwrap() error { return e.err }

// onBoth does something on both sides at a time. Its error is a sideError.
func onBoth(ctx context.Context, do func(ctx context.Context, side Side) error) error {
	both, ctx := errgroup.WithContext(ctx)
	for _, side := range []Side{Source, Target} {
		both.Go(func() error {
			if err := do(ctx, side); err != nil {
				return &sideError{side, err}
			}
			return nil
		})
	}
	return both.Wait()
}

// brieflyOnBoth is onBoth without keeping the locks.
func (db *database) brieflyOnBoth(ctx context.Context, do func(ctx context.Context, side Side, conn *pgx.Conn) error) error {
	return onBoth(ctx, func(ctx context.Context, side Side) error {
		conn := db.conns()[side]
		return postgres.Briefly(ctx, conn, func() error { return do(ctx, side, conn) })
	})
}

func (r *run) deadline() time.Time { return r.Opened.Add(r.MaxAge) }

// errTooOld ends the comparison of a table, and of all that come after it.
var errTooOld = errors.New("the snapshots have reached the age that they may have")

// timeout is what is left for a query, in milliseconds.
func (r *run) timeout() (int64, error) {
	left := time.Until(r.deadline()).Milliseconds()
	if left <= 0 {
		return 0, errTooOld
	}
	return left, nil
}

func (r *run) differs(d Difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Differences = append(r.result.Differences, d)
}

func (r *run) leaveOut(database, object, reason string) {
	r.notCompared(NotCompared{Database: database, Object: object, Reason: reason})
}

func (r *run) notCompared(n NotCompared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.NotCompared = append(r.result.NotCompared, n)
}

// leaveOutRest leaves out the tables of a database that no verdict was reached on.
func (r *run) leaveOutRest(db *database, why error) {
	for _, t := range db.tables {
		switch t.verdict {
		case undecided:
			r.leaveOut(db.Database, t.name, "the comparison was broken off: "+why.Error())
		case unequal:
			r.differsSomewhere(db, t, why.Error())
		}
	}
}

// report tells the progress.
func (r *run) report(table string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Table = table
	r.Options.Progress(r.progress)
}
