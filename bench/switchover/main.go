// Command switchover measures pgleap's critical section against the naive recipe, side by side: one
// source, one target, one PgBouncer, one load, rounds of both in turn.
//
//	go run ./bench/switchover -from 15 -to 17 -rounds 20
//
// What is in the figures, for both: everything from the PAUSE to the end of the RESUME, under a load
// that goes on all the time. Clients see the longest latency of all transactions that overlap it.
//
// What is different from an upgrade, for both: clients go on at the source, or the two sides would
// drift apart and a second round would have nothing to measure. The move is a real one (the file is
// edited, PgBouncer reloads it, the outcome is looked at, every server connection is made anew), but
// it goes to the source's other loopback address instead of the target's port; and right before the
// RESUME the fence is lifted, by the same statement over the same open connection. That statement is
// in the figures, and an upgrade does not have it. The forward subscriptions are enabled again
// between the rounds.
//
// What is left out, for both: the preparations before the PAUSE. Of ours that is "ready", which no
// client notices. The guard process is not started (it starts before the PAUSE), and the snapshots are
// opened but nothing is compared in them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// limit bounds the whole benchmark.
const limit = 5 * time.Minute

type options struct {
	from, to  int
	rounds    int
	rate      int
	clients   int
	sequences int
	json      bool
	strict    bool
	verbose   bool
}

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.rounds, "rounds", 20, "rounds of each contestant")
	flag.IntVar(&o.rate, "rate", 400, "transactions per second")
	flag.IntVar(&o.clients, "clients", 16, "clients that make them")
	flag.IntVar(&o.sequences, "sequences", 100, "sequences in each database")
	flag.BoolVar(&o.json, "json", false, "print the result as JSON")
	flag.BoolVar(&o.strict, "strict", false, "exit 1 unless ours is within 100 ms and the naive recipe 8 times slower")
	flag.BoolVar(&o.verbose, "v", false, "tell every round")
	flag.Parse()
	harness.Main("bench/switchover", func(ctx context.Context) error { return bench(ctx, o, os.Stdout) })
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	if o.rounds < 1 || o.rate < 1 || o.clients < 1 {
		return errors.New("rounds, rate and clients must be at least 1")
	}
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelDebug
	}
	s, err := setUp(ctx, o, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	if s != nil {
		defer func() { err = errors.Join(err, s.clear(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	ours, naive, usual, err := s.compete(ctx, o)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	result := sumUp(o, usual, ours, naive)
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(result)
	} else {
		err = result.print(out)
	}
	if err == nil && o.strict {
		err = result.missed()
	}
	return err
}

// round is what one switchover took.
type round struct {
	Seen  time.Duration          // the longest latency that a client saw
	Pause time.Duration          // from the PAUSE to the end of the RESUME
	Steps []upgrade.StepDuration // in order
}

// compete runs the rounds in turn while clients work, and looks in the end that nothing was lost.
func (s *stage) compete(ctx context.Context, o options) (ours, naive []round, usual []time.Duration, err error) {
	load, err := startLoad(ctx, s, o)
	if err != nil {
		return nil, nil, nil, err
	}
	defer load.stop()
	for n := range o.rounds {
		for _, contestant := range []struct {
			name string
			do   func(context.Context, int) (timed, error)
			to   *[]round
		}{
			{"ours", s.ours, &ours},
			{"naive", s.naive, &naive},
		} {
			if err := load.steady(ctx, s.connections); err != nil {
				return nil, nil, nil, err
			}
			took, err := contestant.do(ctx, n+1)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("round %d, %s: %w", n+1, contestant.name, err)
			}
			if err := s.synchronize(ctx); err != nil {
				return nil, nil, nil, fmt.Errorf("after round %d, %s: %w", n+1, contestant.name, err)
			}
			seen, err := load.longest(ctx, took.begun, took.ended)
			if err != nil {
				return nil, nil, nil, err
			}
			r := round{Seen: seen, Pause: took.ended.Sub(took.begun), Steps: took.steps}
			*contestant.to = append(*contestant.to, r)
			s.log.InfoContext(ctx, "round", "number", n+1, "contestant", contestant.name, "begun", took.begun, "seen", r.Seen, "pause", r.Pause, "steps", fmt.Sprint(r.Steps))
		}
	}
	load.stop()
	return ours, naive, load.latencies(), s.verify(ctx, load)
}

// timed is when the pause of a round was.
type timed struct {
	begun, ended time.Time
	steps        []upgrade.StepDuration
}
