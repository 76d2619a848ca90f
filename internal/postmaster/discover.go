package postmaster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Discover lists the clusters of this host: those that postgresql-common knows, running or not,
// and every other that runs. It asks none of them; Inspect does.
func (h *Host) Discover(ctx context.Context) ([]step.Discovered, error) {
	registered := map[string]pgbin.DebianCluster{}
	for _, c := range h.debianClusters(ctx) {
		if c.Pgdata != "" {
			registered[realPath(c.Pgdata)] = c
		}
	}
	var found []step.Discovered
	for _, p := range processes() {
		pgdata := realPath(p.pgdata)
		known, ok := registered[pgdata]
		if ok {
			delete(registered, pgdata)
		}
		found = append(found, h.discovered(ctx, p, known))
	}
	for _, c := range registered {
		found = append(found, h.down(ctx, c))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("discover clusters: %w", err)
	}
	slices.SortFunc(found, func(a, b step.Discovered) int { return strings.Compare(a.Cluster.Pgdata, b.Cluster.Pgdata) })
	return found, nil
}

// discovered describes a running postmaster; known is what postgresql-common says of it, if anything.
func (h *Host) discovered(ctx context.Context, p process, known pgbin.DebianCluster) step.Discovered {
	c := h.clusterOf(ctx, p)
	if known.Name != "" {
		c.Manager, c.Name = upgrade.ManagerPgCtlcluster, known.Name
		c.ConfigFile, c.HBAFile, c.IdentFile = h.debian.configFiles(known.Major, known.Name)
	}
	d := step.Discovered{Cluster: c, Running: true}
	switch {
	case p.elsewhere:
		d.Problem = "runs in a container: run a pgleap agent in there"
	case c.Version == 0:
		d.Problem = "its programs cannot be seen: run pgleap as " + c.Owner + " or as root"
	case exists(filepath.Join(p.pgdata, "standby.signal")):
		d.Problem = "is a standby: upgrade its primary"
	case isOurs(p.pgdata):
		d.Problem = "belongs to an upgrade"
	}
	return d
}

// clusterOf tells of a running postmaster what can be told without a login.
func (h *Host) clusterOf(ctx context.Context, p process) upgrade.Cluster {
	c := upgrade.Cluster{
		Host: h.id, Bindir: p.bindir, Pgdata: p.pgdata, Port: p.lock.Port,
		SocketDir: socketDir(p.lock.SocketDir, p.pgdata), Manager: upgrade.ManagerPgCtl,
	}
	if info, err := os.Stat(p.pgdata); err == nil && !p.elsewhere {
		c.Owner, _ = ownerOf(info)
	}
	if p.bindir != "" && !p.elsewhere {
		version, err := pgbin.Version(ctx, h.runner, p.bindir)
		if err != nil {
			h.log.WarnContext(ctx, "ask the version of a running cluster", "pgdata", p.pgdata, "error", err)
		}
		c.Version = version
	}
	if unit := h.systemdUnit(ctx, p.pid); unit != "" {
		c.Manager, c.Unit = upgrade.ManagerSystemd, unit
	}
	return c
}

// down describes a cluster that postgresql-common knows and that does not run.
func (h *Host) down(ctx context.Context, known pgbin.DebianCluster) step.Discovered {
	c := upgrade.Cluster{
		Host: h.id, Name: known.Name, Bindir: h.debian.bindir(known.Major), Pgdata: known.Pgdata,
		Port: known.Port, Owner: known.Owner, Manager: upgrade.ManagerPgCtlcluster,
		Version: upgrade.VersionNum(known.Major * 10000),
	}
	c.ConfigFile, c.HBAFile, c.IdentFile = h.debian.configFiles(known.Major, known.Name)
	d := step.Discovered{Cluster: c, Problem: fmt.Sprintf("is not running; start it with: pg_ctlcluster %d %s start", known.Major, known.Name)}
	if version, err := pgbin.Version(ctx, h.runner, c.Bindir); err == nil {
		d.Cluster.Version = version
	}
	switch {
	case !exists(filepath.Join(known.Pgdata, "PG_VERSION")) && !os.IsPermission(statError(known.Pgdata)):
		d.Problem = "its data directory is not there"
	case slices.Contains(known.Status, "binaries_missing"):
		d.Problem = fmt.Sprintf("its programs are not installed; install them with: apt-get install postgresql-%d", known.Major)
	}
	return d
}

func statError(path string) error {
	_, err := os.Stat(filepath.Join(path, "PG_VERSION"))
	return err
}

// isOurs tells whether a data directory lies in the working directory of an upgrade (upgrade.Plan.Workdir).
func isOurs(pgdata string) bool { return strings.HasSuffix(filepath.Dir(pgdata), ".pgleap") }

// socketDir makes a socket directory absolute; postgres takes it as relative to its data directory.
func socketDir(dir, pgdata string) string {
	dir, _, _ = strings.Cut(dir, ",")
	dir = strings.TrimSpace(dir)
	if dir == "" || filepath.IsAbs(dir) || strings.HasPrefix(dir, "@") {
		return dir
	}
	return filepath.Join(pgdata, dir)
}
