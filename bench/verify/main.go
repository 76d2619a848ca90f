// Command verify measures the comparison of source and target against COPY ... TO STDOUT of both sides
// in parallel, on the same data, rounds of both in turn.
//
//	go run ./bench/verify -from 15 -to 17 -scale 10 -rounds 5
//
// Both have one connection a side and no pauses, and both sides are in the machine's memory. What the
// comparison does besides (catalogs, sequences) is in its figure. COPY's output is thrown away: a
// tool that compares it would have to do that, too.
//
// The exit status is 1 when the comparison does not come to "identical", or is slower than the bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/verify"
	"github.com/pgleap/pgleap/test/harness"
)

// bar is the least speed of the comparison relative to COPY.
const bar = 0.6

type options struct{ from, to, scale, rounds int }

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.scale, "scale", 10, "amount of data, about 30 MB each")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each contestant")
	flag.Parse()
	harness.Main("bench/verify", func(ctx context.Context) error { return bench(ctx, o, os.Stdout) })
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	if o.rounds < 1 || o.scale < 1 {
		return errors.New("rounds and scale must be at least 1")
	}
	place, err := harness.NewWorkplace("pgleap-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Clear(context.WithoutCancel(ctx))) }()
	var sides [2]*harness.Cluster
	for side, major := range []int{o.from, o.to} {
		settings := map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "off"}
		if sides[side], err = place.NewCluster(ctx, major, settings); err != nil {
			return err
		}
	}
	if err := fill(ctx, sides, o.scale); err != nil {
		return err
	}
	return compete(ctx, sides, o, out)
}

// fill makes the same data on both sides.
func fill(ctx context.Context, sides [2]*harness.Cluster, scale int) error {
	return onBoth(ctx, sides, func(ctx context.Context, _ int, conn *pgx.Conn) error {
		for _, statement := range data(scale) {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("make the data: %w", err)
			}
		}
		return nil
	})
}

// onBoth does something on both sides at a time, over a connection each.
func onBoth(ctx context.Context, sides [2]*harness.Cluster, do func(ctx context.Context, side int, conn *pgx.Conn) error) error {
	both, ctx := errgroup.WithContext(ctx)
	for side, cluster := range sides {
		both.Go(func() error {
			return cluster.In(ctx, "postgres", func(conn *pgx.Conn) error { return do(ctx, side, conn) })
		})
	}
	return both.Wait()
}

func compete(ctx context.Context, sides [2]*harness.Cluster, o options, out io.Writer) error {
	var ours, copies []time.Duration
	var last verify.Result
	for range o.rounds {
		took, err := copyAll(ctx, sides)
		if err != nil {
			return err
		}
		copies = append(copies, took)
		if last, err = compare(ctx, sides); err != nil {
			return err
		}
		ours = append(ours, last.Duration)
	}
	fmt.Fprintf(out, "PostgreSQL %d and %d, %d tables, %d rows, %d MB a side, %d rounds each in turn\n\n",
		o.from, o.to, last.Tables, last.Rows, last.Bytes>>20, o.rounds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\tmedian\tbest\tworst\tMB/s a side\t\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"comparison", ours}, {"COPY of both sides", copies}} {
		fmt.Fprintf(table, "%s\t%d ms\t%d ms\t%d ms\t%.0f\t\n", row.name, harness.Median(row.times).Milliseconds(),
			slices.Min(row.times).Milliseconds(), slices.Max(row.times).Milliseconds(), float64(last.Bytes)/harness.Median(row.times).Seconds()/(1<<20))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	ratio := float64(harness.Median(copies)) / float64(harness.Median(ours))
	fmt.Fprintf(out, "\nspeed relative to COPY: %.2f (bar: %.1f)\n", ratio, bar)
	if ratio < bar {
		return fmt.Errorf("the comparison has %.2f of COPY's speed, less than %.1f", ratio, bar)
	}
	return nil
}

// copyAll reads every table of both sides.
func copyAll(ctx context.Context, sides [2]*harness.Cluster) (time.Duration, error) {
	var took [2]time.Duration
	err := onBoth(ctx, sides, func(ctx context.Context, side int, conn *pgx.Conn) error {
		begun := time.Now()
		for _, table := range tables {
			if _, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY "+table+" TO STDOUT"); err != nil {
				return fmt.Errorf("copy %s: %w", table, err)
			}
		}
		took[side] = time.Since(begun)
		return nil
	})
	return max(took[0], took[1]), err
}

// compare compares both sides.
func compare(ctx context.Context, sides [2]*harness.Cluster) (result verify.Result, err error) {
	err = sides[0].In(ctx, "postgres", func(source *pgx.Conn) error {
		return sides[1].In(ctx, "postgres", func(target *pgx.Conn) error {
			for _, conn := range []*pgx.Conn{source, target} {
				if err := postgres.BeginSnapshot(ctx, conn); err != nil {
					return err
				}
			}
			result, err = verify.Data(ctx, []verify.Pair{{Database: "postgres", Source: source, Target: target}}, verify.Options{})
			return err
		})
	})
	if err == nil && !result.Identical() {
		err = fmt.Errorf("the sides are not identical: %v, not compared: %v", result.Differences, result.NotCompared)
	}
	return result, err
}
