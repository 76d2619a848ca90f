package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
)

const (
	rowsPerBucket = 256     // about
	maxBuckets    = 1 << 16 // sums held at a time
	maxFetched    = 200_000 // rows of a table, by hash and key
	maxAsked      = 1024    // buckets
)

// findRows finds which rows of the tables differ whose sums do.
func (r *run) findRows(ctx context.Context, db *database) error {
	for _, t := range db.tables {
		if t.verdict != unequal {
			continue
		}
		err := r.findRowsOf(ctx, db, t)
		if err != nil {
			reason, fatal := err.Error(), error(nil)
			if !errors.Is(err, errTooMany) {
				reason, fatal = whyNot(err, sideOf(err))
			}
			if fatal != nil {
				return fatal
			}
			r.differsSomewhere(db, t, reason)
		}
		t.verdict = decided
	}
	return nil
}

// sideOf is the side on which something failed.
func sideOf(err error) Side {
	if failed, ok := errors.AsType[*sideError](err); ok {
		return failed.side
	}
	return Source
}

const kindRows = "rows"

// differsSomewhere reports a table of which it is known that it differs, but not where.
func (r *run) differsSomewhere(db *database, t *table, why string) {
	r.differs(Difference{
		Kind: kindRows, Database: db.Database, Object: t.name, AtLeast: true, Total: 1,
		Detail: "which rows differ could not be found out: " + why,
	})
}

func (r *run) findRowsOf(ctx context.Context, db *database, t *table) error {
	f := finder{run: r, db: db, table: t}
	differing, complete, err := f.find(ctx)
	if err != nil {
		return err
	}
	if t.largeObjects() {
		return r.differingObjects(ctx, db, differing, complete)
	}
	d := Difference{Kind: kindRows, Database: db.Database, Object: t.name, AtLeast: !complete}
	count := map[string]int64{}
	for _, row := range differing {
		count[row.change] += row.times
		d.Total += row.times
	}
	d.Detail = fmt.Sprintf("%s%d rows differ: %d changed, %d on the source only, %d on the target only (%d rows on the source, %d on the target)",
		map[bool]string{true: "at least "}[d.AtLeast], d.Total, count[Changed], count[Missing], count[Extra], t.sums[Source].rows, t.sums[Target].rows)
	if d.Rows, err = f.describe(ctx, differing[:min(len(differing), r.MaxRows)]); err != nil {
		return err
	}
	if a, b := t.scans[Source].Table.Extension, t.scans[Target].Table.Extension; a != b {
		r.notCompared(NotCompared{
			Database: db.Database, Object: t.name, Expected: true,
			Reason: fmt.Sprintf("it belongs to an extension that was updated from %s to %s; %s", a, b, d.Detail),
		})
		return nil
	}
	r.differs(d)
	return nil
}

// finder finds the rows of a table that differ.
type finder struct {
	*run
	db    *database
	table *table
}

// errTooMany is why rows are not looked for.
var errTooMany = errors.New("too many rows share their key's hash, or are alike")

// differing is a row that is not the same on both sides.
type differing struct {
	change string
	times  int64 // that it is there
	sides  [2]*postgres.HashedRow
}

// find finds the rows that differ; it is not complete if there are very many.
func (f finder) find(ctx context.Context) (rows []differing, complete bool, err error) {
	number := 64
	for int64(number)*rowsPerBucket < f.table.sums[Source].rows+f.table.sums[Target].rows && number < maxBuckets {
		number *= 2
	}
	buckets, complete, err := f.differingBuckets(ctx, number)
	if err != nil {
		return nil, false, err
	}
	if len(buckets) == 0 && !complete {
		return nil, false, errTooMany
	}
	var left [2]map[int64][]postgres.HashedRow
	err = f.onParts(ctx, func(ctx context.Context, side Side, scan postgres.RowScan, blocks postgres.BlockRange) error {
		read, err := scan.InBuckets(ctx, f.db.conns()[side], blocks, number, buckets, f.table.keyOn(side))
		if left[side] == nil {
			left[side] = map[int64][]postgres.HashedRow{}
		}
		for _, row := range read {
			left[side][row.Hash] = append(left[side][row.Hash], row)
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return f.pairUp(left), complete, nil
}

// onParts reads the table on both sides part by part, in its share of the time.
func (f finder) onParts(ctx context.Context, read func(context.Context, Side, postgres.RowScan, postgres.BlockRange) error) error {
	return onBoth(ctx, func(ctx context.Context, side Side) error {
		scan := f.table.scans[side]
		for _, blocks := range f.split(scan.Table, f.db.majors[side]) {
			var err error
			if scan.Timeout, err = f.timeout(); err != nil {
				return err
			}
			begun := time.Now()
			if err := read(ctx, side, scan, blocks); err != nil {
				return err
			}
			if err := f.rest(ctx, time.Since(begun)); err != nil {
				return err
			}
		}
		return nil
	})
}

// differingBuckets tells which buckets differ, or as many as can be looked into.
func (f finder) differingBuckets(ctx context.Context, number int) (buckets []int, complete bool, err error) {
	var sums [2][]tally
	err = f.onParts(ctx, func(ctx context.Context, side Side, scan postgres.RowScan, blocks postgres.BlockRange) error {
		if sums[side] == nil {
			sums[side] = make([]tally, number)
		}
		read, err := scan.Buckets(ctx, f.db.conns()[side], blocks, number)
		if err != nil {
			return err
		}
		for bucket, sum := range read {
			if err := sums[side][bucket].add(sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	fetched, complete := int64(0), true
	for bucket := range number {
		source, target := &sums[Source][bucket], &sums[Target][bucket]
		if source.equals(target) {
			continue
		}
		rows := source.rows + target.rows
		if fetched+rows > maxFetched || len(buckets) == maxAsked {
			complete = false // rows that are all alike are in one bucket, however many they are
			continue
		}
		fetched += rows
		buckets = append(buckets, bucket)
	}
	return buckets, complete, nil
}

// pairUp leaves out what is the same on both sides, and finds for each row that is left the one with
// the same key on the other side.
func (f finder) pairUp(rows [2]map[int64][]postgres.HashedRow) []differing {
	var result []differing
	target := map[string]postgres.HashedRow{} // by key
	for hash, onTarget := range rows[Target] {
		extra := len(onTarget) - len(rows[Source][hash])
		if extra <= 0 {
			continue
		}
		if len(f.table.key) == 0 {
			result = append(result, differing{Extra, int64(extra), [2]*postgres.HashedRow{nil, &onTarget[0]}})
			continue
		}
		for _, row := range onTarget[len(onTarget)-extra:] {
			target[keyOf(row)] = row
		}
	}
	for hash, onSource := range rows[Source] {
		missing := len(onSource) - len(rows[Target][hash])
		if missing <= 0 {
			continue
		}
		if len(f.table.key) == 0 {
			result = append(result, differing{Missing, int64(missing), [2]*postgres.HashedRow{&onSource[0], nil}})
			continue
		}
		for _, row := range onSource[len(onSource)-missing:] {
			found := differing{Missing, 1, [2]*postgres.HashedRow{&row, nil}}
			if other, ok := target[keyOf(row)]; ok {
				found.change, found.sides[Target] = Changed, &other
				delete(target, keyOf(row))
			}
			result = append(result, found)
		}
	}
	for _, row := range target {
		result = append(result, differing{Extra, 1, [2]*postgres.HashedRow{nil, &row}})
	}
	slices.SortFunc(result, func(a, b differing) int {
		return cmp.Or(strings.Compare(keyOf(a.any()), keyOf(b.any())), cmp.Compare(a.any().Hash, b.any().Hash))
	})
	return result
}

// any is the row of the source, if it is there, or else that of the target.
func (d differing) any() postgres.HashedRow {
	if d.sides[Source] != nil {
		return *d.sides[Source]
	}
	return *d.sides[Target]
}

// keyOf is the key in one string; numbers in it sort by their length first.
func keyOf(row postgres.HashedRow) string {
	var key strings.Builder
	for _, text := range row.Key {
		fmt.Fprintf(&key, "%8d:%s", len(text), text)
	}
	return key.String()
}
