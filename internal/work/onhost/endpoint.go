package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// MakeEndpoint starts a PgBouncer for an instance or looks whether one that exists can be adopted.
func (w *Worker) MakeEndpoint(ctx context.Context, args step.MakeEndpointArgs) (upgrade.Endpoint, error) {
	if args.Endpoint.Owned {
		return w.ownEndpoint(ctx, args)
	}
	return w.adoptEndpoint(ctx, args)
}

// RemoveEndpoint stops an owned PgBouncer. One that was adopted is its user's.
func (w *Worker) RemoveEndpoint(ctx context.Context, e upgrade.Endpoint) (step.Done, error) {
	if !e.Owned {
		return step.Done{}, nil
	}
	if err := w.forgetEndpoint(e); err != nil { // first: what is remembered is kept running
		return step.Done{}, err
	}
	if err := (pgbouncer.Own{Dir: e.Dir, ListenPort: e.Listen.Port}).Stop(ctx); err != nil {
		return step.Done{}, err
	}
	if err := os.RemoveAll(e.Dir); err != nil {
		return step.Done{}, fmt.Errorf("remove PgBouncer's directory: %w", err)
	}
	return step.Done{}, nil
}

// driver drives the endpoint of an instance whose clusters are, or will be, these.
func driver(e upgrade.Endpoint, clusters ...upgrade.Cluster) endpoint.Driver {
	var addresses []endpoint.Address
	for _, c := range clusters {
		addresses = append(addresses, endpoint.Address{Host: "127.0.0.1", Port: c.Port})
		if c.SocketDir != "" {
			addresses = append(addresses, endpoint.Address{Host: c.SocketDir, Port: c.Port})
		}
	}
	return pgbouncer.New(pgbouncer.Adopt{
		Console: pgbouncer.Console{
			Host: e.Console.Host, Port: e.Console.Port, User: e.ConsoleUser, Passfile: e.ConsolePassfile,
		},
		Ini: e.Ini, Cluster: addresses,
	})
}

// tidyEndpoint removes what an attempt to switch over may have left beside the endpoint's files. An upgrade ends whether
// its endpoint answers or not.
func (w *Worker) tidyEndpoint(ctx context.Context, plan upgrade.Plan) {
	if plan.Endpoint.Driver == "" {
		return
	}
	if err := driver(plan.Endpoint, plan.Source, plan.Target).Tidy(ctx); err != nil {
		w.log.WarnContext(ctx, "files that were prepared for the endpoint may be left beside its own", "task", plan.Number, "error", err)
	}
}

// ownEndpoint runs a PgBouncer of the instance's own, as the cluster's owner. It outlives the agent.
func (w *Worker) ownEndpoint(ctx context.Context, args step.MakeEndpointArgs) (upgrade.Endpoint, error) {
	var e upgrade.Endpoint
	binary, err := run.LookPath("pgbouncer")
	if err != nil {
		return e, &upgrade.Refused{Reason: err.Error(), Remedy: "install PgBouncer (apt-get install pgbouncer), or adopt one that runs (--pgbouncer adopt)"}
	}
	user, err := run.LookupUser(args.Cluster.Owner)
	if err != nil {
		return e, &upgrade.Refused{Reason: err.Error()}
	}
	dir, err := w.endpointDir(args.Instance, user)
	if err != nil {
		return e, err
	}
	users, err := w.pooledUsers(ctx, args.Cluster)
	if err != nil {
		return e, err
	}
	if known, err := w.runningEndpoint(ctx, args, dir); known.Driver != "" || err != nil {
		return known, err
	}
	target, err := w.pooledAddress(ctx, args.Cluster)
	if err != nil {
		return e, err
	}
	port, err := listenPort(args.Endpoint.Listen.Port)
	if err != nil {
		return e, err
	}
	auth := args.Endpoint.AuthType
	if auth == "" {
		auth = pgbouncer.AuthType(users)
	}
	own := pgbouncer.Own{
		Dir: dir, UID: user.UID, GID: user.GID, Binary: binary, Starter: starter{w.runner, user},
		ListenAddress: "127.0.0.1", ListenPort: port,
		Target: target, AuthType: auth, DefaultPoolSize: args.Endpoint.PoolSize,
	}
	if err := own.Start(ctx); err != nil {
		return e, err
	}
	if _, err := own.RefreshUsers(ctx, users); err != nil {
		return e, err
	}
	console := own.Adopt().Console
	e = upgrade.Endpoint{
		Driver: upgrade.PgBouncer, Owned: true, Listen: upgrade.Address{Host: "127.0.0.1", Port: port},
		Console:     upgrade.Address{Host: console.Host, Port: console.Port},
		ConsoleUser: console.User, ConsolePassfile: console.Passfile,
		Ini: own.Adopt().Ini, Dir: dir, AuthType: auth, PoolSize: args.Endpoint.PoolSize,
	}
	return e, w.rememberEndpoint(args.Cluster, e)
}

// runningEndpoint is the PgBouncer that was left running when an instance of this name was removed.
// It is taken again if it leads to the cluster.
func (w *Worker) runningEndpoint(ctx context.Context, args step.MakeEndpointArgs, dir string) (upgrade.Endpoint, error) {
	var known pooled
	found, err := files{dir: w.pooledDir()}.read(note(filepath.Base(w.pooledFile(upgrade.Endpoint{Dir: dir}))), &known)
	if err != nil || !found {
		return upgrade.Endpoint{}, err
	}
	status, err := pgbouncer.Own{Dir: dir, ListenPort: known.Endpoint.Listen.Port}.Status(ctx)
	if err != nil || !status.Running {
		return upgrade.Endpoint{}, err
	}
	_, err = w.CheckEndpoint(ctx, step.CheckEndpointArgs{Endpoint: known.Endpoint, Cluster: args.Cluster})
	if err != nil {
		return upgrade.Endpoint{}, fmt.Errorf("a PgBouncer of an earlier instance %s runs in %s: %w", args.Instance, dir, err)
	}
	return known.Endpoint, w.rememberEndpoint(args.Cluster, known.Endpoint)
}

// pooledAddress is where a PgBouncer reaches the cluster as any role: by TCP if the cluster listens
// there, since over a socket Debian's pg_hba.conf wants every role's own operating system user.
func (w *Worker) pooledAddress(ctx context.Context, cluster upgrade.Cluster) (endpoint.Address, error) {
	address := endpoint.Address{Host: "127.0.0.1", Port: cluster.Port}
	var listens string
	err := with(ctx, w.host.Login(cluster, "postgres"), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		listens = settings.Text("listen_addresses")
		return err
	})
	for name := range strings.SplitSeq(listens, ",") {
		switch strings.TrimSpace(name) {
		case "*", "localhost", "127.0.0.1", "0.0.0.0":
			return address, err
		}
	}
	if cluster.SocketDir != "" {
		address.Host = cluster.SocketDir
	}
	return address, err
}

// endpointDir makes the directory of an instance's PgBouncer, which the cluster's owner must reach.
func (w *Worker) endpointDir(instance string, user run.User) (string, error) {
	parent := filepath.Join(filepath.Dir(w.dir), "pgbouncer")
	if err := os.MkdirAll(parent, 0o711); err != nil { //nolint:gosec // its owner must pass through
		return "", fmt.Errorf("make PgBouncer's directory: %w", err)
	}
	dir := filepath.Join(parent, instance)
	return dir, makeDir(dir, user)
}

// listenPort is the wanted port, if it is free, or any free one.
func listenPort(wanted int) (int, error) {
	if wanted == 0 {
		return lastingPort()
	}
	if !portIsFree(wanted) {
		return 0, &upgrade.Refused{
			Reason: fmt.Sprintf("port %d is taken", wanted),
			Remedy: "choose another port for PgBouncer, or 0 for a free one",
		}
	}
	return wanted, nil
}

// starter runs PgBouncer as the cluster's owner.
type starter struct {
	runner *run.Runner
	user   run.User
}

// Start runs the program to its end.
func (s starter) Start(ctx context.Context, path string, args []string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: path, Args: args, As: s.user})
	return err
}

// adoptEndpoint looks whether a PgBouncer that exists leads to the cluster and could be switched.
func (w *Worker) adoptEndpoint(ctx context.Context, args step.MakeEndpointArgs) (upgrade.Endpoint, error) {
	e := args.Endpoint
	e.Driver = upgrade.PgBouncer
	if _, err := w.CheckEndpoint(ctx, step.CheckEndpointArgs{Endpoint: e, Cluster: args.Cluster}); err != nil {
		return e, err
	}
	if e.Listen.Port == 0 {
		e.Listen = upgrade.Address{Host: "127.0.0.1", Port: e.Console.Port}
	}
	return e, nil
}

// CheckEndpoint refuses an endpoint that is down, that could not be switched, or that does not lead
// to the cluster.
func (w *Worker) CheckEndpoint(ctx context.Context, args step.CheckEndpointArgs) (step.Done, error) {
	d := driver(args.Endpoint, args.Cluster)
	if err := d.Check(ctx); err != nil {
		return step.Done{}, &upgrade.Refused{Reason: err.Error(), Cause: upgrade.CauseNoEndpoint}
	}
	state, err := d.Describe(ctx)
	if err != nil {
		return step.Done{}, &upgrade.Refused{Reason: err.Error(), Cause: upgrade.CauseNoEndpoint}
	}
	if len(state.Databases) == 0 {
		return step.Done{}, &upgrade.Refused{
			Reason: "no database of this PgBouncer leads to " + args.Cluster.String(),
			Cause:  upgrade.CauseNoEndpoint,
			Remedy: "add the databases to its configuration, or let pgleap run a PgBouncer of its own (--pgbouncer own)",
		}
	}
	return step.Done{}, nil
}
