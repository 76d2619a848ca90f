// Command precheck measures what a precheck takes beyond the pg_upgrade --check that is part of it, on a source
// with many tables in many databases.
//
//	go run ./bench/precheck -from 15 -to 17 -databases 20 -tables 10000 -rounds 3
//
// Each round runs pg_upgrade --check alone, and the whole precheck as the agent does it: scratch cluster,
// pg_upgrade --check, all checks, fingerprint. What it takes beyond is what is not the pg_upgrade --check within. The
// schema rehearsal is off; with -rehearsal each round runs a second precheck with it, and tells apart what it took.
// The exit status is 1 when the median of what a precheck takes beyond is more than 30 s, when anything could not be
// checked, or when a rehearsal came to no end within its bounds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

// bar is what a precheck of 10,000 tables in 20 databases may take beyond pg_upgrade --check (issue 6).
const bar = 30 * time.Second

type options struct {
	from, to  int
	databases int
	tables    int
	rounds    int
	rehearsal bool
	verbose   bool
}

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.databases, "databases", 20, "databases")
	flag.IntVar(&o.tables, "tables", 10_000, "tables in all of them, see definitions")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds")
	flag.BoolVar(&o.rehearsal, "rehearsal", false, "measure the schema rehearsal as well, apart")
	flag.BoolVar(&o.verbose, "v", false, "tell how long each part of the precheck takes")
	flag.Parse()
	harness.Main("bench/precheck", func(ctx context.Context) error { return bench(ctx, o, os.Stdout) })
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
	fmt.Fprintln(table, "round\t--check alone\tprecheck\t--check within\tbeyond\tfingerprint\tchecks\trehearsal\t")
	var beyond, rehearsals []time.Duration
	for number := range o.rounds {
		r, err := s.round(ctx, int64(number+1))
		if err != nil {
			return errors.Join(table.Flush(), err)
		}
		beyond, rehearsals = append(beyond, r.beyond()), append(rehearsals, r.rehearsal)
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", number+1, shown(r.alone), shown(r.whole), shown(r.within),
			shown(r.beyond()), shown(r.fingerprint), shown(r.checks), shown(r.rehearsal))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	middle := harness.Median(beyond)
	fmt.Fprintf(out, "\nbeyond pg_upgrade --check, median: %s; the bar is %s\n", shown(middle), shown(bar))
	if o.rehearsal {
		limit, _ := s.plan.Options.SchemaRehearsalBounds()
		fmt.Fprintf(out, "the schema rehearsal, median: %s; it may take %s\n", shown(harness.Median(rehearsals)), shown(limit))
	}
	if middle > bar {
		return fmt.Errorf("a precheck takes %s beyond pg_upgrade --check", shown(middle))
	}
	return nil
}

// round is what was measured in one.
type round struct {
	alone       time.Duration // pg_upgrade --check by itself
	whole       time.Duration // the precheck
	within      time.Duration // the pg_upgrade --check of the precheck
	fingerprint time.Duration
	checks      time.Duration
	rehearsal   time.Duration // of a precheck that has one
}

func (r round) beyond() time.Duration { return r.whole - r.within }

func shown(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
