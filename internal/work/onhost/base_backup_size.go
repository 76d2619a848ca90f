package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// besideTablespaces is what a base backup copies that no tablespace has, in bytes: logs, texts of statements, core files
// and whatever else lies in the data directory. In place there is none.
func (w *Worker) besideTablespaces(ctx context.Context, plan upgrade.Plan) (int64, error) {
	if plan.Mode == upgrade.InPlace {
		return 0, nil
	}
	pgdata := plan.Source.Pgdata
	if plan.Options.CloneFrom != "" {
		if standby, err := w.standbyToCopy(ctx, plan); err == nil { // if there is none a check of its own tells
			pgdata = standby.Cluster.Pgdata
		}
	}
	user, err := owner(plan)
	if err != nil {
		return 0, err
	}
	return backedUpBeside(pgdata, user)
}

// backedUpBeside sums up a data directory as its owner sees it, who runs the server that is asked for the backup: what he
// cannot read fails there, too (basebackup.c, sendDir).
func backedUpBeside(pgdata string, user run.User) (sum int64, err error) {
	err = user.Do(func() error {
		return fs.WalkDir(os.DirFS(pgdata), ".", func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // files come and go
				return nil
			case err != nil:
				return err
			case entry.IsDir() && isNotBackedUp(path, entry.Name()):
				return fs.SkipDir
			case !entry.Type().IsRegular() || isNotBackedUp(path, entry.Name()): // links are not followed
				return nil
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				sum += info.Size()
			}
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("measure the data directory %s: %w", pgdata, err)
	}
	return sum, nil
}

// isNotBackedUp tells what is in a tablespace, and counted there, what is WAL, which the clone streams, and what a base
// backup leaves out (basebackup.c, excludeDirContents and excludeFiles).
func isNotBackedUp(path, name string) bool {
	return slices.Contains([]string{"base", "global", "pg_tblspc", "pg_wal"}, path) ||
		slices.Contains([]string{
			"pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans",
			"postgresql.auto.conf.tmp", "current_logfiles.tmp", "backup_label", "tablespace_map", "backup_manifest",
			"postmaster.pid", "postmaster.opts",
		}, name) ||
		strings.HasPrefix(name, "pg_internal.init") || strings.HasPrefix(name, "pgsql_tmp")
}
