package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// screen shows a task that is followed: phases and events as lines, and where the present step
// stands as a line that is redrawn on a terminal, or printed now and then elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	spans  int       // phases shown
	hinted bool      // the user was told how to switch over
	drawn  bool      // the last line is the redrawn one
	step   string    // of the progress shown last
	shown  time.Time // when that was
}

// progressInterval is the time between two lines of the same step when there is no terminal.
const progressInterval = 10 * time.Second

// terminalWidth is what a redrawn line may fill: a longer one would wrap and could not be redrawn.
const terminalWidth = 79

func newScreen(out io.Writer) *screen {
	return &screen{out: out, terminal: isTerminal(out), now: time.Now}
}

// happened implements watcher.
func (s *screen) happened(e client.Event) {
	mark := ""
	if e.Level != upgrade.LevelInfo {
		mark = string(e.Level) + ": "
	}
	s.line(fmt.Sprintf("%s    %s%s", e.At.Local().Format(time.TimeOnly), mark, e.Text))
}

// stands implements watcher.
func (s *screen) stands(t upgrade.Task) bool {
	for ; s.spans < len(t.Phases); s.spans++ {
		p := t.Phases[s.spans]
		s.line(fmt.Sprintf("%s  %s", p.StartedAt.Local().Format(time.TimeOnly), p.Phase))
		s.step = ""
	}
	if t.Phase == upgrade.PhaseSynchronizing && !s.hinted && t.Plan != nil && t.Plan.Options.Switch == upgrade.SwitchManual {
		s.hinted = true
		s.line(fmt.Sprintf("          Switch over with: pgleap switchover %s switch", t.Instance))
	}
	if t.Progress != nil && !t.Status.Ended() {
		s.progress(*t.Progress)
	}
	if t.Status.Ended() {
		s.clear()
	}
	return false
}

// progress shows where the present step stands.
func (s *screen) progress(p upgrade.Progress) {
	text := "          " + progressLine(p)
	if s.terminal {
		fmt.Fprintf(s.out, "\r\x1b[K%s", cut(text, terminalWidth))
		s.drawn = true
		return
	}
	if p.Step == s.step && s.now().Sub(s.shown) < progressInterval {
		return
	}
	s.step, s.shown = p.Step, s.now()
	fmt.Fprintln(s.out, text)
}

// line prints a line that stays.
func (s *screen) line(text string) {
	s.clear()
	fmt.Fprintln(s.out, text)
}

// clear takes the redrawn line off the terminal.
func (s *screen) clear() {
	if s.drawn {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.drawn = false
	}
}

// progressLine is a progress in one line.
func progressLine(p upgrade.Progress) string {
	parts := []string{}
	if p.Step != "" {
		parts = append(parts, p.Step+":")
	}
	if p.Total > 0 {
		done := min(p.Done, p.Total)
		parts = append(parts, bar(done, p.Total), fmt.Sprintf("%s of %s", amount(p.Done, p.Unit), counted(p.Total, p.Unit)))
	} else if p.Done > 0 {
		parts = append(parts, counted(p.Done, p.Unit))
	}
	if p.Lag != nil {
		parts = append(parts, lagLine(*p.Lag))
	}
	if p.Text != "" && p.Lag == nil {
		parts = append(parts, p.Text)
	}
	return strings.Join(parts, " ")
}

func counted(n int64, unit string) string {
	if unit == "" || unit == "bytes" {
		return amount(n, unit)
	}
	return amount(n, unit) + " " + unit
}

const barWidth = 20

// bar draws a share, such as [#####---------------]  25 %.
func bar(done, total int64) string {
	share := float64(max(done, 0)) / float64(total)
	full := int(share * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), share*100)
}

// lagLine is the lag in words.
func lagLine(l upgrade.Lag) string {
	text := fmt.Sprintf("lag %s, %.1f s", report.Size(l.Bytes), l.LagSeconds)
	switch {
	case l.ETASeconds < 0:
		text += ", not catching up"
	case l.ETASeconds > 0:
		text += ", caught up in " + report.Span(time.Duration(l.ETASeconds*float64(time.Second)))
	}
	return text + "; WAL kept " + report.Size(l.RetainedWAL)
}

// cut shortens a text to so many characters.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "~"
}
