// Command precheck measures what a precheck takes beyond the pg_upgrade --check that is part of it, on a source
// with many tables in many databases.
//
//	go run ./bench/precheck -from 15 -to 17 -databases 20 -tables 10000 -rounds 3
//
// Each round runs pg_upgrade --check alone, and the whole precheck as the agent does it: scratch cluster,
// pg_upgrade --check, all checks, fingerprint. The exit status is 1 when the median of what it takes beyond is more
// than 30 s.
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

// bar is what a precheck of 10,000 tables in 20 databases may take beyond pg_upgrade --check (issue 6).
const bar = 30 * time.Second

type options struct {
	from, to  int
	databases int
	tables    int
	rounds    int
}

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.databases, "databases", 20, "databases")
	flag.IntVar(&o.tables, "tables", 10_000, "tables in all of them, each with a key, a sequence and a second index")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench/precheck:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	if o.rounds < 1 || o.databases < 1 || o.tables < 0 {
		return errors.New("choose at least one round and one database")
	}
	s, err := setUp(ctx, o)
	if s != nil {
		defer func() { err = errors.Join(err, s.clear()) }()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "PostgreSQL %d to %d, %d tables in %d databases\n\n", o.from, o.to, o.tables, o.databases)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "round\tpg_upgrade --check\tprecheck\tbeyond\tfingerprint\t")
	var beyond []time.Duration
	for round := range o.rounds {
		check, err := s.pgUpgradeCheck(ctx)
		if err != nil {
			return err
		}
		whole, err := s.precheck(ctx, int64(round+1))
		if err != nil {
			return err
		}
		fingerprint, err := s.fingerprint(ctx)
		if err != nil {
			return err
		}
		beyond = append(beyond, whole-check)
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t\n", round+1, shown(check), shown(whole), shown(whole-check), shown(fingerprint))
	}
	slices.Sort(beyond)
	middle := beyond[len(beyond)/2]
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nbeyond pg_upgrade --check, median: %s; the bar is %s\n", shown(middle), bar)
	if middle > bar {
		return fmt.Errorf("a precheck takes %s beyond pg_upgrade --check", shown(middle))
	}
	return nil
}

func shown(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
