package onhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// outageStage is how far the outage of an in-place upgrade has come, as its journal tells.
type outageStage string

// The stages. A line is durable before what it names begins. Up to outageUpgrading everything goes
// back; at outageStarting it depends on whether the target has begun to write (see mustGoOn);
// outageUndoing is binding.
const (
	outageNone      outageStage = ""
	outagePausing   outageStage = "pausing"   // clients are made to wait
	outageStopping  outageStage = "stopping"  // the source is stopped
	outageUpgrading outageStage = "upgrading" // pg_upgrade works on the two data directories
	outageStarting  outageStage = "starting"  // the target is complete, and is started for the first time
	outageUndoing   outageStage = "undoing"
	outageUndone    outageStage = "undone"
	outageDone      outageStage = "done"
	outageLost      outageStage = "lost" // transfer swap was cut short: neither cluster can be started
)

// ended tells whether nothing is left to do.
func (s outageStage) ended() bool {
	return s == outageUndone || s == outageDone || s == outageLost
}

// outageIntent is what an outage is about to do, and all that is needed to undo it.
type outageIntent struct {
	Plan     upgrade.Plan    `json:"plan"`
	Prepared inPlacePrepared `json:"prepared"`
	Start    sourceStart     `json:"start"`
	// Sockets is the private directory by which the servers of pg_upgrade are known.
	Sockets string `json:"sockets"`
	// OfAllRoles is what pg_upgrade does not carry over, see carrySettingsOfAllRoles.
	OfAllRoles string `json:"ofAllRoles,omitempty"`
}

// outageRecord is a line of the journal.
type outageRecord struct {
	At    time.Time   `json:"at"`
	Stage outageStage `json:"stage"`
	// Intent is set at outagePausing.
	Intent *outageIntent `json:"intent,omitempty"`
	// Checkpoint is the target's last one before its first start, at outageStarting.
	Checkpoint string `json:"checkpoint,omitempty"`
	// Reason is set from outageUndoing on.
	Reason string `json:"reason,omitempty"`
	// Outcome is set at the end.
	Outcome *upgrade.Switchover `json:"outcome,omitempty"`
}

// outageState is what the journal tells.
type outageState struct {
	Stage      outageStage
	Intent     outageIntent
	Checkpoint string
	Reason     string
	Outcome    upgrade.Switchover
	BegunAt    time.Time
}

// outageJournal is the durable record of the outage of one upgrade. It is locked for as long as it is
// open: the one who upgrades, its guard, and an agent that starts again take turns.
type outageJournal struct {
	file  *os.File
	now   func() time.Time
	state outageState
}

// lockPoll is how soon one who waits notices that the other has gone.
const lockPoll = 50 * time.Millisecond

// openOutage opens a journal, which need not exist yet, and waits until nobody else has it open.
func openOutage(ctx context.Context, path string, now func() time.Time) (*outageJournal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // of the agent's own directory
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &outageJournal{file: file, now: now}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // descriptors are small
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock journal: %w", err), file.Close())
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the process that works on %s: %w", path, err), file.Close())
		}
	}
	if err := j.read(); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// read reads all lines, and cuts off one that a crash has torn: it never counted.
func (j *outageJournal) read() error {
	content, err := os.ReadFile(j.file.Name())
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	var end int
	if j.state, end, err = parseOutage(content); err != nil {
		return err
	}
	if end < len(content) {
		if err := j.file.Truncate(int64(end)); err != nil {
			return fmt.Errorf("repair journal: %w", err)
		}
	}
	_, err = j.file.Seek(int64(end), 0)
	return err
}

// parseOutage reads the whole lines of a journal, and returns where they end.
func parseOutage(content []byte) (state outageState, end int, err error) {
	for {
		length := bytes.IndexByte(content[end:], '\n')
		if length < 0 {
			return state, end, nil
		}
		var rec outageRecord
		if err := json.Unmarshal(content[end:end+length], &rec); err != nil {
			return state, end, fmt.Errorf("read journal: %w", err)
		}
		end += length + 1
		state.apply(rec)
	}
}

func (s *outageState) apply(rec outageRecord) {
	s.Stage = rec.Stage
	if rec.Intent != nil {
		s.Intent, s.BegunAt = *rec.Intent, rec.At
	}
	if rec.Checkpoint != "" {
		s.Checkpoint = rec.Checkpoint
	}
	if rec.Reason != "" {
		s.Reason = rec.Reason
	}
	if rec.Outcome != nil {
		s.Outcome = *rec.Outcome
	}
}

// write adds a line, durably.
func (j *outageJournal) write(rec outageRecord) error {
	rec.At = j.now().UTC()
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	at, err := j.file.Seek(0, 1)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err = j.file.Write(append(line, '\n')); err == nil {
		err = j.file.Sync()
	}
	if err == nil && j.state.Stage == outageNone {
		err = syncPath(filepath.Dir(j.file.Name()))
	}
	if err != nil {
		// It must not be taken for written: after a crash of the machine it might be gone.
		_, seekErr := j.file.Seek(at, 0)
		return fmt.Errorf("write journal: %w", errors.Join(err, j.file.Truncate(at), seekErr))
	}
	j.state.apply(rec)
	return nil
}

// close unlocks the journal.
func (j *outageJournal) close() { _ = j.file.Close() }

// readOutage reads a journal that somebody else may be writing. One that does not exist has no stage.
func readOutage(path string) (outageState, error) {
	content, err := os.ReadFile(path) //nolint:gosec // of the agent's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return outageState{}, nil
	}
	if err != nil {
		return outageState{}, fmt.Errorf("read journal: %w", err)
	}
	state, _, err := parseOutage(content)
	return state, err
}

// syncPath makes what was created, renamed or removed in a directory, or written to a file, durable.
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func (w *Worker) outageDir() string { return filepath.Join(w.dir, "in-place") }

// outagePath is where the outage of an upgrade keeps its record: in the agent's own directory.
func (w *Worker) outagePath(plan upgrade.Plan) (string, error) {
	if err := os.MkdirAll(w.outageDir(), 0o700); err != nil { //nolint:gosec // the agent's own directory
		return "", fmt.Errorf("make the agent's directory: %w", err)
	}
	return filepath.Join(w.outageDir(), taskName(plan)+".journal"), nil
}

// outages lists the journals of all upgrades in place.
func (w *Worker) outages() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(w.outageDir(), "*.journal"))
	if err != nil {
		return nil, fmt.Errorf("look for upgrades in place: %w", err)
	}
	return paths, nil
}

// upgradingInPlace tells whether the outage of an upgrade is under way: a RELOAD of PgBouncer would undo
// what it has set.
func (w *Worker) upgradingInPlace() bool {
	paths, err := w.outages()
	if err != nil {
		return false
	}
	for _, path := range paths {
		if state, err := readOutage(path); err == nil && state.Stage != outageNone && !state.Stage.ended() {
			return true
		}
	}
	return false
}
