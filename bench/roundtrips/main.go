// Command roundtrips brings clients from the source to the target and back, again and again, by the real
// program: `pgleap switchover ID switch` and `back`, under a load that goes on all the time.
//
//	go run ./bench/roundtrips -binary bin/pgleap -trips 100
//
// After each switchover and each switchback both sides are compared, in the snapshots that it took; at the
// end every transaction that was acknowledged must be there once. A client's pause is how long its transaction
// took that was under way at the RESUME, its own work included. The unluckiest client's is the larger of the longest
// transaction that overlaps the switchover and the longest time in which none ended.
//
// The servers look for new subscriptions every 100 ms instead of every 5 s (wal_retrieve_retry_interval),
// so that the side that was left follows soon: no client notices either.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

const (
	instance = "orders"
	// patience is for one leg of a trip, its comparison included.
	patience = 2 * time.Minute
	// median and longest are what a client's pause may take.
	median  = 50 * time.Millisecond
	longest = 250 * time.Millisecond
)

type options struct {
	binary   string
	from, to int
	trips    int
	rate     float64
	poolSize int
	strict   bool
	verbose  bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/pgleap", "the program")
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.trips, "trips", 100, "there and back")
	flag.Float64Var(&o.rate, "rate", 20, "transactions per second of each of the 8 clients")
	flag.IntVar(&o.poolSize, "pool-size", 4, "PgBouncer's connections to the cluster for each role and database")
	flag.BoolVar(&o.strict, "strict", false, "exit 1 unless the median is below 50 ms and the longest below 250 ms")
	flag.BoolVar(&o.verbose, "v", false, "tell every pause")
	flag.Parse()
	harness.Main("bench/roundtrips", func(ctx context.Context) error { return bench(ctx, o, os.Stdout) })
}

// bench makes the trips on an instance of its own, and removes it.
func bench(ctx context.Context, o options, out io.Writer) (err error) {
	place, err := harness.NewWorkplace("pgleap-roundtrips-")
	if err != nil {
		return err
	}
	t := &traveller{options: o, place: place, out: out}
	defer func() {
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if t.load != nil {
			t.load.Stop()
		}
		if t.server != nil {
			err = errors.Join(err, t.server.Stop(clearing))
		}
		err = errors.Join(err, place.Clear(clearing))
	}()
	if err := t.setUp(ctx); err != nil {
		return err
	}
	begun := time.Now()
	for trip := range o.trips {
		for _, verb := range []string{"switch", "back"} {
			if err := t.travel(ctx, verb); err != nil {
				return fmt.Errorf("trip %d, %s: %w", trip+1, verb, err)
			}
		}
	}
	return t.arrive(ctx, time.Since(begun))
}

// traveller is an instance whose clients go to and fro.
type traveller struct {
	options

	out    io.Writer
	place  *harness.Workplace
	source *harness.Cluster
	server *harness.Server
	record *harness.Record
	load   *harness.Load
	number int64
	port   int
	legs   []upgrade.Switchover
}

// setUp makes an instance under load, and upgrades it up to the first switchover.
func (t *traveller) setUp(ctx context.Context) (err error) {
	quick := map[string]string{"wal_retrieve_retry_interval": "100ms"}
	if t.source, err = t.place.NewCluster(ctx, t.from, quick); err != nil {
		return err
	}
	if err := t.source.Fill(ctx, 1); err != nil {
		return err
	}
	binary, err := filepath.Abs(t.binary)
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	if t.server, err = t.place.StartServer(ctx, binary); err != nil {
		return err
	}
	var added upgrade.Instance
	if err := t.server.JSON(ctx, &added, "instance", "add", instance, "--pgdata", t.source.Pgdata, "--pool-size", strconv.Itoa(t.poolSize)); err != nil {
		return err
	}
	t.port = added.Endpoint.Listen.Port
	if t.record, err = harness.NewRecord(filepath.Join(t.place.Dir, "acknowledged.log")); err != nil {
		return err
	}
	t.load = harness.StartLoad(ctx, harness.LoadConfig{
		Port: t.port, Rate: t.rate, Scale: 1, Record: t.record,
		Clients: map[harness.Kind]int{harness.TPCB: 2, harness.Entry: 3, harness.Order: 3}, // of two roles
	})
	var task upgrade.Task
	if err := t.server.JSON(ctx, &task, "upgrade", instance, "--to", strconv.Itoa(t.to), "--detach"); err != nil {
		return err
	}
	t.number = task.Number
	_, err = t.server.AwaitSynchronized(ctx, t.number, 5*time.Minute)
	return err
}

// travel brings the clients to the other side, and waits until both sides were found identical and the
// one that was left follows.
func (t *traveller) travel(ctx context.Context, verb string) error {
	if err := t.server.Say(ctx, instance, verb); err != nil {
		return err
	}
	said := time.Now()
	there := verb == "switch"
	task, err := t.server.AwaitTask(ctx, t.number, patience, "both sides to be compared", func(task upgrade.Task) bool {
		s, v := task.Switchover, task.Verification
		refused := s != nil && !s.Switched && s.EndedAt.After(said)
		return refused || task.OnTarget() == there && v != nil && v.StartedAt.After(said)
	})
	if err != nil {
		return err
	}
	if task.OnTarget() != there {
		return errors.New("it did not switch: " + task.Switchover.Reason)
	}
	if !task.Verification.Identical {
		return errors.New(task.Verification.String())
	}
	t.legs = append(t.legs, *task.Switchover)
	if t.verbose {
		for _, try := range task.Switchover.Tries {
			fmt.Fprintln(t.out, try, try.Steps)
		}
		fmt.Fprintf(t.out, "%-6s %v %v\n", verb, task.Switchover.Pause.Round(100*time.Microsecond), task.Switchover.Steps)
	}
	following := upgrade.PhaseSynchronizing
	if there {
		following = upgrade.PhaseFollowing
	}
	_, err = t.server.AwaitTask(ctx, t.number, patience, "the other side to follow", func(task upgrade.Task) bool {
		p := task.Progress
		return task.Phase == following && p != nil && p.Phase == following && p.Lag != nil && p.Lag.LagSeconds < 1
	})
	return err
}

// arrive stops the clients at the source, counts, and tells.
func (t *traveller) arrive(ctx context.Context, took time.Duration) error {
	summary := t.load.Stop()
	verdict, err := harness.Verify(ctx, t.source, t.record)
	if err != nil {
		return err
	}
	var held, seen, server []time.Duration
	gaveWay := 0
	for _, leg := range t.legs {
		pauses := append(leg.Tries, upgrade.Try{StartedAt: leg.StartedAt, EndedAt: leg.EndedAt})
		for _, pause := range pauses {
			held = append(held, summary.Held(pause.EndedAt)...)
			seen = append(seen, summary.PauseBetween(pause.StartedAt, pause.EndedAt).Seen())
			server = append(server, pause.EndedAt.Sub(pause.StartedAt))
		}
		gaveWay += len(leg.Tries)
	}
	slices.Sort(held)
	slices.Sort(seen)
	slices.Sort(server)
	failed := len(summary.Samples) - summary.Count(harness.Acknowledged)
	fmt.Fprintf(t.out, "%d there and back from %d to %d in %s: %d switchovers, each with both sides found identical, and %d tries that gave way\n",
		t.trips, t.from, t.to, took.Round(time.Second), len(t.legs), gaveWay)
	fmt.Fprintf(t.out, "%d transactions, failed %d, lost %d, duplicated %d, unexpected %d\n",
		len(summary.Samples), failed, verdict.Lost, verdict.Duplicated, verdict.Unexpected)
	fmt.Fprintf(t.out, "a client's pause (%d held):  %s\n", len(held), quantiles(held))
	fmt.Fprintf(t.out, "the unluckiest client's:      %s\n", quantiles(seen))
	fmt.Fprintf(t.out, "pause from PAUSE to RESUME:   %s\n", quantiles(server))
	fmt.Fprintf(t.out, "a transaction at other times: median %s, p99 %s\n", tenths(summary.Latency(0.5)), tenths(summary.Latency(0.99)))
	if failed > 0 || !verdict.Good() {
		return fmt.Errorf("not every transaction succeeded and is there once: %v", append(verdict.Problems, summary.Errors...))
	}
	if t.strict && (held[len(held)/2] > median || seen[len(seen)-1] > longest) {
		return fmt.Errorf("the median may be %s, the longest %s", median, longest)
	}
	return nil
}

func quantiles(sorted []time.Duration) string {
	at := func(q float64) string { return tenths(sorted[int(q*float64(len(sorted)-1))]) }
	return fmt.Sprintf("median %s, p95 %s, p99 %s, longest %s", at(0.5), at(0.95), at(0.99), at(1))
}

func tenths(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
