package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// say puts a line in the log of task 1, and phase it into a phase, as workflows do.
func (s server) say(t *testing.T, text string, phase upgrade.Phase) {
	t.Helper()
	if err := s.record.EnterPhase(t.Context(), 1, phase, time.Now()); err != nil {
		t.Fatal(err)
	}
	event := upgrade.Event{At: time.Now(), Level: upgrade.LevelInfo, Phase: phase, Text: text}
	if err := s.record.AppendEvents(t.Context(), 1, text, []upgrade.Event{event}); err != nil {
		t.Fatal(err)
	}
}

func TestFollowShowsATaskToItsEndThroughARestartOfTheServer(t *testing.T) {
	s := startServer(t)
	s.add(t, "orders")
	s.say(t, "copied 5 tables", upgrade.PhaseBaseBackup)
	done := make(chan result)
	go func() { done <- run(t, "task", "show", "1", "--follow") }()
	// The connection is cut again and again; the command must come back each time.
	for range 3 {
		time.Sleep(300 * time.Millisecond) //nolint:forbidigo // cut at any time: there is nothing to wait for
		s.http.CloseClientConnections()
	}
	s.say(t, "caught up", upgrade.PhaseSynchronizing)
	switched := upgrade.Switchover{Switched: true, Pause: 23 * time.Millisecond, TargetPort: 5433}
	s.end(t, 1, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &switched})
	got := <-done
	if got.code != ExitOK {
		t.Errorf("got %d: %s", got.code, got.stderr)
	}
	for _, want := range []string{
		"  base backup\n", "  copied 5 tables\n", "  synchronizing\n", "  caught up\n",
		"Switched over: clients paused for 23.0 ms and are on the target (port 5433) now.\n", "Upgrade 1 has ended after ",
	} {
		if strings.Count(got.stdout, want) != 1 {
			t.Errorf("%q is not there exactly once:\n%s", want, got.stdout)
		}
	}
}

func TestFollowInJSONPrintsTheEndOnly(t *testing.T) {
	s := startServer(t)
	s.add(t, "orders")
	s.end(t, 1, upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"})
	got := run(t, "task", "show", "1", "--follow", "-o", "json")
	if got.code != ExitFailed || !strings.HasPrefix(got.stdout, "{\n  \"number\": 1,") || strings.Count(got.stdout, "\n}\n") != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestOutcomeOfAVerb(t *testing.T) {
	at := time.Now()
	span := func(phase upgrade.Phase, ended bool) upgrade.PhaseSpan {
		p := upgrade.PhaseSpan{Phase: phase, StartedAt: at}
		if ended {
			p.EndedAt = &at
		}
		return p
	}
	synchronizing := upgrade.Task{Status: upgrade.StatusRunning, Phases: []upgrade.PhaseSpan{span(upgrade.PhaseSynchronizing, false)}}
	switching := upgrade.Task{Status: upgrade.StatusRunning, Phases: []upgrade.PhaseSpan{
		span(upgrade.PhaseSynchronizing, true), span(upgrade.PhaseSwitchover, false),
	}}
	refused := upgrade.Task{
		Status: upgrade.StatusRunning, Switchover: &upgrade.Switchover{Reason: "a transaction stayed open"},
		Phases: []upgrade.PhaseSpan{span(upgrade.PhaseSwitchover, true), span(upgrade.PhaseSynchronizing, false)},
	}
	again := refused
	again.Phases = append([]upgrade.PhaseSpan{span(upgrade.PhaseSwitchover, true)}, refused.Phases...)
	switched := switching
	switched.Switchover = &upgrade.Switchover{Switched: true}
	cancelled := upgrade.Task{Status: upgrade.StatusCancelled}
	following := switched
	following.Phases = []upgrade.PhaseSpan{span(upgrade.PhaseSwitchover, true), span(upgrade.PhaseFollowing, false)}
	goingBack := following
	goingBack.Phases = append([]upgrade.PhaseSpan{span(upgrade.PhaseFollowing, true)}, span(upgrade.PhaseSwitchback, false))
	notBack := following
	notBack.Switchover = &upgrade.Switchover{Back: true, Reason: "a transaction stayed open"}
	notBack.Phases = []upgrade.PhaseSpan{span(upgrade.PhaseSwitchover, true), span(upgrade.PhaseSwitchback, true), span(upgrade.PhaseFollowing, false)}
	back := goingBack
	back.Switchover = &upgrade.Switchover{Back: true, Switched: true}
	for name, test := range map[string]struct {
		verb             string
		before, now      upgrade.Task
		enough, achieved bool
	}{
		"switch, not begun":       {verbSwitch, synchronizing, synchronizing, false, false},
		"switch, begun":           {verbSwitch, synchronizing, switching, false, false},
		"switch, switched":        {verbSwitch, synchronizing, switched, true, true},
		"switch, not switched":    {verbSwitch, synchronizing, refused, true, false},
		"switch again, not begun": {verbSwitch, refused, refused, false, false},
		"switch again, refused":   {verbSwitch, refused, again, true, false},
		"switch, cancelled":       {verbSwitch, synchronizing, cancelled, true, false},
		"interrupt, going on":     {verbInterrupt, switching, switching, false, true},
		"interrupt, interrupted":  {verbInterrupt, switching, refused, true, true},
		"interrupt, too late":     {verbInterrupt, switching, switched, true, false},
		"cancel, going on":        {verbCancel, switching, refused, false, false},
		"cancel, cancelled":       {verbCancel, switching, cancelled, true, true},
		"cancel, too late":        {verbCancel, switching, switched, true, false},
		"back, not begun":         {verbBack, following, following, false, false},
		"back, begun":             {verbBack, following, goingBack, false, false},
		"back, at the source":     {verbBack, following, back, true, true},
		"back, refused":           {verbBack, following, notBack, true, false},
		"back, interrupted":       {verbInterrupt, goingBack, notBack, true, true},
		"back, cannot interrupt":  {verbInterrupt, goingBack, back, true, false},
	} {
		if got := outcomeOf(test.verb, test.before).stands(test.now); got != test.enough {
			t.Errorf("%s: enough is %t, want %t", name, got, test.enough)
		}
		if got := achieved(test.verb, test.before, test.now); got != test.achieved {
			t.Errorf("%s: achieved is %t, want %t", name, got, test.achieved)
		}
	}
}
