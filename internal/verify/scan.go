package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
)

// part is a part of a table on one side.
type part struct {
	*table
	blocks postgres.BlockRange
	bytes  int64 // that it is counted for
}

// readTables reads every table of a database on both sides, each over its own connections. The sides
// do not wait for each other: which blocks hold a row has nothing to do with each other.
func (r *run) readTables(ctx context.Context, db *database) error {
	return onBoth(ctx, func(ctx context.Context, side Side) error {
		parts := r.parts(db, side)
		work, ctx := errgroup.WithContext(ctx)
		next := make(chan part)
		work.Go(func() error {
			defer close(next)
			for _, p := range parts {
				select {
				case next <- p:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		for i := range r.Connections {
			work.Go(func() error { return r.readOver(ctx, db, side, i, next) })
		}
		return work.Wait()
	})
}

// takeUp takes a table's sums from the state, if it was read before.
func (r *run) takeUp(db *database, t *table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for side := range t.scans {
		t.pending[side] = len(r.split(t.scans[side].Table, db.majors[side]))
	}
	sums, found := db.state.Tables[t.scans[Source].Table.Ident()]
	var read [2]tally
	if !found || read[Source].add(sums[Source]) != nil || read[Target].add(sums[Target]) != nil {
		return
	}
	t.pending, t.sums = [2]int{}, read
	r.progress.Rows += sums[Source].Rows
	r.progress.BytesDone += t.bytes()
	r.conclude(t)
}

// parts are what is to be read on a side.
func (r *run) parts(db *database, side Side) []part {
	var parts []part
	for _, t := range db.tables {
		if t.pending[side] == 0 {
			continue
		}
		ranges := r.split(t.scans[side].Table, db.majors[side])
		for _, blocks := range ranges {
			parts = append(parts, part{table: t, blocks: blocks, bytes: t.scans[side].Table.Bytes / int64(len(ranges))})
		}
	}
	return parts
}

// split divides a table. Before 14 there is no scan of a range that does not read the whole table.
func (r *run) split(t postgres.ContentTable, major int) []postgres.BlockRange {
	number := min(t.Bytes/r.chunkBytes+1, t.Blocks)
	if major < 14 || number <= 1 {
		return []postgres.BlockRange{{}}
	}
	ranges := make([]postgres.BlockRange, number)
	for i := range ranges {
		ranges[i] = postgres.BlockRange{From: t.Blocks * int64(i) / number, To: t.Blocks * int64(i+1) / number}
	}
	ranges[number-1].To = 0
	return ranges
}

// readOver reads parts over one connection; the first is the pair's own, and reads everything where
// there can be no others.
func (r *run) readOver(ctx context.Context, db *database, side Side, number int, parts <-chan part) error {
	conn := db.conns()[side]
	if number > 0 {
		joined, err := r.join(ctx, db, side)
		if err != nil {
			return ctx.Err()
		}
		defer joined.Close(context.WithoutCancel(ctx))
		conn = joined
	}
	for p := range parts {
		begun := time.Now()
		if err := r.read(ctx, conn, db, side, p); err != nil {
			return err
		}
		if err := r.rest(ctx, time.Since(begun)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) join(ctx context.Context, db *database, side Side) (*pgx.Conn, error) {
	conn, err := r.Join(ctx, side, db.Database)
	if err != nil {
		return nil, err
	}
	if err = postgres.JoinSnapshot(ctx, conn, db.snapshots[side]); err == nil {
		err = postgres.FixOutput(ctx, conn)
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return conn, nil
}

// rest waits after some work, so that it does not take more than its share of the time.
func (r *run) rest(ctx context.Context, worked time.Duration) error {
	if r.Share >= 1 {
		return ctx.Err()
	}
	// A deadline is not slept through.
	pause := time.NewTimer(min(time.Duration(float64(worked)*(1-r.Share)/r.Share), time.Until(r.deadline())))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read reads a part of a table, unless the table is out of the comparison already.
func (r *run) read(ctx context.Context, conn *pgx.Conn, db *database, side Side, p part) error {
	if r.isDecided(p.table) {
		return nil
	}
	sum, err := r.sum(ctx, conn, side, p)
	if err != nil {
		reason, fatal := whyNot(err, side)
		if fatal != nil {
			return fatal
		}
		r.giveUp(db, p.table, reason)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.verdict != undecided {
		return nil
	}
	if err := p.sums[side].add(sum); err != nil {
		return err
	}
	if side == Source {
		r.progress.Rows += sum.Rows
	}
	r.progress.BytesDone += p.bytes
	p.pending[side]--
	if r.conclude(p.table) {
		r.enter(db, Entry{Table: p.scans[Source].Table.Ident(), Sums: &TableSums{p.sums[Source].hashSum(), p.sums[Target].hashSum()}})
	}
	r.progress.Table = p.name
	r.Options.Progress(r.progress)
	return nil
}

// sum reads the sum of a part. The locks of the query keep the table from being rewritten meanwhile,
// and its filenode tells whether that has happened since the snapshot: then rows may be missing.
func (r *run) sum(ctx context.Context, conn *pgx.Conn, side Side, p part) (postgres.HashSum, error) {
	timeout, err := r.timeout()
	if err != nil {
		return postgres.HashSum{}, err
	}
	scan := p.scans[side]
	scan.Timeout = timeout
	sum, filenode, err := scan.Sum(ctx, conn, p.blocks)
	if err == nil && filenode != scan.Table.Filenode {
		err = errRewritten
	}
	return sum, err
}

var errRewritten = errors.New("it was rewritten after the snapshots were opened (by TRUNCATE, ALTER TABLE, CLUSTER or VACUUM FULL)")

// lockNotAvailable is a SQLSTATE (PostgreSQL documentation, appendix A).
const lockNotAvailable = "55P03"

// whyNot tells why a table cannot be compared, or the error that ends the comparison.
func whyNot(err error, side Side) (reason string, fatal error) {
	if errors.Is(err, errTooOld) {
		return err.Error(), nil
	}
	if errors.Is(err, errRewritten) {
		return fmt.Sprintf("on the %s %v", side, err), nil
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return "", err
	}
	switch pgErr.Code {
	case "57014": // query_canceled: nobody but the timeout does that
		return errTooOld.Error(), nil
	case lockNotAvailable:
		return fmt.Sprintf("on the %s a client holds a lock on it", side), nil
	case "42P01", "42703", "3F000": // undefined table, column, schema
		return fmt.Sprintf("on the %s it was changed after the snapshots were opened: %s", side, pgErr.Message), nil
	case "57P01", "57P02", "57P03", "25P03": // the session was ended
		return "", err
	}
	return fmt.Sprintf("on the %s it cannot be read: %s (SQLSTATE %s)", side, pgErr.Message, pgErr.Code), nil
}

func (r *run) isDecided(t *table) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.verdict == decided
}

// giveUp leaves a table out.
func (r *run) giveUp(db *database, t *table, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.verdict == decided {
		return
	}
	t.verdict = decided
	r.progress.TablesDone++
	r.result.NotCompared = append(r.result.NotCompared, NotCompared{Database: db.Database, Object: t.name, Reason: reason})
}

// conclude compares a table's sums once both are complete.
func (r *run) conclude(t *table) bool {
	if t.pending != [2]int{} || t.verdict != undecided {
		return false
	}
	t.verdict = unequal
	if t.sums[Source].equals(&t.sums[Target]) {
		t.verdict = equal
	}
	r.progress.TablesDone++
	r.result.Tables++
	r.result.Rows += t.sums[Source].rows
	r.result.Bytes += t.scans[Source].Table.Bytes
	return true
}
