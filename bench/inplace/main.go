// Command inplace measures the outage of an upgrade in place against a script that does the least: stop,
// pg_upgrade --link, start; and against Debian's pg_upgradecluster, where that is installed and root runs it.
//
//	go run ./bench/inplace -from 15 -to 17 -tables 6000 -rounds 5
//
// Each round has a fresh copy of the same data directory for each contestant, in turn. What can be done
// before the stop is done before: initdb, the configuration, pg_upgrade --check. A client inserts rows all the
// time, over connections of its own; the outage is the longest time in which it got nothing acknowledged.
//
// pg_upgradecluster works on clusters of a mount namespace of its own: it does not see this machine's.
//
// The exit status is 1 when the median of ours is more than 1.05 times that of the script, or not below that of
// pg_upgradecluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
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
	harness.Main("bench/inplace", func(ctx context.Context) error {
		if noDebian() == "" && os.Getenv(confined) == "" {
			return confine(ctx)
		}
		return bench(ctx, o, os.Stdout)
	})
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
	contestants := []*contestant{{name: "pgleap", upgrade: s.ours}, {name: "script", upgrade: s.bare}}
	if why := noDebian(); why == "" {
		if err := coverDebian(o.from, o.to); err != nil {
			return err
		}
		contestants = append(contestants, &contestant{name: "pg_upgradecluster", upgrade: s.debian})
	} else {
		fmt.Fprintf(out, "Without pg_upgradecluster: %s.\n\n", why)
	}
	for round := range o.rounds {
		for i := range contestants {
			c := contestants[(i+round)%len(contestants)] // whoever comes later finds warm caches
			took, err := c.upgrade(ctx)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
			}
			c.outages = append(c.outages, took)
			fmt.Fprintf(out, "round %d: %s %s\n", round+1, c.name, shown(took)) // with many tables a round takes long
		}
	}
	fmt.Fprintln(out)
	reportSteps(out, s.steps)
	return report(out, contestants)
}

// reportSteps tells what our outages consist of.
func reportSteps(out io.Writer, rounds [][]upgrade.StepDuration) {
	for round, steps := range rounds {
		fmt.Fprintf(out, "pgleap, round %d:", round+1)
		for _, step := range steps {
			fmt.Fprintf(out, " %s %s", step.Step, shown(step.Duration))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}

func report(out io.Writer, contestants []*contestant) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(title string, of func(*contestant) string) {
		cells := []string{title}
		for _, c := range contestants {
			cells = append(cells, of(c))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t")+"\t")
	}
	row("round", func(c *contestant) string { return c.name })
	for round := range contestants[0].outages {
		row(fmt.Sprint(round+1), func(c *contestant) string { return shown(c.outages[round]) })
	}
	row("median", func(c *contestant) string { return shown(c.median()) })
	if err := table.Flush(); err != nil {
		return err
	}
	var missed error
	for _, other := range contestants[1:] {
		ratio := contestants[0].median().Seconds() / other.median().Seconds()
		most := bar
		if other.name != "script" {
			most = 1
		}
		fmt.Fprintf(out, "\nThe outage is %.3f times that of %s; the bar is %.2f.\n", ratio, other.name, most)
		if ratio > most {
			missed = errors.New("the bar is missed")
		}
	}
	return missed
}

func shown(d time.Duration) string { return d.Round(time.Millisecond).String() }
