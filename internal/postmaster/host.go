package postmaster

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Host is the machine that this process runs on, with its clusters.
type Host struct {
	id       string
	runner   *run.Runner
	prefixes []string
	log      *slog.Logger
	debian   debian
	systemd  systemd
}

// New makes a Host. prefixes are where PostgreSQL installations are looked for
// besides the usual places, see pgbin.Installations.
func New(id string, runner *run.Runner, prefixes []string, log *slog.Logger) *Host {
	return &Host{id: id, runner: runner, prefixes: prefixes, log: log, debian: debian{
		conf: "/etc/postgresql", logs: "/var/log/postgresql", lib: "/usr/lib/postgresql", tools: "/usr/bin",
	}, systemd: systemd{systemctl: "/usr/bin/systemctl", units: "/etc/systemd/system", runtime: "/run/systemd/system", proc: "/proc"}}
}

// Login is the superuser's login to a cluster of this host, over its socket as its owner, for what is
// done before pgleap's own role exists.
func (h *Host) Login(c upgrade.Cluster, database string) postgres.Login {
	login := postgres.Login{
		Address:  upgrade.Address{Host: c.SocketDir, Port: c.Port},
		Database: database,
		User:     c.Superuser,
	}
	if c.SocketDir == "" {
		login.Address.Host = "127.0.0.1"
	}
	if owner, err := run.LookupUser(c.Owner); err == nil {
		login.PeerUID = owner.UID
	}
	return login
}

// caller runs programs as the cluster's owner.
func (h *Host) caller(c upgrade.Cluster) (pgbin.Caller, error) {
	owner, err := run.LookupUser(c.Owner)
	if err != nil {
		return pgbin.Caller{}, &upgrade.Refused{Reason: err.Error()}
	}
	return pgbin.Caller{Runner: h.runner, As: owner}, nil
}

// self runs programs as who we are.
func (h *Host) self() pgbin.Caller { return pgbin.Caller{Runner: h.runner} }

// ownerOf names the operating system user that a file belongs to; the number when it has no name.
func ownerOf(info os.FileInfo) (name string, uid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", -1
	}
	uid = int(stat.Uid)
	found, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return strconv.Itoa(uid), uid
	}
	return found.Username, uid
}

// realPath follows links as far as it can: two names of one directory are one cluster.
func realPath(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return filepath.Clean(path)
}

// exists tells whether a path is there, whatever it is.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// debianClusters lists what postgresql-common knows; nothing where it is not installed.
func (h *Host) debianClusters(ctx context.Context) []pgbin.DebianCluster {
	if !exists(filepath.Join(h.debian.tools, "pg_lsclusters")) {
		return nil
	}
	clusters, err := pgbin.PgLsclusters{Bindir: h.debian.tools, ConfRoot: h.debian.confRoot()}.Run(ctx, h.self())
	if err != nil {
		// Running clusters are found without it.
		h.log.WarnContext(ctx, "list clusters of postgresql-common", "error", err)
		return nil
	}
	return clusters
}
