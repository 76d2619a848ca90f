package pgbin

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// WALMethod says how a base backup gets the WAL that makes it consistent.
type WALMethod string

// Stream takes it along over a second connection; none leaves it to who starts the copy, which
// then must stream from a slot that was made before the backup began.
const (
	WALStream WALMethod = "stream"
	WALNone   WALMethod = "none"
)

// PgBasebackup copies a running cluster of the same major version.
type PgBasebackup struct {
	Bindir   string
	From     upgrade.Address
	User     string
	Passfile string // a .pgpass file; empty when no password is needed
	// ServiceFile is a connection service file whose service pgleap tells where to connect to, in place of
	// From, User and Passfile: what is in it shows on no command line.
	ServiceFile string
	Pgdata      string // must be empty or not exist
	// WALDir is a directory for the copy's WAL, which must be empty or not exist; without one it is in Pgdata.
	WALDir string
	// Slot is the physical slot to stream from; CreateSlot makes it first.
	Slot       string
	CreateSlot bool
	// TablespaceMapping says where the copy's tablespaces go, by where the original's are.
	TablespaceMapping map[string]string
	// FastCheckpoint starts at once; otherwise the backup waits for a checkpoint that is spread out.
	FastCheckpoint bool
	WALMethod      WALMethod // stream when empty
	Label          string
	// StandbyConfiguration writes standby.signal and primary_conninfo (--write-recovery-conf).
	StandbyConfiguration bool
	// NoSync leaves the flush to disk to whoever uses the copy.
	NoSync bool
}

// ServiceName is the service of PgBasebackup.ServiceFile.
const ServiceName = "pgleap"

// Run makes the backup. onProgress, when given, hears every second of the bytes copied; total is the
// server's estimate and grows when the estimate was too low. When pg_basebackup fails it
// removes what it wrote, but for a slot that it made.
func (b PgBasebackup) Run(ctx context.Context, as Caller, onProgress func(done, total int64)) error {
	command := as.call(b.Bindir, "pg_basebackup", b.args()...)
	command.Env = []string{passfile(b.Passfile)}
	if b.ServiceFile != "" { // it may rely on the owner's own ~/.pgpass
		command.Env = []string{"PGSERVICEFILE=" + b.ServiceFile}
	}
	command.OnLine = func(line string) {
		if done, total, ok := parseBackupProgress(line); ok && onProgress != nil {
			onProgress(done, total)
		}
	}
	if _, err := as.Runner.Run(ctx, command); err != nil {
		if b.ServiceFile != "" {
			return fmt.Errorf("copy cluster to %s: %w", b.Pgdata, err)
		}
		return fmt.Errorf("copy cluster at %s to %s: %w", b.From, b.Pgdata, err)
	}
	return nil
}

func (b PgBasebackup) args() []string {
	method, checkpoint := b.WALMethod, "spread"
	if method == "" {
		method = WALStream
	}
	if b.FastCheckpoint {
		checkpoint = "fast"
	}
	// sslmode=disable: the copy is made over a socket or the loopback interface.
	from := fmt.Sprintf("--dbname=host=%s port=%d user=%s sslmode=disable application_name=pgleap",
		quoteConnInfo(b.From.Host), b.From.Port, quoteConnInfo(b.User))
	if b.ServiceFile != "" {
		from = "--dbname=service=" + ServiceName
	}
	args := []string{
		from, "--pgdata=" + b.Pgdata, "--progress", "--no-password",
		"--checkpoint=" + checkpoint, "--wal-method=" + string(method),
	}
	if b.WALDir != "" {
		args = append(args, "--waldir="+b.WALDir)
	}
	if b.Slot != "" {
		args = append(args, "--slot="+b.Slot)
	}
	if b.CreateSlot {
		args = append(args, "--create-slot")
	}
	for _, from := range slices.Sorted(maps.Keys(b.TablespaceMapping)) {
		args = append(args, "--tablespace-mapping="+escapeMapping(from)+"="+escapeMapping(b.TablespaceMapping[from]))
	}
	if b.Label != "" {
		args = append(args, "--label="+b.Label)
	}
	if b.StandbyConfiguration {
		args = append(args, "--write-recovery-conf")
	}
	if b.NoSync {
		args = append(args, "--no-sync")
	}
	return args
}

// escapeMapping writes a directory for --tablespace-mapping, where only "=" is special
// (pg_basebackup.c, tablespace_list_append).
func escapeMapping(dir string) string { return strings.ReplaceAll(dir, "=", `\=`) }

var backupProgress = regexp.MustCompile(`^\s*(\d{1,15})/(\d{1,15}) kB \(\d+%\), \d+/\d+ tablespaces?`)

// parseBackupProgress reads "12345/67890 kB (18%), 0/1 tablespace", as 13 to 19 print it.
func parseBackupProgress(line string) (done, total int64, ok bool) {
	found := backupProgress.FindStringSubmatch(line)
	if found == nil {
		return 0, 0, false
	}
	done, errDone := strconv.ParseInt(found[1], 10, 64)
	total, errTotal := strconv.ParseInt(found[2], 10, 64)
	return done * 1024, total * 1024, errDone == nil && errTotal == nil
}
