package pgbin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Transfer says how pg_upgrade brings the relation files into the new cluster.
type Transfer string

// The ways to transfer files. Link and swap cost nothing and spend the old cluster; of swap nothing brings it back.
const (
	TransferCopy          Transfer = "copy"
	TransferClone         Transfer = "clone"
	TransferCopyFileRange Transfer = "copy-file-range" // since 17
	TransferLink          Transfer = "link"
	TransferSwap          Transfer = "swap" // since 18
)

// PgUpgrade makes a cluster of the new version of one of an older version. It is always the new
// version's pg_upgrade. In its words, which are used here alone, old is the source and new the target.
type PgUpgrade struct {
	OldBindir string
	NewBindir string
	OldPgdata string
	OldMajor  upgrade.Major
	NewPgdata string // made by initdb, never used
	OldPort   int    // a running old cluster's own port, when checking; else any free one
	NewPort   int    // any other free port
	// SocketDir is a private directory for the sockets, owned by the caller's user, with a short path. No
	// other server may have its socket there, see StopServers.
	SocketDir string
	Superuser string // the bootstrap superuser of both
	Passfile  string // a .pgpass file, for checking a running cluster that asks for a password
	Transfer  Transfer
	Jobs      int
	// OldOptions and NewOptions are for the servers, see Options: max_locks_per_transaction must be large
	// enough for a dump to lock every table of a database at once.
	OldOptions string
	NewOptions string
	// NoSync leaves the target's files to the kernel: for a scratch cluster. pg_upgrade can do so since 15.
	NoSync bool
	// Dir is a writable working directory; before 15 it gets all files.
	Dir string
}

// UpgradeResult is what a pg_upgrade that ended well has to tell.
type UpgradeResult struct {
	// Warnings names the checks that ended in a warning or a notice.
	Warnings []string
	// Files are the report files, by name, such as "unicode_dependent_rels.txt".
	Files map[string][]Line
	// Outdir holds pg_upgrade's logs, dumps and report files.
	Outdir string
}

// Check runs pg_upgrade --check; the old cluster may be running, the new one not. Nothing is
// changed but for the output directory in the new cluster. When the clusters are not
// compatible the error is a *Failure.
func (u PgUpgrade) Check(ctx context.Context, as Caller) (UpgradeResult, error) {
	return u.run(ctx, as, append(u.args(), "--check"), nil)
}

// Run runs pg_upgrade; both clusters must be down. After a failure the new cluster
// is spoilt: make it again. When ctx ends, its servers are stopped as well; after a crash of ours, call
// run.EndLeftover and StopServers before anything else. onProgress, when given, hears of the phase, and how much of it is
// done where that can be counted (total 0: it cannot): databases dumped, objects
// restored, relations transferred. An error of pg_upgrade's own is a *Failure.
func (u PgUpgrade) Run(ctx context.Context, as Caller, onProgress func(phase string, done, total int64)) (UpgradeResult, error) {
	// Without --verbose there is no word of files and databases on a pipe (util.c, pg_log_v).
	return u.run(ctx, as, append(u.args(), "--verbose"), onProgress)
}

func (u PgUpgrade) run(ctx context.Context, as Caller, args []string, onProgress func(string, int64, int64)) (UpgradeResult, error) {
	started := time.Now()
	command := as.call(u.NewBindir, "pg_upgrade", args...)
	if u.Transfer == TransferSwap {
		command = withoutReader(command)
	}
	command.Dir = u.Dir
	command.Env = []string{untimedFor(u.OldMajor), passfile(u.Passfile), "PGSSLMODE=disable"}
	var out run.Result
	var err error
	if onProgress == nil {
		out, err = as.Runner.Run(ctx, command)
	} else {
		out, err = u.runWatched(ctx, as, command, started, onProgress)
	}
	outdir := u.outdir(started)
	if ctx.Err() != nil {
		err = errors.Join(err, u.StopServers(context.WithoutCancel(ctx), as))
	}
	if err != nil {
		return UpgradeResult{Outdir: outdir}, newFailure(out, outdir, started, err)
	}
	files, err := ReportFiles(outdir, started)
	if err != nil {
		return UpgradeResult{Outdir: outdir}, err
	}
	return UpgradeResult{Warnings: warnings(out.Stdout), Files: files, Outdir: outdir}, nil
}

// StopServers stops what a pg_upgrade that was killed left running: a signal ends it before it can
// stop the servers that it started, and they have sessions of their own. They are known by their socket:
// a server of anybody else's, such as a source that is only checked, is left alone.
func (u PgUpgrade) StopServers(ctx context.Context, as Caller) error {
	var failed error
	for _, server := range []PgCtl{{u.OldBindir, u.OldPgdata}, {u.NewBindir, u.NewPgdata}} {
		if lock, running := RunningPostmaster(server.Pgdata); running && u.SocketDir != "" && lock.SocketDir == u.SocketDir {
			failed = errors.Join(failed, server.Stop(ctx, as, StopFast, time.Minute))
		}
	}
	return failed
}

func (u PgUpgrade) args() []string {
	args := []string{
		"--old-bindir=" + u.OldBindir, "--new-bindir=" + u.NewBindir,
		"--old-datadir=" + u.OldPgdata, "--new-datadir=" + u.NewPgdata,
		"--old-port=" + strconv.Itoa(u.OldPort), "--new-port=" + strconv.Itoa(u.NewPort),
		"--username=" + u.Superuser,
		// Its files are removed when it ends well: what it did must be there to be read later.
		"--retain",
		"--jobs=" + strconv.Itoa(max(1, u.Jobs)),
	}
	if u.SocketDir != "" {
		args = append(args, "--socketdir="+u.SocketDir)
	}
	if u.OldOptions != "" {
		args = append(args, "--old-options="+u.OldOptions)
	}
	if u.NewOptions != "" {
		args = append(args, "--new-options="+u.NewOptions)
	}
	if u.NoSync {
		args = append(args, "--no-sync")
	}
	if u.Transfer != "" && u.Transfer != TransferCopy { // 15 and older have no --copy: it is the default
		args = append(args, "--"+string(u.Transfer))
	}
	return args
}

// outdir is where a run that began at a given time put its files: a directory of its own since 15, the
// working directory before.
func (u PgUpgrade) outdir(started time.Time) string {
	base := filepath.Join(u.NewPgdata, "pg_upgrade_output.d")
	entries, err := os.ReadDir(base)
	if err != nil {
		return u.Dir
	}
	var newest string
	at := started.Add(-time.Second) // a file system's clock may be coarse
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.IsDir() && info.ModTime().After(at) {
			newest, at = filepath.Join(base, entry.Name()), info.ModTime()
		}
	}
	if newest == "" {
		return u.Dir
	}
	return newest
}
