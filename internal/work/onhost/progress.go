package onhost

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// beatInterval is how often a step says that it is alive, and shows where it stands.
const beatInterval = time.Second

// progress is where a step stands, told to the engine as its heart-beat.
type progress struct {
	mu   sync.Mutex
	last upgrade.Progress
	beat func(upgrade.Progress)
}

type progressKey struct{}

// withProgress lets the step in ctx show its progress, and beats until stop is called.
func withProgress(ctx context.Context, first upgrade.Progress) (_ context.Context, stop func()) {
	p := &progress{last: first, beat: func(now upgrade.Progress) { activity.RecordHeartbeat(ctx, now) }}
	p.set(func(*upgrade.Progress) {})
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatInterval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				p.set(func(*upgrade.Progress) {})
			}
		}
	}()
	return context.WithValue(ctx, progressKey{}, p), func() { close(done) }
}

// progressOf is the progress of the step that ctx belongs to. Outside of one it goes nowhere.
func progressOf(ctx context.Context) *progress {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		return p
	}
	return &progress{beat: func(upgrade.Progress) {}}
}

func (p *progress) set(change func(*upgrade.Progress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.last)
	p.last.At = time.Now().UTC()
	p.beat(p.last)
}

// text shows one line for people.
func (p *progress) text(text string) {
	p.set(func(last *upgrade.Progress) { last.Text = text })
}

// count shows how much is done.
func (p *progress) count(text string, done, total int64, unit string) {
	p.set(func(last *upgrade.Progress) { last.Text, last.Done, last.Total, last.Unit = text, done, total, unit })
}

// lag shows how far the target is behind.
func (p *progress) lag(lag upgrade.Lag, text string) {
	p.set(func(last *upgrade.Progress) { last.Lag, last.Text = &lag, text })
}

// unmeasured shows why it is not known how far the target is behind. What was known before is not any more.
func (p *progress) unmeasured(err error) {
	p.set(func(last *upgrade.Progress) { last.Lag, last.Text = nil, "the lag cannot be measured: "+err.Error() })
}

func (p *progress) phase() upgrade.Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.Phase
}
