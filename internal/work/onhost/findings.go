package onhost

import (
	"context"
	"os"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// RecheckFindings returns those findings that are open still: extensions that have not the version that
// the server has. If asked to, they are updated first.
func (w *Worker) RecheckFindings(ctx context.Context, args step.RecheckFindingsArgs) ([]upgrade.OpenFinding, error) {
	open := []upgrade.OpenFinding{}
	at := quiet(w.host.Login(args.Cluster, "postgres"))
	log := w.outputOf(args.Cluster)
	var databases []string
	err := with(ctx, at, func(conn *pgx.Conn) (err error) {
		databases, err = postgres.ConnectableDatabases(ctx, conn)
		return err
	})
	for _, database := range databases {
		if err != nil {
			return nil, err
		}
		of := slices.DeleteFunc(slices.Clone(args.Findings), func(f upgrade.OpenFinding) bool { return f.Database != database })
		if len(of) == 0 {
			continue
		}
		var ended bool
		err = with(ctx, at.In(database), func(conn *pgx.Conn) error {
			still, err := recheck(ctx, conn, of, args.Retry)
			open, ended = append(open, still...), conn.IsClosed()
			return err
		})
		if err == nil && ended {
			err = w.awaitServer(ctx, args.Cluster, log, at)
		}
	}
	return open, err
}

// recheck looks at the findings of one database, in the order in which extensions need each other.
func recheck(ctx context.Context, conn *pgx.Conn, findings []upgrade.OpenFinding, retry bool) (open []upgrade.OpenFinding, err error) {
	updates, err := postgres.ExtensionUpdates(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		at := slices.IndexFunc(findings, func(f upgrade.OpenFinding) bool { return f.Extension == u.Name })
		if at < 0 {
			continue
		}
		finding := findings[at]
		finding.From, finding.To = u.From, u.To
		if retry {
			err := postgres.UpdateExtension(ctx, conn, u.Name, func(uint64) error { return nil })
			if err == nil {
				continue
			}
			finding.Reason = err.Error()
			retry = !conn.IsClosed() // what it has not come to is as it was
		}
		open = append(open, finding)
	}
	return open, ctx.Err()
}

// ownerOf is the uid that a file belongs to.
func ownerOf(info os.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
