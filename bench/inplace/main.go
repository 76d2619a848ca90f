// Command inplace measures the outage of an upgrade in place against a script that does the least: stop,
// pg_upgrade --link, start.
//
//	go run ./bench/inplace -from 15 -to 17 -tables 6000 -rounds 5
//
// Each round has a fresh copy of the same data directory for each contestant, in turn. What can be done
// before the stop is done before: initdb, the configuration, pg_upgrade --check. A client inserts rows all the
// time, over connections of its own; the outage is the longest time in which it got nothing acknowledged.
//
// The exit status is 1 when the median of ours is more than 1.05 times that of the script.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// bar is how much longer than the bare script's our outage may be (issue 4).
const bar = 1.05

type options struct {
	from, to int
	tables   int
	rounds   int
	jobs     int
}

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.tables, "tables", 6000, "tables, each with a key and a sequence")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each contestant")
	flag.IntVar(&o.jobs, "jobs", 2, "parallelism of pg_upgrade")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench/inplace:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	if o.rounds < 1 || o.tables < 0 {
		return errors.New("choose at least one round")
	}
	s, err := setUp(ctx, o)
	if s != nil {
		defer func() { err = errors.Join(err, s.clear()) }()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "PostgreSQL %d to %d, %d tables, transfer link, %d jobs\n\n", o.from, o.to, o.tables, o.jobs)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "round\tpgleap\tscript\t")
	var ours, bare []time.Duration
	for round := range o.rounds {
		contestants := []func(context.Context) (time.Duration, error){s.ours, s.bare}
		results := make([]time.Duration, 2)
		for i := range contestants {
			which := (i + round) % 2 // whoever comes second finds warm caches
			if results[which], err = contestants[which](ctx); err != nil {
				return err
			}
		}
		ours, bare = append(ours, results[0]), append(bare, results[1])
		fmt.Fprintf(table, "%d\t%s\t%s\t\n", round+1, shown(results[0]), shown(results[1]))
	}
	fmt.Fprintf(table, "median\t%s\t%s\t\n", shown(median(ours)), shown(median(bare)))
	if err := table.Flush(); err != nil {
		return err
	}
	ratio := median(ours).Seconds() / median(bare).Seconds()
	fmt.Fprintf(out, "\nThe outage is %.3f times that of the script; the bar is %.2f.\n", ratio, bar)
	if ratio > bar {
		return errors.New("the bar is missed")
	}
	return nil
}

func shown(d time.Duration) string { return d.Round(time.Millisecond).String() }

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
