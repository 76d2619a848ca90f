// Package embedded runs a Temporal server inside the process: one SQLite file, loopback only,
// mutual TLS on every port. It is the only importer of go.temporal.io/server.
//
// The file is disposable: the catalogue is the record of what was done, and what must be known
// to go on is looked up in the world.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/rpc/encryption"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pgleap/pgleap/internal/durable"
)

const (
	startTimeout = 30 * time.Second

	// portAttempts bounds how often a port may be taken between our choosing and using it.
	portAttempts = 5
)

// Config says where the engine lives.
type Config struct {
	// Dir holds the engine's file. The caller has locked it (durable.LockDir): two engines on
	// one file would both start.
	Dir string
	// Keys are for the mutual TLS of all ports.
	Keys *durable.Keys
	// Logger gets what the engine logs from warn on.
	Logger *slog.Logger
}

// Server is a running engine.
type Server struct {
	temporal temporal.Server
	ports    ports
	log      logger
}

// Start runs the engine and returns when its namespace can be used. There can be one engine a
// directory and process at a time; after Stop, another may be started on the same file.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, freePorts)
}

// start takes the way to choose ports from the caller, for the test in which they are taken.
func start(ctx context.Context, cfg Config, choose func() (ports, error)) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	file := engineFile(cfg.Dir, Version)
	if err := prepareStore(ctx, file); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	for attempt := 1; ; attempt++ {
		p, err := choose()
		if err != nil {
			return nil, fmt.Errorf("start engine: %w", err)
		}
		s, err := startOn(ctx, cfg, p, file)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || attempt == portAttempts {
			return nil, fmt.Errorf("start engine: %w", err)
		}
	}
}

// Address is host:port of the frontend. It changes with every start.
func (s *Server) Address() string { return address(s.ports.frontend) }

// Stop ends the engine. Workers must have been stopped before.
func (s *Server) Stop() {
	_ = s.log.phase.enter(stopping)
	if err := s.temporal.Stop(); err != nil {
		s.log.slog.Warn("stop engine", "error", err)
	}
}

// startOn starts the services on these ports.
func startOn(ctx context.Context, cfg Config, p ports, file string) (*Server, error) {
	s := &Server{ports: p, log: newLogger(cfg.Logger)}
	if err := s.build(cfg, file); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := s.temporal.Start()
		done <- cmp.Or(s.log.phase.enter(running), err)
	}()
	var err error
	select {
	case err = <-done:
		if err == nil {
			err = awaitNamespace(ctx, s.Address(), cfg.Keys)
		}
	case <-ctx.Done():
		err = fmt.Errorf("wait for services: %w", context.Cause(ctx))
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// build makes the services, which includes opening their ports.
func (s *Server) build(cfg Config, file string) (err error) {
	defer func() {
		// See phase: this is Temporal's Fatal. Any other panic goes on.
		if r := recover(); r != nil {
			if err = s.log.phase.enter(starting); err == nil {
				panic(r)
			}
		}
	}()
	server, client := cfg.Keys.ServerTLS(), cfg.Keys.ClientTLS()
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(staticConfig(s.ports, file)),
		temporal.ForServices(services()),
		temporal.WithStaticHosts(hosts(s.ports)),
		temporal.WithDynamicConfigClient(dynamicConfig()),
		temporal.WithLogger(s.log),
		temporal.WithTLSConfigFactory(&encryption.FixedTLSConfigProvider{
			InternodeServerConfig: server, InternodeClientConfig: client,
			FrontendServerConfig: server, FrontendClientConfig: client,
		}),
		// Who holds the client key may do everything; there is no other client.
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	return cmp.Or(s.log.phase.enter(starting), err)
}

// awaitNamespace asks for the namespace until there is an answer.
func awaitNamespace(ctx context.Context, address string, keys *durable.Keys) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(keys.ClientTLS())))
	if err != nil {
		return fmt.Errorf("wait for namespace: %w", err)
	}
	defer conn.Close() //nolint:errcheck // only asked
	frontend := workflowservice.NewWorkflowServiceClient(conn)
	for {
		_, err := frontend.DescribeNamespace(ctx,
			&workflowservice.DescribeNamespaceRequest{Namespace: durable.Namespace}, grpc.WaitForReady(true))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for namespace: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freePorts asks the system for unused ports, all at once so that they differ. They are closed
// before the services open them, since Temporal takes numbers, not listeners.
func freePorts() (ports, error) {
	var p ports
	for _, port := range []*int{&p.frontend, &p.history, &p.matching} {
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			return ports{}, fmt.Errorf("choose port: %w", err)
		}
		defer l.Close()
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}
