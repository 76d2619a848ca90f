package postmaster

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// LocalStandby is a standby that runs on this host.
type LocalStandby struct {
	Cluster upgrade.Cluster
	Self    postgres.StandbySelf
	// CommandLine are the settings that it was started with on its command line.
	CommandLine map[string]string
	// Problem tells why it cannot be asked, in a sentence; only its pg_control was read then.
	Problem string
}

// Standbys lists the running standbys on this host of the system that a cluster belongs to, but for
// clones of upgrades. That they follow this cluster and no other one of the system is not said.
func (h *Host) Standbys(ctx context.Context, of upgrade.Cluster) ([]LocalStandby, error) {
	var found []LocalStandby
	for _, p := range processes() {
		if p.elsewhere || p.bindir == "" || isOurs(p.pgdata) || !exists(filepath.Join(p.pgdata, "standby.signal")) {
			continue
		}
		standby, ok := h.standbyOf(ctx, p, of)
		if ok {
			found = append(found, standby)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look for standbys: %w", err)
	}
	return found, nil
}

func (h *Host) standbyOf(ctx context.Context, p process, of upgrade.Cluster) (s LocalStandby, ok bool) {
	s.Cluster = h.clusterOf(ctx, p)
	s.Cluster.Superuser = of.Superuser
	as, err := h.caller(s.Cluster)
	if err != nil {
		return s, false // nothing can be learned of it
	}
	control, err := pgbin.PgControldata(ctx, as, s.Cluster.Bindir, p.pgdata)
	if err != nil || control.SystemIdentifier != of.SystemIdentifier {
		return s, false
	}
	s.Cluster.SystemIdentifier = control.SystemIdentifier
	conn, err := postgres.Connect(ctx, h.Login(s.Cluster, "postgres"))
	if err != nil {
		s.Problem = fmt.Sprintf("it cannot be asked: %v", err)
		return s, true
	}
	defer conn.Close(context.WithoutCancel(ctx)) // only read
	if s.Self, err = postgres.AskStandby(ctx, conn); err != nil {
		s.Problem = fmt.Sprintf("it cannot be asked: %v", err)
		return s, true
	}
	_, err = readCluster(ctx, conn, &s.Cluster)
	if err == nil {
		s.CommandLine, err = postgres.CommandLineSettings(ctx, conn)
	}
	if err != nil {
		s.Problem = err.Error()
	}
	if name, ok := h.debian.nameOf(s.Cluster.ConfigFile, s.Cluster.Version.Major()); ok {
		s.Cluster.Manager, s.Cluster.Name, s.Cluster.Unit = upgrade.ManagerPgCtlcluster, name, ""
	}
	return s, s.Self.InRecovery
}
