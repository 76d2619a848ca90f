package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

// engine is what a catalogue is kept in.
type engine interface {
	// seeded returns the URL of a catalogue.
	seeded(ctx context.Context, f fixture, log *slog.Logger) (string, error)
	// cpu is the processor time that the engine's own processes have taken.
	cpu() (time.Duration, error)
	clear(ctx context.Context) error
}

func newEngine(ctx context.Context, name string, o options) (engine, error) {
	switch name {
	case "sqlite":
		return newSQLite(o.keep)
	case "postgres":
		return newPostgres(ctx, o.major)
	}
	return nil, fmt.Errorf("engine %q: choose sqlite or postgres", name)
}

// sqlite works within the server.
type sqlite struct {
	dir  string
	keep bool
}

func newSQLite(keep string) (engine, error) {
	if keep != "" {
		dir, err := filepath.Abs(keep)
		return &sqlite{dir: dir, keep: true}, errors.Join(err, os.MkdirAll(dir, 0o700))
	}
	dir, err := os.MkdirTemp("/var/tmp", "pgleap-bench-")
	return &sqlite{dir: dir}, err
}

func (s *sqlite) seeded(ctx context.Context, f fixture, log *slog.Logger) (string, error) {
	return seededSQLite(ctx, s.dir, f, log)
}

func (s *sqlite) cpu() (time.Duration, error) { return 0, nil }

func (s *sqlite) clear(context.Context) error {
	if s.keep {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// postgres is a cluster of its own, with the settings that a new cluster has.
type postgres struct {
	place   *harness.Workplace
	cluster *harness.Cluster
}

func newPostgres(ctx context.Context, major int) (engine, error) {
	place, err := harness.NewWorkplace("pgleap-bench-")
	if err != nil {
		return nil, err
	}
	p := &postgres{place: place}
	// Filling the catalogue makes more WAL in a minute than using it does in a week.
	p.cluster, err = place.NewCluster(ctx, major, map[string]string{"wal_level": "replica", "max_wal_size": "16GB"})
	if err != nil {
		return nil, errors.Join(err, place.Clear(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *postgres) seeded(ctx context.Context, f fixture, log *slog.Logger) (string, error) {
	name, password := fmt.Sprintf("catalog_%d", f.tasks), rand.Text()
	err := p.cluster.Exec(ctx, "postgres",
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, password),
		fmt.Sprintf("CREATE DATABASE %s OWNER %[1]s", name))
	if err != nil {
		return "", err
	}
	address := p.cluster.URL(name, password, name)
	if err := seed(ctx, address, f, log); err != nil {
		return "", err
	}
	return address, p.cluster.Exec(ctx, "postgres", "CHECKPOINT")
}

// cpu is that of the postmaster, of its children, and of those that have ended.
func (p *postgres) cpu() (time.Duration, error) {
	content, err := os.ReadFile(filepath.Join(p.cluster.Pgdata, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		return 0, err
	}
	return cpuOfFamily(postmaster)
}

func (p *postgres) clear(ctx context.Context) error { return p.place.Clear(ctx) }
