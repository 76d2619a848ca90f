package onhost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteTargetPlace holds which data directory an upgrade has taken for its target, and by what that is known.
const noteTargetPlace note = "target-place.json"

// targetPlace is the content of noteTargetPlace. A path alone does not tell whose a data directory is: an
// upgrade that cannot be undone for days goes on trying, while somebody else makes a cluster in the same place.
type targetPlace struct {
	Number int64     `json:"number"`
	ID     string    `json:"id"`
	Pgdata string    `json:"pgdata"`
	Taken  time.Time `json:"taken"`
	// Identifier is the system identifier that initdb gave the target, which pg_upgrade leaves, as pg_control has
	// it; empty until initdb has ended.
	Identifier []byte `json:"identifier,omitempty"`
}

func (p targetPlace) task() upgrade.Plan { return upgrade.Plan{Number: p.Number, ID: p.ID} }

// takePlace notes that the directories of an upgrade's target are its own from now on. It refuses while another
// upgrade may still have to undo something there, or to put the source back.
func (w *Worker) takePlace(plan upgrade.Plan, files files) error {
	w.places.Lock()
	defer w.places.Unlock()
	if err := w.refuseUnendedOutage(plan); err != nil {
		return err
	}
	others, err := w.othersIn(plan)
	if err != nil {
		return err
	}
	for _, other := range others {
		undone, err := w.isToBeUndone(other)
		if err != nil {
			return err
		}
		if undone {
			return w.takenBy(other.Number, fmt.Sprintf("upgrade %d has made something in %s, or beside it, and it is not undone yet", other.Number, plan.Target.Pgdata),
				filepath.Join(w.dir, "upgrades", taskName(other.task())))
		}
	}
	var own targetPlace
	if found, err := files.read(noteTargetPlace, &own); err != nil || found && own.Pgdata == plan.Target.Pgdata && latest(others).Before(own.Taken) {
		return err
	}
	return files.write(noteTargetPlace, targetPlace{Number: plan.Number, ID: plan.ID, Pgdata: plan.Target.Pgdata, Taken: w.now().UTC()})
}

// takenBy refuses, with what can be done about it. The note is what tells that the other upgrade has something to undo.
func (w *Worker) takenBy(number int64, reason, note string) error {
	return &upgrade.Refused{
		Reason: reason,
		Remedy: fmt.Sprintf("see `pgleap task show %d` for what keeps it from that, or choose another directory (--target-pgdata); if pgleap does not know that upgrade any more, "+
			"remove what it left, and %s", number, note),
		Cause: upgrade.CausePlace,
	}
}

// refuseUnendedOutage: whoever ends the outage of another upgrade of the same source stops and starts servers.
func (w *Worker) refuseUnendedOutage(plan upgrade.Plan) error {
	paths, err := w.outages()
	if err != nil {
		return err
	}
	for _, path := range paths {
		state, err := readOutage(path)
		if err != nil {
			return err
		}
		other := state.Intent.Plan
		if state.Stage == outageNone || state.Stage.ended() || taskName(other) == taskName(plan) || other.Source.Pgdata != plan.Source.Pgdata {
			continue
		}
		return w.takenBy(other.Number, fmt.Sprintf("the outage of upgrade %d of the same source is not ended yet", other.Number), path)
	}
	return nil
}

// isToBeUndone tells whether Discard would find something to do.
func (w *Worker) isToBeUndone(place targetPlace) (bool, error) {
	files, err := w.files(place.task())
	if err != nil || !files.has(noteSourcePrepared) && !files.has(noteInPlaceBegun) {
		return false, err
	}
	last, err := w.lastSwitched(place.task())
	if err != nil || last.OnTarget() {
		return false, err
	}
	path, err := w.outagePath(place.task())
	if err != nil {
		return false, err
	}
	state, err := readOutage(path)
	return state.Stage != outageDone && state.Stage != outageLost, err
}

// othersIn are the other upgrades that have ever taken the place of this one's target.
func (w *Worker) othersIn(plan upgrade.Plan) ([]targetPlace, error) {
	notes, err := filepath.Glob(filepath.Join(w.dir, "upgrades", "*", string(noteTargetPlace)))
	if err != nil {
		return nil, fmt.Errorf("look for other upgrades: %w", err)
	}
	var others []targetPlace
	for _, path := range notes {
		var place targetPlace
		if _, err := (files{dir: filepath.Dir(path)}).read(noteTargetPlace, &place); err != nil {
			return nil, err
		}
		if place.Pgdata == plan.Target.Pgdata && taskName(place.task()) != taskName(plan) {
			others = append(others, place)
		}
	}
	return others, nil
}

// latest is when the last of some upgrades has taken its place.
func latest(places []targetPlace) (at time.Time) {
	for _, place := range places {
		if place.Taken.After(at) {
			at = place.Taken
		}
	}
	return at
}

// stranger tells why what is in the place of an upgrade's target is not this upgrade's any more; empty: it is, as
// far as anybody knows. Then nothing there must be stopped or removed.
func (w *Worker) stranger(plan upgrade.Plan, files files) (string, error) {
	others, err := w.othersIn(plan)
	if err != nil {
		return "", err
	}
	var own targetPlace
	if _, err := files.read(noteTargetPlace, &own); err != nil { // an older program has left none
		return "", err
	}
	for _, other := range others {
		if other.Taken.After(own.Taken) {
			return fmt.Sprintf("upgrade %d has taken it since", other.Number), nil
		}
	}
	if len(own.Identifier) == 0 {
		return "", nil
	}
	user, err := owner(plan)
	if err != nil {
		return "", err
	}
	now, err := systemIdentifier(plan.Target.Pgdata, user)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // emptied, or disabled
	}
	if err == nil && !bytes.Equal(now, own.Identifier) {
		return "it holds another cluster than the one that this upgrade made there", nil
	}
	return "", err
}

// refuseStranger is for whoever cannot do without the place.
func (w *Worker) refuseStranger(plan upgrade.Plan, files files) error {
	stranger, err := w.stranger(plan, files)
	if err != nil || stranger == "" {
		return err
	}
	return &upgrade.Refused{Reason: leftAlone(plan, stranger), Remedy: "start the upgrade again, with another directory (--target-pgdata)", Cause: upgrade.CausePlace}
}

// leftAlone says that a stranger was found.
func leftAlone(plan upgrade.Plan, stranger string) string {
	return fmt.Sprintf("the target's data directory %s, and what is beside it, is left alone: %s", plan.Target.Pgdata, stranger)
}

// noteIdentity notes by what the target is known that initdb has made.
func (w *Worker) noteIdentity(plan upgrade.Plan, files files, user run.User) error {
	return w.changePlace(plan, files, func(place *targetPlace) (err error) {
		place.Identifier, err = systemIdentifier(plan.Target.Pgdata, user)
		return err
	})
}

// forgetIdentity is what comes before a target is made, in the place of another one perhaps.
func (w *Worker) forgetIdentity(plan upgrade.Plan, files files) error {
	return w.changePlace(plan, files, func(place *targetPlace) error {
		place.Identifier = nil
		return nil
	})
}

func (w *Worker) changePlace(plan upgrade.Plan, files files, change func(*targetPlace) error) error {
	place := targetPlace{Number: plan.Number, ID: plan.ID, Pgdata: plan.Target.Pgdata, Taken: w.now().UTC()}
	if _, err := files.read(noteTargetPlace, &place); err != nil {
		return err
	}
	if err := change(&place); err != nil {
		return err
	}
	return files.write(noteTargetPlace, place)
}

// systemIdentifier reads what a cluster is known by, the first field of its pg_control in every version
// (pg_control.h, ControlFileData), in the machine's byte order.
func systemIdentifier(pgdata string, user run.User) (identifier []byte, err error) {
	const size = 8
	err = user.Do(func() error {
		path := controlFile(pgdata)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, fs.ErrInvalid)
		}
		content, err := os.ReadFile(path)
		if err == nil && len(content) < size { // pg_resetwal was cut short
			err = fs.ErrNotExist
		}
		if err == nil {
			identifier = content[:size]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the system identifier: %w", err)
	}
	return identifier, nil
}
