package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// outputDir is where pg_upgrade puts its logs, dumps and reports since 15: in the target's data directory.
func outputDir(plan upgrade.Plan) string {
	return filepath.Join(plan.Target.Pgdata, "pg_upgrade_output.d")
}

// removeOutput removes it from a target that is complete: else it is in every base backup. It holds the whole
// definition of the cluster, passwords included. What it says is in the task's transcripts.
func removeOutput(plan upgrade.Plan) error {
	root, err := os.OpenRoot(plan.Target.Pgdata)
	if err == nil {
		err = errors.Join(root.RemoveAll(filepath.Base(outputDir(plan))), root.Close())
	}
	if err != nil {
		return fmt.Errorf("remove pg_upgrade's output: %w", err)
	}
	return nil
}

// warnedBy says of what a pg_upgrade warned, and where its reports on that are kept.
func (w *Worker) warnedBy(ctx context.Context, who string, files files, user run.User, result pgbin.UpgradeResult) []upgrade.Event {
	if len(result.Warnings) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s warned: %s", who, strings.Join(result.Warnings, "; "))
	kept, err := keepReports(result.Outdir, filepath.Join(files.dir, "reports"), user)
	if err != nil {
		w.log.WarnContext(ctx, "pg_upgrade's reports are not kept", "error", err)
	}
	if kept != "" {
		text += "; see " + kept
	}
	return []upgrade.Event{w.say(ctx, upgrade.LevelWarning, text)}
}

// maxReport bounds the size of a report that is kept.
const maxReport = 64 << 20

// keepReports copies the reports of a run, and the scripts that it recommends, to the agent's own directory: those
// are removed with the rest of the output. It returns where they are; empty: there are none.
func keepReports(outdir, kept string, user run.User) (string, error) {
	contents := map[string][]byte{}
	err := user.Do(func() error { // as its owner, see translateConf
		entries, err := os.ReadDir(outdir)
		for _, entry := range entries {
			info, errInfo := entry.Info()
			ext := filepath.Ext(entry.Name())
			dump := strings.HasPrefix(entry.Name(), "pg_upgrade_dump")
			if errInfo != nil || !info.Mode().IsRegular() || info.Size() > maxReport || dump || ext != ".txt" && ext != ".sql" {
				continue
			}
			content, errRead := os.ReadFile(filepath.Join(outdir, entry.Name()))
			err = errors.Join(err, errRead)
			contents[entry.Name()] = content
		}
		return err
	})
	if err != nil || len(contents) == 0 {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return "", err
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(kept, name), content, 0o600); err != nil {
			return "", err
		}
	}
	return kept, nil
}
