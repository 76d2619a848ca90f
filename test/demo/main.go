// Command demo shows the main job on real parts: a PostgreSQL cluster with two databases is upgraded
// to a new major version while clients write to it through PgBouncer, and afterwards is counted what
// became of each transaction that a client was told had succeeded.
//
// "make demo" builds pgleap and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

// limit is how long a demonstration may take before it is given up.
const limit = 20 * time.Minute

func main() {
	var o options
	flag.IntVar(&o.from, "from", 15, "major version of the source")
	flag.IntVar(&o.to, "to", 17, "major version of the target")
	flag.IntVar(&o.scale, "scale", 20, "scale of pgbench's tables (20: 300 MB)")
	flag.BoolVar(&o.keep, "keep", false, "leave everything running at the end")
	flag.StringVar(&o.binary, "pgleap", "bin/pgleap", "the built program")
	flag.StringVar(&o.report, "report", "build/demo.json", "where the numbers go")
	stop := flag.String("stop", "", "end and remove what an earlier run with -keep has left in this directory")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	if *stop != "" {
		err = clear(*stop)
	} else {
		err = run(ctx, o)
	}
	if err == nil {
		return
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // what failed, failed because of that
		err = errors.New("interrupted")
	case ctx.Err() != nil:
		err = fmt.Errorf("given up after %s: %w", limit, err)
	}
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(1)
}

// clear removes what -keep has left.
func clear(dir string) error {
	w, err := harness.OpenWorkplace(dir)
	if err != nil {
		return err
	}
	return w.Clear(context.Background())
}
