// Command catchup measures what table groups gain: how fast a target applies a backlog of changes with one
// subscription, and with one for each group of tables.
//
//	go run ./bench/catchup -from 15 -to 17 -groups 2 -rounds 5
//
// A write-heavy backlog is made once, while nobody follows: tables with several indexes, inserts, updates of
// indexed columns and some deletes, in transactions that span tables. Then rounds of both contestants in turn
// apply the same WAL, each from the same position onto a target that was put back, file by file, to what it
// was. The time is that from enabling the subscriptions until the marker has arrived in all groups, so that the
// start of the workers is in it. Publications, groups, subscriptions and markers are those of an upgrade.
//
// Each walsender reads and decodes all WAL, whichever tables it sends: the processor time of both sides is
// printed, since that is what limits the gain. Source and target share the machine.
//
// The exit status is 1 when groups gain less than the bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// bar is the least gain of table groups on two cores (issue 3).
const bar = 1.6

type options struct {
	from, to     int
	groups       int
	rounds       int
	tables       int
	indexes      int
	rows         int
	transactions int
	span         int
	buffers      string
}

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.groups, "groups", 2, "table groups")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each contestant")
	flag.IntVar(&o.tables, "tables", 8, "tables that the backlog is spread over")
	flag.IntVar(&o.indexes, "indexes", 8, "indexes of each table beside its key")
	flag.IntVar(&o.rows, "rows", 40_000, "rows of each table before the backlog")
	flag.IntVar(&o.transactions, "transactions", 12_000, "transactions of the backlog")
	flag.IntVar(&o.span, "span", 2, "tables that each transaction changes, 4 rows in each")
	flag.StringVar(&o.buffers, "buffers", "512MB", "shared_buffers of both; the data of the defaults take some 150 MB")
	flag.Parse()
	harness.Main("bench/catchup", func(ctx context.Context) error { return bench(ctx, o, os.Stdout) })
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	if o.rounds < 1 || o.rows < 1 || o.transactions < 1 || o.groups < 2 || o.groups > upgrade.MaxTableGroups || o.tables < max(o.groups, o.span) || o.span < 1 ||
		o.indexes < 0 || o.indexes > len(indexes()) {
		return fmt.Errorf("choose at least one round, row and transaction, 2 to %d groups, as many tables, and up to %d indexes",
			upgrade.MaxTableGroups, len(indexes()))
	}
	s, err := setUp(ctx, o)
	if s != nil {
		defer func() { err = errors.Join(err, s.clear(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	busy := load()
	var one, groups []round
	for range o.rounds {
		for _, contestant := range []struct {
			groups int
			to     *[]round
		}{{0, &one}, {o.groups, &groups}} {
			r, err := s.catchUp(ctx, contestant.groups)
			if err != nil {
				return err
			}
			*contestant.to = append(*contestant.to, r)
		}
	}
	fmt.Fprintf(out, "PostgreSQL %d and %d, %d cores, load average before %s and after %s\n"+
		"%d transactions in %d tables each, %d changes of rows, %d MB of WAL, %d tables with %d indexes and a key, %d rounds each in turn\n\n",
		o.from, o.to, runtime.NumCPU(), busy, load(), o.transactions, o.span, s.changes, s.wal>>20, o.tables, o.indexes, o.rounds)
	return report(out, o, one, groups)
}

func report(out io.Writer, o options, one, groups []round) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\tmedian\tbest\tworst\twalsenders\tapply workers\t\n")
	for _, row := range []struct {
		name   string
		rounds []round
	}{{"1 subscription", one}, {fmt.Sprintf("%d table groups", o.groups), groups}} {
		took := func(r round) time.Duration { return r.took }
		fmt.Fprintf(table, "%s\t%.2f s\t%.2f s\t%.2f s\t%.2f s\t%.2f s\t\n", row.name,
			median(row.rounds, took).Seconds(), slices.Min(all(row.rounds, took)).Seconds(), slices.Max(all(row.rounds, took)).Seconds(),
			median(row.rounds, func(r round) time.Duration { return r.senders }).Seconds(),
			median(row.rounds, func(r round) time.Duration { return r.workers }).Seconds())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	took := func(r round) time.Duration { return r.took }
	ratio := float64(median(one, took)) / float64(median(groups, took))
	fmt.Fprintf(out, "\nspeed relative to 1 subscription: %.2f (bar: %.1f)\n"+
		"Of walsenders and apply workers the processor time is shown; by that alone it would be %.2f.\n", ratio, bar, byProcessorTime(one, groups))
	if ratio < bar {
		return fmt.Errorf("%d table groups are %.2f times as fast as one subscription, less than %.1f", o.groups, ratio, bar)
	}
	return nil
}

// byProcessorTime is the ratio on a machine that has nothing else to do: one subscription has one process busy on each
// side, and groups have as many as there are cores.
func byProcessorTime(one, groups []round) float64 {
	busiest := median(one, func(r round) time.Duration { return max(r.senders, r.workers) })
	together := median(groups, func(r round) time.Duration { return r.senders + r.workers })
	return float64(busiest) * float64(min(runtime.NumCPU(), groups[0].processes)) / float64(together)
}

func all(rounds []round, of func(round) time.Duration) (durations []time.Duration) {
	for _, r := range rounds {
		durations = append(durations, of(r))
	}
	return durations
}

func median(rounds []round, of func(round) time.Duration) time.Duration {
	return harness.Median(all(rounds, of))
}

// load is the machine's load average of the last minute.
func load() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(content), " ")
	return first
}
