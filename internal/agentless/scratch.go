package agentless

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// scratch is an empty cluster of the target version on this machine, which the checks ask what the target can do.
// It lives in a directory of its own, with a socket that only its owner can open, and listens on no port.
type scratch struct {
	as       pgbin.Caller
	programs pgbin.Installation
	dir      string
}

const (
	// scratchPrefix begins the names of the directories. What follows is the id of the process that it serves.
	scratchPrefix  = "/tmp/pgleap-precheck-" // not TMPDIR: a socket's path has at most 107 bytes
	scratchPort    = 5432                    // names the socket only
	scratchTimeout = time.Minute
)

func newScratch(runner *run.Runner, programs pgbin.Installation) *scratch {
	return &scratch{as: pgbin.Caller{Runner: runner}, programs: programs}
}

// start makes the cluster and starts it. What it has made is to be discarded even after an error.
func (s *scratch) start(ctx context.Context, source server) (postgres.Login, error) {
	if err := s.become(); err != nil {
		return postgres.Login{}, err
	}
	s.sweep(ctx)
	dir, err := os.MkdirTemp(filepath.Split(fmt.Sprintf("%s%d-", scratchPrefix, os.Getpid())))
	if err != nil {
		return postgres.Login{}, fmt.Errorf("make a directory for a scratch cluster: %w", err)
	}
	s.dir = dir
	if err := s.as.As.Chown(dir); err != nil {
		return postgres.Login{}, fmt.Errorf("make a directory for a scratch cluster: %w", err)
	}
	initdb := pgbin.Initdb{
		Bindir: s.programs.Bindir, Version: s.programs.Version, Pgdata: s.pgdata(), Superuser: "postgres",
		Encoding: "UTF8", LcCollate: "C", LcCtype: "C", NoSync: true,
		WALSegmentSizeMB: source.segment >> 20, DataChecksums: source.checksums,
	}
	if err := initdb.Run(ctx, s.as); err != nil {
		return postgres.Login{}, err
	}
	options := pgbin.Options(
		"listen_addresses=", "unix_socket_directories="+s.dir, "unix_socket_permissions=0700", fmt.Sprintf("port=%d", scratchPort),
		"fsync=off", "autovacuum=off", "max_connections=20", "shared_buffers=16MB",
	)
	if err := s.ctl().Start(ctx, s.as, filepath.Join(s.dir, "log"), options, scratchTimeout); err != nil {
		return postgres.Login{}, fmt.Errorf("start a scratch cluster of the target version: %w", err)
	}
	return postgres.Login{Address: upgrade.Address{Host: s.dir, Port: scratchPort}, Database: "postgres", User: "postgres", PeerUID: s.as.As.UID}, nil
}

// become decides who runs the programs: PostgreSQL's refuse to be run by root.
func (s *scratch) become() error {
	if os.Geteuid() != 0 {
		return nil
	}
	user, err := run.LookupUser("postgres")
	if err != nil {
		return errors.New("a scratch cluster of the target version cannot be run by root, and there is no operating system user postgres: run this as another user")
	}
	s.as.As = user
	return nil
}

func (s *scratch) pgdata() string { return filepath.Join(s.dir, "data") }

func (s *scratch) ctl() pgbin.PgCtl {
	return pgbin.PgCtl{Bindir: s.programs.Bindir, Pgdata: s.pgdata()}
}

// sweep removes what processes that were killed have left. What it may not remove belongs to somebody else.
func (s *scratch) sweep(ctx context.Context) {
	left, err := filepath.Glob(scratchPrefix + "*")
	if err != nil {
		return
	}
	for _, dir := range left {
		id, _, _ := strings.Cut(strings.TrimPrefix(dir, scratchPrefix), "-")
		pid, err := strconv.Atoi(id)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || !s.owns(dir) {
			continue
		}
		one := *s
		one.dir = dir
		_ = one.remove(ctx)
	}
}

// owns tells whether a directory is one that this user's precheck has made, not a link that leads elsewhere.
func (s *scratch) owns(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	uid := os.Geteuid()
	if s.as.As.Name != "" {
		uid = s.as.As.UID
	}
	return ok && int(stat.Uid) == uid
}

// remove stops the cluster, if it runs, and removes its directory.
func (s *scratch) remove(ctx context.Context) error {
	if err := s.ctl().Stop(ctx, s.as, pgbin.StopImmediate, scratchTimeout); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

// discard ends the cluster's life. What cannot be removed is in the way of nothing.
func (s *scratch) discard(ctx context.Context, log *slog.Logger) {
	if s.dir == "" {
		return
	}
	if err := s.remove(ctx); err != nil {
		log.WarnContext(ctx, "remove the scratch cluster of a precheck", "dir", s.dir, "error", err)
	}
}
