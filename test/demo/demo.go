package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// options are the flags.
type options struct {
	from, to, scale int
	keep            bool
	binary, report  string
}

// instance is the id of what is upgraded.
const instance = "demo"

// The load: 16 clients of two roles, 14 transactions a second each.
var (
	clients = map[harness.Kind]int{harness.TPCB: 6, harness.Entry: 6, harness.Order: 4}
	rate    = 14.0
)

// poolSize is how many connections to a database PgBouncer makes for a role: two for each of this
// machine's cores, as pools are commonly sized. More of them would only wait for each other.
var poolSize = strconv.Itoa(max(4, 2*runtime.NumCPU()))

// before, between and after are how long clients write while nothing else happens, around the switchovers.
const (
	before  = 5 * time.Second
	between = 2 * time.Second
	after   = 5 * time.Second
)

// errNotProven is the failure of a demonstration that came to its end.
var errNotProven = errors.New("not every acknowledged transaction is there exactly once, or one failed")

// demo is one demonstration.
type demo struct {
	options
	screen

	place  *harness.Workplace
	source *harness.Cluster
	server *harness.Server
	record *harness.Record
	load   *harness.Load
	trips  []upgrade.Switchover
	report report
}

// run carries the demonstration out and cleans up, however it ended.
func run(ctx context.Context, o options) (err error) {
	binary, err := filepath.Abs(o.binary)
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		return fmt.Errorf("find the built program (make build): %w", err)
	}
	o.binary = binary
	if _, err := harness.FindBindir(o.to); err != nil {
		return err
	}
	d := &demo{options: o, screen: newScreen(os.Stdout)}
	if d.place, err = harness.NewWorkplace("pgleap-demo-"); err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, errNotProven) && ctx.Err() == nil {
			d.showLogs()
		}
		err = errors.Join(err, d.cleanUp(err))
	}()
	return d.show(ctx)
}

// show is the story.
func (d *demo) show(ctx context.Context) error {
	if err := d.setUp(ctx); err != nil {
		return err
	}
	number, err := d.upgrade(ctx)
	if err != nil {
		return err
	}
	task, err := d.switchOver(ctx, number)
	if err != nil {
		return err
	}
	if err := d.prove(ctx, task); err != nil {
		return err
	}
	return d.clouds(ctx)
}

// setUp makes the source with its data, pgleap and the load.
func (d *demo) setUp(ctx context.Context) error {
	d.title("A PostgreSQL %d with two databases", d.from)
	begun := time.Now()
	source, err := d.place.NewCluster(ctx, d.from, nil)
	if err != nil {
		return err
	}
	d.source = source
	if err := source.Fill(ctx, d.scale); err != nil {
		return err
	}
	if d.report.DataBytes, err = source.Size(ctx); err != nil {
		return err
	}
	d.say("%s: pgbench at scale %d and a ledger in %q, orders in %q; %d MB, %.1f s",
		source.Pgdata, d.scale, harness.Bank, harness.Shop, d.report.DataBytes>>20, time.Since(begun).Seconds())

	d.title("pgleap, and a PgBouncer in front of the source")
	if d.server, err = d.place.StartServer(ctx, d.binary); err != nil {
		return err
	}
	var added upgrade.Instance
	if err := d.pgleap(ctx, &added, "instance", "add", instance, "--pgdata", source.Pgdata, "--pool-size", poolSize); err != nil {
		return err
	}
	d.report.Source = added.Cluster.Version.String()
	d.say("applications connect to %s", added.Endpoint.Listen)

	if d.record, err = harness.NewRecord(filepath.Join(d.place.Dir, "acknowledged.log")); err != nil {
		return err
	}
	d.load = harness.StartLoad(ctx, harness.LoadConfig{
		Port: added.Endpoint.Listen.Port, Clients: clients, Rate: rate, Scale: d.scale, Record: d.record,
	})
	if err := d.load.AwaitProgress(ctx, 200, 20*time.Second); err != nil {
		return fmt.Errorf("%w: %v", err, d.load.Stop().Errors)
	}
	d.report.SetUpSeconds = seconds(time.Since(begun))
	d.say("%d clients of the roles %s and %s write %.0f transactions/s; what they are told goes to %s",
		count(clients), harness.BankRole, harness.ShopRole, float64(count(clients))*rate, "acknowledged.log")
	return nil
}

// upgrade starts the upgrade and follows it until the target has caught up.
func (d *demo) upgrade(ctx context.Context) (int64, error) {
	d.title("Upgrade to PostgreSQL %d, under load", d.to)
	var task upgrade.Task
	err := d.pgleap(ctx, &task, "upgrade", instance, "--to", strconv.Itoa(d.to), "--mode", string(upgrade.ZeroDowntime),
		"--statistics", string(upgrade.StatisticsBefore), "--switch", string(upgrade.SwitchManual), "--detach")
	if err != nil {
		return 0, err
	}
	d.follow(ctx, d.server, task.Number)
	if _, err := d.server.AwaitSynchronized(ctx, task.Number, 5*time.Minute); err != nil {
		return 0, err
	}
	if err := d.findings(ctx, task.Number); err != nil {
		return 0, err
	}
	return task.Number, d.load.AwaitProgress(ctx, transactions(before), time.Minute)
}

// findings tells what the precheck of the upgrade found.
func (d *demo) findings(ctx context.Context, number int64) error {
	var found upgrade.Report
	if err := d.server.Get(ctx, fmt.Sprintf("/tasks/%d/report", number), &found); err != nil {
		return err
	}
	for _, f := range found.Findings {
		d.say("the precheck's %s: %s", f.Severity, f.Title)
	}
	return nil
}

// switchOver lets the clients, who write all the time, go to the target, back to the source, and to the
// target again; then the upgrade is finished.
func (d *demo) switchOver(ctx context.Context, number int64) (upgrade.Task, error) {
	if err := d.trip(ctx, number, "switch"); err != nil {
		return upgrade.Task{}, err
	}
	d.title("Back to PostgreSQL %d, with all that was written since, and there again", d.from)
	if err := d.trip(ctx, number, "back"); err != nil {
		return upgrade.Task{}, err
	}
	if _, err := d.server.AwaitSynchronized(ctx, number, time.Minute); err != nil {
		return upgrade.Task{}, err
	}
	if err := d.trip(ctx, number, "switch"); err != nil {
		return upgrade.Task{}, err
	}
	if err := d.pgleap(ctx, nil, "finish", instance, "--yes"); err != nil {
		return upgrade.Task{}, err
	}
	task, err := d.server.AwaitEnd(ctx, number, time.Minute)
	if err != nil {
		return task, err
	}
	d.followed()
	if task.Status != upgrade.StatusSucceeded || task.Switchover == nil {
		return task, fmt.Errorf("the upgrade is %s: %s", task.Status, task.Reason)
	}
	return task, d.load.AwaitProgress(ctx, transactions(after), time.Minute)
}

// trip says a verb, and waits until the side that clients have left follows, and the data of both sides
// were compared.
func (d *demo) trip(ctx context.Context, number int64, verb string) error {
	said := time.Now()
	if err := d.pgleap(ctx, nil, "switchover", instance, verb); err != nil {
		return err
	}
	task, err := d.server.AwaitTask(ctx, number, 2*time.Minute, "both sides to be compared", func(t upgrade.Task) bool {
		return t.Verification != nil && t.Verification.StartedAt.After(said)
	})
	if err != nil {
		return err
	}
	d.trips = append(d.trips, *task.Switchover)
	return d.load.AwaitProgress(ctx, transactions(between), time.Minute)
}

// prove stops the clients, counts, and writes the report.
func (d *demo) prove(ctx context.Context, task upgrade.Task) error {
	d.title("Is every acknowledged transaction there exactly once?")
	summary := d.load.Stop()
	begun := time.Now()
	var now upgrade.Instance
	if err := d.server.JSON(ctx, &now, "instance", "show", instance); err != nil {
		return err
	}
	target := d.source.Upgraded(now.Cluster.Bindir, now.Cluster.Pgdata, now.Cluster.Port)
	verdict, err := harness.Verify(ctx, target, d.record)
	if err != nil {
		return err
	}
	if err := harness.VerifyService(ctx, verdict, now.Endpoint.Listen.Port, d.source, target, d.to); err != nil {
		return err
	}
	for _, line := range verdict.Checks {
		d.say("ok: %s", line)
	}
	for _, line := range append(verdict.Problems, summary.Errors...) {
		d.say("NOT OK: %s", line)
	}
	d.report.VerifySeconds = seconds(time.Since(begun))
	d.report.fill(task, now, summary, verdict)
	d.report.fillTrips(d.trips, summary)
	d.summarize()
	if err := d.report.write(d.options.report); err != nil {
		return err
	}
	if d.report.Failed > 0 || !verdict.Good() {
		return errNotProven
	}
	return nil
}

// pgleap shows a command of pgleap and runs it.
func (d *demo) pgleap(ctx context.Context, into any, args ...string) error {
	d.command(args...)
	return d.server.JSON(ctx, into, args...)
}

// cleanUp ends everything, unless it is to be kept.
func (d *demo) cleanUp(failed error) error {
	if d.load != nil {
		d.load.Stop()
	}
	if d.keep && failed == nil {
		d.left()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if d.server != nil {
		err = d.server.Stop(ctx)
	}
	return errors.Join(err, d.place.Clear(ctx))
}

// left tells what -keep leaves.
func (d *demo) left() {
	d.title("Everything is still running (KEEP=1)")
	if address, err := d.server.Address(); err == nil {
		d.say("pgleap listens on %s", address)
	}
	d.say("ask it:   %s tasks --state-dir %s", d.binary, d.server.StateDir)
	d.say("end it:   go run ./test/demo -stop %s", d.place.Dir)
}

// transactions is how many the clients do in a time.
func transactions(d time.Duration) int64 { return int64(d.Seconds() * float64(count(clients)) * rate) }

func count(clients map[harness.Kind]int) int {
	n := 0
	for _, c := range clients {
		n += c
	}
	return n
}
