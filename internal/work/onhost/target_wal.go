package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteTargetWAL holds the directory that was made for the target's WAL, or is about to be.
const noteTargetWAL note = "target-wal.json"

// placeTargetWAL makes a directory for the target's WAL where the source's is, if that is not the data directory
// and there is room for both: nobody has measured the target's there.
func (w *Worker) placeTargetWAL(ctx context.Context, plan upgrade.Plan, files files, user run.User) (string, error) {
	fits, err := w.hasRoomForWAL(ctx, plan.Source, plan.Source)
	if err != nil || !fits {
		return "", err
	}
	return makeTargetWAL(plan, user, noteOfTargetWAL(files))
}

// hasRoomForWAL tells whether a cluster's WAL is not in its data directory, and there is room beside it for that of
// another one that grows as it does on a primary.
func (w *Worker) hasRoomForWAL(ctx context.Context, cluster, primary upgrade.Cluster) (bool, error) {
	sources, err := elsewhere(cluster.Pgdata)
	if err != nil || sources == "" {
		return false, err
	}
	var size int64
	err = with(ctx, w.host.Login(primary, "postgres"), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err == nil {
			size, err = settings.Bytes("max_wal_size")
		}
		return err
	})
	if err != nil {
		return false, err
	}
	free, total, err := walDisk(cluster)
	return err == nil && free-size >= leastFree(total), err
}

// noteOfTargetWAL notes which directory was made, or forgets it if that is none.
func noteOfTargetWAL(files files) func(dir string) error {
	return func(dir string) error {
		if dir == "" {
			return files.remove(noteTargetWAL)
		}
		return files.write(noteTargetWAL, dir)
	}
}

// makeTargetWAL makes a directory for the target's WAL beside the source's, if that lies elsewhere: pg_wal is
// a link then, as initdb --waldir makes it. It returns no directory if the WAL belongs in the data
// directory, or cannot be elsewhere.
func makeTargetWAL(plan upgrade.Plan, user run.User, note func(dir string) error) (string, error) {
	sources, err := elsewhere(plan.Source.Pgdata)
	if err != nil || sources == "" {
		return "", err
	}
	if !sameFileSystem(sources, filepath.Dir(sources)) {
		return "", nil // the whole disk is the source's: what is beside it is on another one
	}
	beside := fmt.Sprintf("%s-%d", sources, plan.Target.Version.Major())
	for _, dir := range []string{beside, fmt.Sprintf("%s-pgleap%d", beside, plan.Number)} {
		// Noted before it is made: whatever dies in between, what is left is known.
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := note(dir); err != nil {
			return "", err
		}
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) { // somebody was faster: it is not ours
			if err := note(""); err != nil {
				return "", err
			}
			if errors.Is(err, fs.ErrPermission) {
				return "", nil
			}
			continue
		}
		if err == nil {
			err = user.Chown(dir)
		}
		if err != nil {
			return "", fmt.Errorf("make a directory for the target's WAL: %w", err)
		}
		return dir, checkOwned(dir, user)
	}
	return "", &upgrade.Refused{
		Reason: fmt.Sprintf("the source's WAL is in %s, and there is no free name for the target's beside it: %s exists already", sources, beside),
		Remedy: "see what uses it; if nothing does, move it away and start the upgrade again",
		Cause:  upgrade.CausePlace,
	}
}

// elsewhere is where a cluster's WAL is, if that is not in its data directory.
func elsewhere(pgdata string) (string, error) {
	path := filepath.Join(pgdata, "pg_wal")
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// removeTargetWAL removes the directory that was made for the target's WAL.
func removeTargetWAL(files files) error {
	var dir string
	if found, err := files.read(noteTargetWAL, &dir); !found || err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the target's WAL: %w", err)
	}
	return files.remove(noteTargetWAL)
}

// toldOfWAL says where the target's WAL is, if the source's is not in its data directory.
func (w *Worker) toldOfWAL(ctx context.Context, plan upgrade.Plan) []upgrade.Event {
	sources, err := elsewhere(plan.Source.Pgdata)
	if err != nil || sources == "" {
		return nil
	}
	if targets, err := elsewhere(plan.Target.Pgdata); err == nil && targets != "" {
		return []upgrade.Event{w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the target's WAL is in %s, beside the source's in %s", targets, sources))}
	}
	return []upgrade.Event{w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
		"the source's WAL is in %s, beside which no directory could be made, or there is no room there for the target's max_wal_size and what must stay free, so the target's will be in its data directory: to move it, stop the target, "+
			"move its pg_wal to the same file system, and put a link in its place", sources))}
}
