// Package app wires the server: catalogue, engine, workers, agent and the API.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/agent"
	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/config"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/durable/embedded"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade/flow"
	"github.com/pgleap/pgleap/internal/upgrade/step"
	"github.com/pgleap/pgleap/internal/work/onserver"
)

// Server is pgleap's server, with all that it runs.
type Server struct {
	config  config.Server
	log     *slog.Logger
	closers []func() // in the order of their making
	control *control.Control
	listen  net.Listener
	scheme  string
	http    *http.Server
}

// Start brings everything up and returns when the API answers.
func Start(ctx context.Context, c config.Server, log *slog.Logger) (_ *Server, err error) {
	s := &Server{config: c, log: log}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := s.lockState(); err != nil {
		return nil, err
	}
	// Nothing that the rest needs is needed for this, and clients may be waiting.
	early, stop := context.WithCancel(ctx)
	s.closers = append(s.closers, stop)
	host := agent.New(c.Agent("", log))
	go host.KeepEndpoints(early)
	recovered := host.Recover(early)
	if err := s.bringUpWhile(ctx, recovered); err != nil {
		return nil, err
	}
	return s, nil
}

// tryEvery is how soon another attempt is made to come up.
const tryEvery = time.Second

// findOut is how long it is waited for a recovery to find that nothing was left in the middle.
const findOut = 100 * time.Millisecond

// bringUpWhile comes up beside a recovery. While that goes on, a failure does not end this process, since the
// recovery would end with it: its source may be the very cluster that the record is in. Without one, whoever
// started this process sees to it.
func (s *Server) bringUpWhile(ctx context.Context, recovered <-chan struct{}) error {
	select {
	case <-recovered:
	case <-time.After(findOut):
	}
	told := ""
	for ended := false; ; {
		select {
		case <-recovered:
			ended = true
		default:
		}
		made := len(s.closers)
		err := s.bringUp(ctx)
		if err == nil {
			return nil
		}
		s.stopSince(made)
		if ended || ctx.Err() != nil {
			return err
		}
		if text := err.Error(); text != told {
			told = text
			s.log.WarnContext(ctx, "not started yet; what a crash left in the middle is ended meanwhile", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-recovered:
		case <-time.After(tryEvery):
		}
	}
}

// bringUp starts all that the API stands on, and the API.
func (s *Server) bringUp(ctx context.Context) error {
	if err := s.takeAddress(ctx); err != nil {
		return err
	}
	if err := s.retireOldEngine(ctx); err != nil {
		return err
	}
	record, err := s.openCatalog(ctx)
	if err != nil {
		return err
	}
	own, err := s.ownIdentity(ctx, record) // before there is an engine
	if err != nil {
		return err
	}
	temporal, key, err := s.startEngine(ctx)
	if err != nil {
		return err
	}
	sealer, err := secret.LoadOrCreate(filepath.Join(s.config.StateDir, "access.key"))
	if err != nil {
		return fmt.Errorf("read the key that seals access keys: %w", err)
	}
	s.control = control.New(control.Deps{
		Catalog: record, Temporal: temporal, Converter: durable.NewDataConverter(key), Host: own.host, Server: own.server,
		Log: s.log, Sealer: sealer, RequestsPerSecond: s.config.RequestsPerSecond,
	})
	if err := s.startWorkers(ctx, temporal, record, own.host); err != nil {
		return err
	}
	s.closers = append(s.closers, s.control.Close) // what requests leave in the record comes before all that may take long
	return s.serve()
}

// Address is where the API listens.
func (s *Server) Address() string { return s.listen.Addr().String() }

// Run serves until ctx ends, then stops everything in order.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listen) }()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go s.control.Watch(watching)
	if err := s.announce(); err != nil {
		s.stopWithin(stopPatience)
		return err
	}
	s.log.InfoContext(ctx, "ready", "address", s.Address(), "state", s.config.StateDir)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.stopWithin(stopPatience)
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// stopPatience bounds an orderly stop. A step has 5 s to end by itself (durable.NewWorker); the engine waits up to a
// minute for each of its queues (go.temporal.io/server, service/history/queues, Stop).
const stopPatience = 10 * time.Second

// stopWithin is stop, and leaves what does not end in time to the end of the process. Nothing here depends on an
// orderly stop: a step is taken up again as after SIGKILL, and clients that a switchover holds are its guard's to let
// go. The lock on the state directory ends with the process, too.
func (s *Server) stopWithin(patience time.Duration) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(patience):
		s.log.Warn("not everything has stopped in time; it ends with this process", "after", patience)
	}
}

// stop undoes Start, last things first.
func (s *Server) stop() { s.stopSince(0) }

// stopSince undoes what was made since there were so many things.
func (s *Server) stopSince(made int) {
	for i := len(s.closers) - 1; i >= made; i-- {
		s.closers[i]()
	}
	s.closers = s.closers[:made]
}

func (s *Server) lockState() error {
	// Others must pass through to what belongs to them, PgBouncer's directories; what is ours has
	// its own mode.
	if err := os.MkdirAll(s.config.StateDir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make the state directory: %w", err)
	}
	unlock, err := durable.LockDir(s.config.StateDir)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, unlock)
	return nil
}

// catalogURL says where the record is: in the state directory, unless told otherwise.
func (s *Server) catalogURL() string {
	if s.config.Catalog != "" {
		return s.config.Catalog
	}
	return "sqlite://" + filepath.Join(s.config.StateDir, "catalog.db")
}

func (s *Server) openCatalog(ctx context.Context) (*catalog.Catalog, error) {
	record, err := catalog.Open(ctx, s.catalogURL(), s.log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = record.Close() })
	return record, nil
}

func (s *Server) engineDir() string { return filepath.Join(s.config.StateDir, "engine") }

// startEngine starts the embedded engine and connects to it. An engine's file is of one version and
// disposable, but while upgrades run it must stay what it is, see retireOldEngine.
func (s *Server) startEngine(ctx context.Context) (client.Client, *secret.Key, error) {
	dir := s.engineDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the engine's directory: %w", err)
	}
	key, err := durable.LoadOrCreateKey(filepath.Join(dir, "payload.key"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the payload key: %w", err)
	}
	keys, err := durable.LoadOrCreateKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the engine's keys: %w", err)
	}
	engine, err := embedded.Start(ctx, embedded.Config{Dir: dir, Keys: keys, Logger: s.log})
	if err != nil {
		return nil, nil, fmt.Errorf("start the engine: %w", err)
	}
	s.closers = append(s.closers, engine.Stop)
	temporal, err := durable.Dial(ctx, durable.Options{
		Address: engine.Address(), Namespace: durable.Namespace, TLS: keys.ClientTLS(), Key: key, Logger: s.log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the engine: %w", err)
	}
	s.closers = append(s.closers, temporal.Close)
	return temporal, key, nil
}

// retireOldEngine removes the file of another engine version, unless a task runs: then this program must not start. It
// must not have migrated the record either, or the program that began the task could not end it.
func (s *Server) retireOldEngine(ctx context.Context) error {
	version, found, err := embedded.Leftover(s.engineDir())
	if err != nil || !found {
		return err
	}
	number, running, err := catalog.Running(ctx, s.catalogURL(), s.log)
	if err != nil {
		return err
	}
	if running {
		return fmt.Errorf("task %d is running on engine version %s, and this program has %s: finish or cancel it with the program that began it, then start this one",
			number, version, embedded.Version)
	}
	return embedded.Discard(s.engineDir(), version)
}

func (s *Server) startWorkers(ctx context.Context, temporal client.Client, record *catalog.Catalog, hostID string) error {
	worker := durable.NewWorker(temporal, durable.ServerQueue)
	worker.RegisterWorkflowWithOptions(flow.ZeroDowntime, workflow.RegisterOptions{Name: step.WorkflowZeroDowntime})
	worker.RegisterWorkflowWithOptions(flow.BlueGreen, workflow.RegisterOptions{Name: step.WorkflowBlueGreen})
	worker.RegisterWorkflowWithOptions(flow.Return, workflow.RegisterOptions{Name: step.WorkflowReturn})
	worker.RegisterWorkflowWithOptions(flow.InPlace, workflow.RegisterOptions{Name: step.WorkflowInPlace})
	worker.RegisterWorkflowWithOptions(flow.Precheck, workflow.RegisterOptions{Name: step.WorkflowPrecheck})
	worker.RegisterWorkflowWithOptions(flow.Cleanup, workflow.RegisterOptions{Name: step.WorkflowCleanup})
	worker.RegisterWorkflowWithOptions(flow.Ask, workflow.RegisterOptions{Name: step.WorkflowAsk})
	onserver.New(record, s.log, time.Now).Register(worker)
	if err := worker.Start(); err != nil {
		return fmt.Errorf("start the server's worker: %w", err)
	}
	stop, err := agent.New(s.config.Agent(hostID, s.log)).Start(ctx, temporal)
	if err != nil {
		worker.Stop()
		return err
	}
	s.closers = append(s.closers, func() { // each gives its steps their time
		var both sync.WaitGroup
		both.Go(stop)
		both.Go(worker.Stop)
		both.Wait()
	})
	return nil
}

// maxHeader is what the vendors' APIs allow for headers, and for the parameters in the first line.
const maxHeader = 1<<20 + 64<<10

// takeAddress listens before anything is started: who comes early waits, and an address that is taken is told of at once.
func (s *Server) takeAddress(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s, choose another address with --listen: %w", s.config.Listen, err)
	}
	s.listen = limited(listener, maxConnections)
	s.closers = append(s.closers, func() { _ = s.listen.Close() })
	return nil
}

func (s *Server) serve() error {
	token, err := loadOrCreateToken(filepath.Join(s.config.StateDir, "token"))
	if err != nil {
		return err
	}
	s.scheme = "http"
	if s.config.TLS.Certificate != "" {
		cert, err := newCertificate(s.config.TLS, s.announceCertificate, s.log)
		if err != nil {
			return err
		}
		s.listen, s.scheme = tls.NewListener(s.listen, cert.config()), "https"
	}
	s.http = boundedServer(bounded(s.doors(token), bodyPatience), s.log)
	s.closers = append(s.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close() // streams do not end by themselves
		}
	})
	return nil
}
