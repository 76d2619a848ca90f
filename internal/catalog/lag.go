package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// LagRetention is how long samples of the lag are kept: they only feed a chart.
const LagRetention = 30 * 24 * time.Hour

// LagSample is the lag at a moment.
type LagSample struct {
	At time.Time `json:"at"`
	upgrade.Lag
}

// The resolutions at which samples are kept, in microseconds: as they were taken, and the one with
// the greatest lag of every minute. A sample per second makes 2.6 million of the former in 30 days,
// and only 43,200 of the latter.
const (
	asTaken   = int64(0)
	perMinute = int64(time.Minute / time.Microsecond)
)

const (
	upsertLag = `
INSERT INTO lag_sample (task, resolution, slot, at, bytes, lag_seconds, retained_wal, eta_seconds)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (task, resolution, slot) DO UPDATE
   SET at = excluded.at, bytes = excluded.bytes, lag_seconds = excluded.lag_seconds,
       retained_wal = excluded.retained_wal, eta_seconds = excluded.eta_seconds
 WHERE excluded.bytes > lag_sample.bytes`

	deleteOldLag = `
DELETE FROM lag_sample
 WHERE at < $1`
)

// AppendLag records the lag of a task at a moment, once. Samples of any task that are older than
// LagRetention at that moment are deleted: one or two at a time, since they were written so.
func (c *Catalog) AppendLag(ctx context.Context, number int64, at time.Time, lag upgrade.Lag) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		if err := taskExists(ctx, tx, number); err != nil {
			return err
		}
		micros := at.UnixMicro()
		for _, as := range []struct{ resolution, slot int64 }{
			{asTaken, micros},
			{perMinute, micros - micros%perMinute},
		} {
			_, err := tx.ExecContext(ctx, upsertLag, number, as.resolution, as.slot, micros,
				lag.Bytes, lag.LagSeconds, lag.RetainedWAL, lag.ETASeconds)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, deleteOldLag, at.Add(-LagRetention).UnixMicro())
		return err
	})
	return inTask(err, "append lag of", number)
}

const (
	selectLagRange = `
SELECT (SELECT min(slot) FROM lag_sample WHERE task = $1 AND resolution = 0 AND slot >= $2),
       (SELECT max(slot) FROM lag_sample WHERE task = $1 AND resolution = 0 AND slot >= $2),
       (SELECT count(*)
          FROM (SELECT slot FROM lag_sample WHERE task = $1 AND resolution = 0 AND slot >= $2 LIMIT $3) AS enough)`

	// Of every span of time the sample with the greatest lag, so that no peak is lost, and then the
	// newest of all.
	selectLag = `
  SELECT at, bytes, lag_seconds, retained_wal, eta_seconds
    FROM (SELECT at, bytes, lag_seconds, retained_wal, eta_seconds,
                 row_number() OVER (PARTITION BY (at - $3) / $5 ORDER BY bytes DESC, at DESC) AS place
            FROM lag_sample
           WHERE task = $1 AND resolution = $2 AND slot > $3 - $2 - 1 AND slot < $4 AND at >= $3 AND at < $4) AS ranked
   WHERE place = 1
   UNION ALL
  SELECT at, bytes, lag_seconds, retained_wal, eta_seconds
    FROM lag_sample
   WHERE task = $1 AND resolution = 0 AND slot = $4
ORDER BY at`
)

// LagSamples returns the lag of a task since a moment, for a chart of so many points at most
// (0: all there are). When there are more, every point stands for an equal span of time.
func (c *Catalog) LagSamples(ctx context.Context, number int64, since time.Time, maxPoints int) ([]LagSample, error) {
	samples, err := c.lagSamples(ctx, number, since, maxPoints)
	if err != nil {
		return nil, fmt.Errorf("read lag of task %d: %w", number, err)
	}
	return samples, nil
}

func (c *Catalog) lagSamples(ctx context.Context, number int64, since time.Time, maxPoints int) ([]LagSample, error) {
	var first, last sql.Null[int64]
	var n int64
	// Whether there are too many is all that matters: counting half a million takes its time.
	err := c.read.QueryRowContext(ctx, selectLagRange, number, instant{&since}, max(maxPoints, 0)+1).Scan(&first, &last, &n)
	if err != nil || n == 0 {
		return []LagSample{}, err
	}
	if maxPoints == 1 {
		first = last
	}
	resolution, span := asTaken, int64(1)
	if maxPoints > 1 && n > int64(maxPoints) {
		span = (last.V-first.V)/int64(maxPoints-1) + 1 // the newest sample is a point of its own
	}
	if span >= perMinute {
		resolution = perMinute
	}
	return collect(ctx, c.read, scanLag, selectLag, number, resolution, first.V, last.V, span)
}

func scanLag(r row) (LagSample, error) {
	var s LagSample
	err := r.Scan(instant{&s.At}, &s.Bytes, &s.LagSeconds, &s.RetainedWAL, &s.ETASeconds)
	return s, err
}
