package switchover

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Stage is how far a switchover has come, as its journal tells.
type Stage string

// The stages. Between StageIntent and StageCommitted everything rolls back, from StageCommitted on
// everything rolls forward. StageRollingBack is binding: it cannot be committed any more.
const (
	StageNone        Stage = ""
	StageIntent      Stage = "intent"
	StageRollingBack Stage = "rolling back"
	StageGaveWay     Stage = "gave way" // undone, and tried again soon
	StageUndone      Stage = "undone"
	StageCommitted   Stage = "committed"
	StageDone        Stage = "done"
)

// Ended tells whether nothing is left to do.
func (s Stage) Ended() bool { return s == StageUndone || s == StageDone }

// record is a line of the journal.
type record struct {
	At    time.Time `json:"at"`
	Stage Stage     `json:"stage"`
	// Intent is set at StageIntent.
	Intent *Intent `json:"intent,omitempty"`
	// Outcome is set from StageCommitted on.
	Outcome *upgrade.Switchover `json:"outcome,omitempty"`
	Reason  string              `json:"reason,omitempty"`
}

// Intent is what a switchover is about to do, and all that is needed to undo it.
type Intent struct {
	Plan       upgrade.Plan `json:"plan"`
	Databases  []string     `json:"databases"`
	LoginRoles []string     `json:"loginRoles"` // they get NOLOGIN, and get LOGIN back
	SourceHost string       `json:"sourceHost"` // as the endpoint writes the source's address
	TargetHost string       `json:"targetHost"`
}

// Journal is the durable record of one attempt to switch over. It is safe for use by several
// processes: the one that switches, its guard, and whoever comes after a crash.
type Journal struct {
	path string
	now  func() time.Time
}

// OpenJournal names the journal at path, which need not exist yet.
func OpenJournal(path string, now func() time.Time) *Journal { return &Journal{path: path, now: now} }

// State is what the journal tells.
type State struct {
	Stage   Stage
	Intent  Intent
	Outcome upgrade.Switchover
	Reason  string
}

// OnTarget tells whether the switchover has brought clients to the upgrade's target: one that led back
// has not, nor has none at all.
func (s State) OnTarget() bool { return s.Stage == StageDone && !s.Intent.Plan.Reversed }

// Read tells how far the switchover has come.
func (j *Journal) Read() (State, error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	// A line that is being written is not durable yet, and may be taken back.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return State{}, fmt.Errorf("lock journal: %w", err)
	}
	return readState(f)
}

func readState(r io.Reader) (State, error) {
	var state State
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return state, nil // a line without its end was torn by a crash: it never counted
		}
		if err != nil {
			return state, fmt.Errorf("read journal: %w", err)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			return state, fmt.Errorf("read journal: %w", err)
		}
		state.Stage = rec.Stage
		if rec.Intent != nil {
			state.Intent = *rec.Intent
		}
		if rec.Outcome != nil {
			state.Outcome = *rec.Outcome
		}
		if rec.Reason != "" {
			state.Reason = rec.Reason
		}
	}
}

// Exclusively does something while nobody else does, in this process or another one, and no journal of
// the same directory begins: with it the direction of the replication is changed.
func (j *Journal) Exclusively(ctx context.Context, do func() error) error {
	return locked(ctx, filepath.Join(filepath.Dir(j.path), "lock"), syscall.LOCK_EX, do)
}

// locked does something with a lock, shared or exclusive, which whoever dies gives back.
func locked(ctx context.Context, path string, how int, do func() error) error {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock the journals: %w", err)
	}
	defer lock.Close() //nolint:errcheck // nothing is written to it
	for {
		err := syscall.Flock(int(lock.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return do()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock the journals: %w", err)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("lock the journals, which another process keeps: %w", err)
		}
	}
}

// Begin writes the intent. It must be the first line, or follow a try that gave way, unless somebody has ended
// the attempt since, or is about to.
func (j *Journal) Begin(ctx context.Context, intent Intent) error {
	return j.Exclusively(ctx, func() error {
		state, err := j.Read()
		if err != nil {
			return err
		}
		if state.Stage != StageGaveWay {
			return j.begin(intent)
		}
		return locked(ctx, j.path+".undoing", syscall.LOCK_EX, func() error { return j.begin(intent) })
	})
}

// whileUndoing does something that only a roll-back justifies: no try begins meanwhile. Several may do it at once.
func (j *Journal) whileUndoing(ctx context.Context, do func() error) error {
	return locked(ctx, j.path+".undoing", syscall.LOCK_SH, do)
}

func (j *Journal) begin(intent Intent) error {
	if err := j.append(record{Stage: StageIntent, Intent: &intent}, StageNone, StageGaveWay); err != nil {
		return err
	}
	return j.keep()
}

// keep makes the journal's name durable.
func (j *Journal) keep() error {
	dir, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Announce makes the journal without a line, while the attempt is prepared: whoever ends all attempts of an upgrade
// finds it there.
func (j *Journal) Announce() error {
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("make journal: %w", err)
	}
	return f.Close()
}

// Forbid says that an attempt which has not begun never will, however far its preparation has come. It fails with
// *WrongStage if it has begun.
func (j *Journal) Forbid(outcome upgrade.Switchover) error {
	if err := j.append(record{Stage: StageUndone, Outcome: &outcome}, StageNone); err != nil {
		return err
	}
	return j.keep()
}

// Commit is the commit point. It fails if somebody has decided to roll back.
func (j *Journal) Commit(outcome upgrade.Switchover) error {
	return j.append(record{Stage: StageCommitted, Outcome: &outcome}, StageIntent)
}

// RollBack decides that there will be no commit. It fails with *WrongStage if there was one already.
func (j *Journal) RollBack(reason string) error {
	return j.append(record{Stage: StageRollingBack, Reason: reason}, StageIntent, StageRollingBack)
}

// GaveWay says that everything is as it was before the intent, and that the same attempt goes on.
func (j *Journal) GaveWay(outcome upgrade.Switchover) error {
	return j.append(record{Stage: StageGaveWay, Outcome: &outcome}, StageRollingBack)
}

// Undone says that everything is as it was before the intent. Nothing can follow it.
func (j *Journal) Undone(outcome upgrade.Switchover) error {
	return j.append(record{Stage: StageUndone, Outcome: &outcome}, StageRollingBack, StageGaveWay, StageUndone)
}

// Done says that clients go on at the target.
func (j *Journal) Done(outcome upgrade.Switchover) error {
	return j.append(record{Stage: StageDone, Outcome: &outcome}, StageCommitted, StageDone)
}

// WrongStage says that the journal stands elsewhere than a line can follow.
type WrongStage struct{ Stage, Wanted Stage }

// Error tells both stages.
func (e *WrongStage) Error() string {
	return fmt.Sprintf("journal: %q cannot follow %q", e.Wanted, e.Stage)
}

// append adds a line, durably, if the last one has one of the given stages.
func (j *Journal) append(rec record, after ...Stage) error {
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	defer f.Close() //nolint:errcheck // the sync below is what counts
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock journal: %w", err)
	}
	state, err := readState(f)
	if err != nil {
		return err
	}
	if !slices.Contains(after, state.Stage) {
		return &WrongStage{Stage: state.Stage, Wanted: rec.Stage}
	}
	end, err := dropTornLine(f)
	if err != nil {
		return err
	}
	rec.At = j.now()
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// It must not be taken for written: after a crash of the machine it might be gone.
		return fmt.Errorf("write journal: %w", errors.Join(err, f.Truncate(end)))
	}
	return nil
}

// dropTornLine cuts what a crash left behind the last whole line, and goes to the end, which it returns.
func dropTornLine(f *os.File) (int64, error) {
	content, err := os.ReadFile(f.Name())
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	end := int64(bytes.LastIndexByte(content, '\n') + 1)
	if end < int64(len(content)) {
		if err := f.Truncate(end); err != nil {
			return 0, fmt.Errorf("repair journal: %w", err)
		}
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	return end, nil
}
