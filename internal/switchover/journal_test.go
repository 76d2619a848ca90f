package switchover

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func newJournal(t *testing.T) *Journal {
	t.Helper()
	return OpenJournal(filepath.Join(t.TempDir(), "1-1.journal"), time.Now)
}

// lines are what can be written, by the stage that they lead to.
func lines(j *Journal) map[Stage]func() error {
	return map[Stage]func() error{
		StageIntent:      func() error { return j.begin(Intent{LoginRoles: []string{"app"}}) },
		StageRollingBack: func() error { return j.RollBack("it had to be") },
		StageGaveWay:     func() error { return j.GaveWay(upgrade.Switchover{Reason: "it took long"}) },
		StageUndone:      func() error { return j.Undone(upgrade.Switchover{Reason: "it had to be"}) },
		StageCommitted:   func() error { return j.Commit(upgrade.Switchover{SourceLSN: "0/1"}) },
		StageDone:        func() error { return j.Done(upgrade.Switchover{Switched: true}) },
	}
}

// TestJournalOrder: which line may follow which.
func TestJournalOrder(t *testing.T) {
	ways := map[Stage][]Stage{ // how a journal comes to stand somewhere
		StageNone:        {},
		StageIntent:      {StageIntent},
		StageRollingBack: {StageIntent, StageRollingBack},
		StageGaveWay:     {StageIntent, StageRollingBack, StageGaveWay},
		StageUndone:      {StageIntent, StageRollingBack, StageUndone},
		StageCommitted:   {StageIntent, StageCommitted},
		StageDone:        {StageIntent, StageCommitted, StageDone},
	}
	may := map[Stage][]Stage{
		StageNone:        {StageIntent},
		StageIntent:      {StageRollingBack, StageCommitted},
		StageRollingBack: {StageRollingBack, StageGaveWay, StageUndone}, // two may undo it at once
		StageGaveWay:     {StageIntent, StageUndone},
		StageUndone:      {StageUndone},
		StageCommitted:   {StageDone},
		StageDone:        {StageDone},
	}
	for from, way := range ways {
		for next := range lines(nil) {
			j := newJournal(t)
			for _, stage := range way {
				must(t, "come to "+string(from), lines(j)[stage]())
			}
			err := lines(j)[next]()
			wrong, isWrong := errors.AsType[*WrongStage](err)
			switch allowed := strings.Contains(join(may[from]), "|"+string(next)+"|"); {
			case allowed && err != nil:
				t.Errorf("%q after %q: %v", next, from, err)
			case !allowed && !isWrong:
				t.Errorf("%q after %q: %v, want *WrongStage", next, from, err)
			case isWrong && (wrong.Stage != from || wrong.Wanted != next):
				t.Errorf("%q after %q: %v", next, from, wrong)
			}
		}
	}
}

func join(stages []Stage) string {
	var b strings.Builder
	for _, s := range stages {
		b.WriteString("|" + string(s) + "|")
	}
	return b.String()
}

// TestJournalKeeps: what the first lines say is not lost by the later ones.
func TestJournalKeeps(t *testing.T) {
	j := newJournal(t)
	must(t, "begin", lines(j)[StageIntent]())
	must(t, "roll back", lines(j)[StageRollingBack]())
	state, err := j.Read()
	must(t, "read", err)
	if state.Stage != StageRollingBack || state.Reason != "it had to be" || len(state.Intent.LoginRoles) != 1 {
		t.Errorf("state is %+v", state)
	}
	if info, err := os.Stat(j.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v (%v)", info.Mode(), err)
	}
}

// TestForbid: an attempt that was forbidden never begins, and one that has begun cannot be forbidden. Of both at the
// same moment one wins.
func TestForbid(t *testing.T) {
	for range 50 {
		j := newJournal(t)
		must(t, "announce", j.Announce())
		must(t, "announce again", j.Announce())
		var all sync.WaitGroup
		var begun, forbidden error
		all.Go(func() { begun = j.Begin(t.Context(), Intent{LoginRoles: []string{"app"}}) })
		all.Go(func() { forbidden = j.Forbid(upgrade.Switchover{Reason: "interrupted"}) })
		all.Wait()
		lost, won, want := forbidden, begun, StageIntent
		if begun != nil {
			lost, won, want = begun, forbidden, StageUndone
		}
		if _, ok := errors.AsType[*WrongStage](lost); !ok || won != nil {
			t.Fatalf("begun: %v, forbidden: %v", begun, forbidden)
		}
		state, err := j.Read()
		must(t, "read", err)
		if state.Stage != want || want == StageUndone && state.Outcome.Reason != "interrupted" {
			t.Fatalf("the journal stands at %+v, want %q", state, want)
		}
		must(t, "announce late", j.Announce())
		if again, err := j.Read(); err != nil || again.Stage != want {
			t.Fatalf("announced late it stands at %+v, %v", again, err)
		}
	}
}

// TestJournalTornLine: a crash in the middle of a line leaves what was before, and the next line
// takes its place.
func TestJournalTornLine(t *testing.T) {
	whole := newJournal(t)
	must(t, "begin", lines(whole)[StageIntent]())
	begun, err := os.ReadFile(whole.path)
	must(t, "read file", err)
	must(t, "commit", lines(whole)[StageCommitted]())
	content, err := os.ReadFile(whole.path)
	must(t, "read file", err)
	for length := range content {
		j := newJournal(t)
		must(t, "tear", os.WriteFile(j.path, content[:length], 0o600))
		want := StageNone
		if length >= len(begun) {
			want = StageIntent
		}
		state, err := j.Read()
		must(t, "read", err)
		if state.Stage != want {
			t.Fatalf("with %d of %d bytes the journal stands at %q, want %q", length, len(content), state.Stage, want)
		}
		next := map[Stage]Stage{StageNone: StageIntent, StageIntent: StageRollingBack}[want]
		must(t, "go on", lines(j)[next]())
		if state, err = j.Read(); err != nil || state.Stage != next {
			t.Fatalf("after %d bytes and a line the journal stands at %q (%v), want %q", length, state.Stage, err, next)
		}
	}
}

// TestCommitOrRollBack: of those who commit and those who roll back at the same moment, in several
// processes, one kind wins, for good.
func TestCommitOrRollBack(t *testing.T) {
	won := map[Stage]int{}
	for range 50 {
		path := newJournal(t).path
		must(t, "begin", lines(OpenJournal(path, time.Now))[StageIntent]())
		var mu sync.Mutex
		var all sync.WaitGroup
		succeeded := map[Stage]int{}
		start := make(chan struct{})
		for i := range 6 {
			stage := []Stage{StageCommitted, StageRollingBack}[i%2]
			all.Go(func() {
				<-start
				err := lines(OpenJournal(path, time.Now))[stage]()
				if _, lost := errors.AsType[*WrongStage](err); err != nil && !lost {
					t.Errorf("%q: %v", stage, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					succeeded[stage]++
				}
			})
		}
		close(start)
		all.Wait()
		state, err := OpenJournal(path, time.Now).Read()
		must(t, "read", err)
		if len(succeeded) != 1 || succeeded[state.Stage] == 0 || succeeded[StageCommitted] > 1 {
			t.Fatalf("succeeded: %v, the journal stands at %q", succeeded, state.Stage)
		}
		won[state.Stage]++
	}
	t.Logf("won: %v", won)
}

// FuzzReadState: whatever is in the file, reading it ends without a panic, and a torn end changes nothing.
func FuzzReadState(f *testing.F) {
	f.Add([]byte(`{"stage":"intent","intent":{"loginRoles":["app"]}}` + "\n" + `{"stage":"committed"}` + "\n"))
	f.Add([]byte("{}\n{"))
	f.Fuzz(func(t *testing.T, content []byte) {
		state, err := readState(bytes.NewReader(content))
		whole := content[:bytes.LastIndexByte(content, '\n')+1]
		again, errAgain := readState(bytes.NewReader(whole))
		if state.Stage != again.Stage || (err == nil) != (errAgain == nil) {
			t.Errorf("%q: %q (%v); without its torn end: %q (%v)", content, state.Stage, err, again.Stage, errAgain)
		}
	})
}

// TestNoTryBeginsWhileUndoing: whoever undoes a try that has given way since would undo the next one with it.
func TestNoTryBeginsWhileUndoing(t *testing.T) {
	j := newJournal(t)
	for _, stage := range []Stage{StageIntent, StageRollingBack, StageGaveWay} {
		must(t, string(stage), lines(j)[stage]())
	}
	must(t, "undo", j.whileUndoing(t.Context(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := j.Begin(ctx, Intent{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("begin while somebody undoes: %v", err)
		}
		return j.whileUndoing(t.Context(), func() error { return nil }) // several may
	}))
	must(t, "begin afterwards", j.Begin(t.Context(), Intent{}))
}
