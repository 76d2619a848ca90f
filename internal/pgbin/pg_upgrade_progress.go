package pgbin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgleap/pgleap/internal/run"
)

// The phases of pg_upgrade as progress tells them.
const (
	PhaseChecking  = "checking clusters"
	PhaseDumping   = "dumping schemas" // counts databases
	PhasePreparing = "preparing target"
	PhaseRestoring = "restoring schemas" // counts objects
	PhaseTransfer  = "transferring files"
	PhaseEnding    = "completing target"
	PhaseSyncing   = "syncing to disk"
)

// phaseOf tells the phase that a line begins. The order is that of the output.
func phaseOf(line string) string {
	for _, begin := range []struct{ prefix, phase string }{
		{"Performing Consistency Checks", PhaseChecking},
		{"Creating dump of database schemas", PhaseDumping},
		{"Performing Upgrade", PhasePreparing},
		{"Restoring database schemas", PhaseRestoring},
		{"Adding \".old\" suffix", PhaseTransfer},
		{"Copying user relation files", PhaseTransfer},
		{"Cloning user relation files", PhaseTransfer},
		{"Linking user relation files", PhaseTransfer},
		{"Swapping data directories", PhaseTransfer},
		{"Setting next OID for new cluster", PhaseEnding},
		{"Sync data directory to disk", PhaseSyncing},
	} {
		if strings.HasPrefix(line, begin.prefix) {
			return begin.phase
		}
	}
	return ""
}

// progress turns the verbose output of pg_upgrade into phases and counts.
type progress struct {
	mu          sync.Mutex
	report      func(phase string, done, total int64)
	phase       string
	done, total int64
	listing     bool  // within the list of the old cluster's databases and relations
	databases   int64 // in that list
	relations   int64
}

// A relation is counted by its first file: no "_fsm", no ".1".
var transferred = regexp.MustCompile(`^(?:linking|copying|cloning|rewriting) ".*/\d+" to ".*"$`)

// line takes one line of the output.
func (p *progress) line(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case line == "source databases:":
		p.listing, p.databases, p.relations = true, 0, 0
	case line == "target databases:":
		p.listing = false
	case p.listing && strings.HasPrefix(line, "Database: "):
		p.databases++
	case p.listing && strings.HasPrefix(line, "relname: "):
		p.relations++
	case p.phase == PhaseDumping && strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   "):
		p.count(p.done + 1)
	case p.phase == PhaseTransfer && transferred.MatchString(line):
		p.count(p.done + 1)
	default:
		p.enter(phaseOf(line))
	}
}

// enter begins a phase.
func (p *progress) enter(phase string) {
	if phase == "" || phase == p.phase {
		return
	}
	p.phase, p.done, p.total, p.listing = phase, 0, 0, false
	switch phase {
	case PhaseDumping:
		p.total = p.databases
	case PhaseTransfer:
		p.total = p.relations
	}
	p.report(p.phase, p.done, p.total)
}

// count never goes beyond the total: an estimate must not look absurd.
func (p *progress) count(done int64) {
	if p.total > 0 {
		done = min(done, p.total)
	}
	if done != p.done {
		p.done = done
		p.report(p.phase, p.done, p.total)
	}
}

// restored tells how many objects are restored, of how many.
func (p *progress) restored(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == PhaseRestoring {
		p.total = total
		p.count(done)
	}
}

func (p *progress) in(phase string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase == phase
}

// runWatched runs pg_upgrade and reports its progress.
func (u PgUpgrade) runWatched(ctx context.Context, as Caller, command run.Command, started time.Time, report func(string, int64, int64)) (run.Result, error) {
	p := &progress{report: report}
	running, end := context.WithCancel(ctx)
	defer end()
	var failed atomic.Bool
	command.OnLine = func(line string) {
		p.line(line)
		if line == lastLine && !failed.Swap(true) {
			time.AfterFunc(failureGrace, end)
		}
	}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.watchRestore(watching, as, started, p)
	}()
	out, err := as.Runner.Run(running, command)
	stop()
	<-done
	if ended, ok := errors.AsType[*run.Error](err); ok && failed.Load() && ctx.Err() == nil {
		ended.ExitCode = 1 // as it would have exited by itself
	}
	return out, err
}

// lastLine is what a pg_upgrade that failed says at its end (util.c, pg_fatal). It then stops its
// servers, and waits for minutes for one that cannot stop, because its disk is full for example: whoever
// waits for the source to come back need not wait for that.
const (
	lastLine     = "Failure, exiting"
	failureGrace = 5 * time.Second
)

// watchRestore follows the logs of the pg_restore processes: pg_upgrade always has them say what
// they create (pg_upgrade.c, create_new_objects), and the dumps' tables of contents tell how much there is to come.
func (u PgUpgrade) watchRestore(ctx context.Context, as Caller, started time.Time, p *progress) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var total int64
	var logs map[string]*restoreLog
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !p.in(PhaseRestoring) {
			continue
		}
		outdir := u.outdir(started)
		if logs == nil {
			total, logs = u.tableOfContents(ctx, as, outdir), map[string]*restoreLog{}
		}
		p.restored(createdSoFar(outdir, logs), total)
	}
}

// tableOfContents counts the objects in the dumps; 0 when it cannot, which only spoils the display.
func (u PgUpgrade) tableOfContents(ctx context.Context, as Caller, outdir string) int64 {
	var total int64
	for _, dump := range dumpFiles(outdir, "dump", ".custom") {
		count := int64(0)
		command := Caller{Runner: as.Runner, As: as.As}.call(u.NewBindir, "pg_restore", "--list", dump)
		command.OnLine = func(line string) {
			if line != "" && line[0] != ';' {
				count++
			}
		}
		if _, err := as.Runner.Run(ctx, command); err != nil {
			return 0
		}
		total += count
	}
	return total
}

// dumpFiles are the per-database files of a kind: below outdir since 15, in it before.
func dumpFiles(outdir, kind, suffix string) []string {
	var files []string
	for _, dir := range []string{filepath.Join(outdir, kind), outdir} {
		found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "pg_upgrade_dump_[0-9]*"+suffix)) // the pattern is valid
		files = append(files, found...)
	}
	return files
}

func createdSoFar(outdir string, logs map[string]*restoreLog) int64 {
	var done int64
	for _, path := range dumpFiles(outdir, "log", ".log") {
		if logs[path] == nil {
			logs[path] = &restoreLog{path: path}
		}
		done += logs[path].created()
	}
	return done
}

// restoreLog counts what one pg_restore has created, reading only what is new.
type restoreLog struct {
	path   string
	offset int64
	count  int64
}

func (l *restoreLog) created() int64 {
	f, err := os.Open(l.path)
	if err != nil {
		return l.count
	}
	defer f.Close() // only read
	fresh, err := io.ReadAll(io.NewSectionReader(f, l.offset, 8<<20))
	if err != nil {
		return l.count
	}
	end := bytes.LastIndexByte(fresh, '\n') + 1 // the rest of a line comes with the next look
	l.count += int64(bytes.Count(fresh[:end], []byte("pg_restore: creating ")))
	l.offset += int64(end)
	return l.count
}
