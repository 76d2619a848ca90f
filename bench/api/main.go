// Command api measures the calls that clients of the clouds' APIs repeat all day: the list of an
// instance's upgrades (Alibaba) and the status of its last one (Huawei), from a catalogue of a million
// upgrades of 10,000 instances, in SQLite and in PostgreSQL.
//
//	go run ./bench/api
//	go run ./bench/api -engine sqlite -tasks 20000 -seconds 2 -rounds 1 # a quick try
//
// Each question is asked in two ways: about 100 instances again and again (hot), as clients do that wait
// for something, and about any of all (uniform). Every request is signed anew, and every server runs in
// a process of its own.
//
// Latency: requests are sent at a rate, answered or not, and count from the moment at which they should
// have been sent. While the host of a virtual machine gives more than 2 % of the processors' time to others
// this is measured again, five times at most, and the calmest time counts. Throughput: a few connections
// ask as fast as they get answers, in turns with the alternative, a net/http handler that verifies the same
// signature and answers the same to everybody. Cost: processor time of the server and of the engine for a
// request, beside the same request to a catalogue of 1,000 upgrades, whose instances have as many each. For
// the uniform case, requests of both sides are made so that no answer can be remembered: the small catalogue
// would fit into the server's memory of answers, and the large one would not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

type options struct {
	engines  []string
	question string
	tasks    int
	few      int
	rate     int
	seconds  int
	rounds   int
	round    time.Duration
	clients  int
	keep     string
	json     string
	profiles string
	major    int
}

func main() {
	harness.Main("bench/api", func(ctx context.Context) error {
		if len(os.Args) == 2 && isServer(os.Args[1]) {
			// The parent ends its children, whatever the terminal says to all of them.
			return runServer(context.WithoutCancel(ctx), os.Args[1], os.Stdin, os.Stdout)
		}
		return bench(ctx, parse(), os.Stdout)
	})
}

func parse() options {
	var o options
	engines := flag.String("engine", "sqlite,postgres", "what the catalogue is kept in")
	flag.StringVar(&o.question, "question", "", "measure this question only: page 1, last page, by version or status")
	flag.IntVar(&o.tasks, "tasks", 1_000_000, "upgrades in the catalogue")
	flag.IntVar(&o.few, "few", 1_000, "upgrades in the catalogue that it is compared with")
	flag.IntVar(&o.rate, "rate", 1_000, "requests per second when latency is measured")
	flag.IntVar(&o.seconds, "seconds", 20, "how long, for each question")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds in which throughput is measured")
	flag.DurationVar(&o.round, "round", 2*time.Second, "length of a round, for each contestant")
	flag.IntVar(&o.clients, "clients", 16, "connections when throughput is measured")
	flag.StringVar(&o.keep, "keep", "", "directory in which the SQLite catalogues are kept for the next run")
	flag.StringVar(&o.json, "json", "", "file into which the result is written, too")
	flag.StringVar(&o.profiles, "cpuprofile", "", "directory for a profile of the server with each question")
	flag.IntVar(&o.major, "major", 17, "major version of PostgreSQL")
	flag.Parse()
	o.engines = strings.Split(*engines, ",")
	return o
}

func bench(ctx context.Context, o options, out io.Writer) error {
	if min(o.tasks, o.few) < tasksPerInstance || o.rate < 1 || o.seconds < 1 || o.rounds < 1 || o.clients < 1 {
		return fmt.Errorf("there must be at least %d upgrades, and one of everything else", tasksPerInstance)
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	r := result{Tasks: o.tasks, Few: o.few, Instances: instances, Rate: o.rate, Seconds: o.seconds, Rounds: o.rounds, Clients: o.clients}
	for _, name := range o.engines {
		figures, err := measureEngine(ctx, name, o)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Engines = append(r.Engines, figures)
	}
	err := r.print(out)
	if o.json != "" {
		err = errors.Join(err, r.write(o.json))
	}
	return errors.Join(err, r.missed())
}
