package pgbin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/run"
)

// StopMode is a way to stop a cluster.
type StopMode string

// Fast disconnects clients, immediate is a crash that recovers at the next start. (Smart would wait for clients to leave.)
const (
	StopFast      StopMode = "fast"
	StopImmediate StopMode = "immediate"
)

// PgCtl starts and stops the cluster of a data directory.
type PgCtl struct {
	Bindir string
	Pgdata string
}

// Start starts the cluster and waits until it accepts connections (a standby that does not: until it
// replays). logfile takes the server's output; the server must be able to write it. options are
// given to postgres, see Options.
//
// pg_ctl says "did not start in time" of a cluster that is still recovering and goes away, and of one that
// failed it says only that it did: so the error has the last lines that the server itself wrote, and
// tells the two apart by the lock file.
func (p PgCtl) Start(ctx context.Context, as Caller, logfile, options string, timeout time.Duration) error {
	written := size(logfile)
	args := []string{"start", "--pgdata=" + p.Pgdata, "--log=" + logfile, "--wait", "--silent", "--timeout=" + seconds(timeout)}
	if options != "" {
		args = append(args, "--options="+options)
	}
	_, err := as.run(ctx, p.Bindir, "pg_ctl", args...)
	if err == nil {
		return nil
	}
	return p.notStarted(err, ServerLog(p.Pgdata, logfile, written))
}

// notStarted tells a server that takes long from one that failed.
func (p PgCtl) notStarted(err error, log string) error {
	if log == "" {
		log = "it wrote nothing to its log"
	}
	if _, running := RunningPostmaster(p.Pgdata); running {
		return fmt.Errorf("start cluster %s: it is still starting, wait for its recovery to end or give it more time: %w: %s", p.Pgdata, err, log)
	}
	return fmt.Errorf("start cluster %s: %w: %s", p.Pgdata, err, log)
}

// Stop stops the cluster and waits until it is down. One that is down already is fine; pg_ctl itself would
// signal whoever has the pid of a lock file that a crash left behind.
func (p PgCtl) Stop(ctx context.Context, as Caller, mode StopMode, timeout time.Duration) error {
	if _, running := RunningPostmaster(p.Pgdata); !running {
		return nil
	}
	_, err := as.run(ctx, p.Bindir, "pg_ctl", "stop", "--pgdata="+p.Pgdata, "--mode="+string(mode),
		"--wait", "--silent", "--timeout="+seconds(timeout))
	if err == nil {
		return nil
	}
	if _, running := RunningPostmaster(p.Pgdata); !running {
		return nil // it ended by itself meanwhile
	}
	return fmt.Errorf("stop cluster %s: %w", p.Pgdata, err)
}

// Status tells whether a postmaster runs in the data directory (pg_ctl exits with 3 when none does).
func (p PgCtl) Status(ctx context.Context, as Caller) (running bool, err error) {
	_, err = as.run(ctx, p.Bindir, "pg_ctl", "status", "--pgdata="+p.Pgdata)
	if failed, ok := errors.AsType[*run.Error](err); ok && failed.ExitCode == 3 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether %s runs: %w", p.Pgdata, err)
	}
	return true, nil
}

// Promote makes a standby a primary and waits until it is.
func (p PgCtl) Promote(ctx context.Context, as Caller, timeout time.Duration) error {
	if _, err := as.run(ctx, p.Bindir, "pg_ctl", "promote", "--pgdata="+p.Pgdata, "--wait", "--silent", "--timeout="+seconds(timeout)); err != nil {
		return fmt.Errorf("promote %s: %w", p.Pgdata, err)
	}
	return nil
}

// Reload has the cluster read its configuration files again.
func (p PgCtl) Reload(ctx context.Context, as Caller) error {
	if _, err := as.run(ctx, p.Bindir, "pg_ctl", "reload", "--pgdata="+p.Pgdata, "--silent"); err != nil {
		return fmt.Errorf("reload %s: %w", p.Pgdata, err)
	}
	return nil
}

func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// logTail is how many of the server's last lines an error shows.
const logTail = 8

var collectorHint = regexp.MustCompile(`Future log output will appear in directory "([^"]+)"`)

// ServerLog returns the last lines that a server wrote to its log beyond an offset. With
// logging_collector on they are in another file: the newest of the directory that the first log names.
func ServerLog(pgdata, logfile string, from int64) string {
	text := readFrom(logfile, from)
	if hint := collectorHint.FindStringSubmatch(text); hint != nil {
		dir := hint[1]
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(pgdata, dir)
		}
		text += "\n" + readFrom(newest(dir), 0)
	}
	return lastLines(text, logTail)
}

// maxLog bounds what is read of a log.
const maxLog = 64 << 10

// readFrom reads the end of a file, not before an offset. It does not follow a link: the
// file lies in a directory of the cluster's owner, and root may be reading.
func readFrom(path string, from int64) string {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	content, err := io.ReadAll(io.NewSectionReader(f, max(from, info.Size()-maxLog), maxLog))
	if err != nil {
		return ""
	}
	return string(content)
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// newest is the file of a directory that was written last.
func newest(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var path string
	var at time.Time
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && info.ModTime().After(at) {
			path, at = filepath.Join(dir, entry.Name()), info.ModTime()
		}
	}
	return path
}

// lastLines joins the last n lines that say something.
func lastLines(text string, n int) string {
	var kept []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-n):], " | ")
}
