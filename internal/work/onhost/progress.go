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
	p, stop := newProgress(first, func(now upgrade.Progress) { activity.RecordHeartbeat(ctx, now) })
	return context.WithValue(ctx, progressKey{}, p), stop
}

// newProgress tells the engine where a step stands: now, whenever that changes, and at least once in
// beatInterval, until stop is called. The step itself never waits for the engine, which may be slow or away:
// clients may be waiting for the step.
func newProgress(first upgrade.Progress, tell func(upgrade.Progress)) (_ *progress, stop func()) {
	news, done := make(chan struct{}, 1), make(chan struct{})
	p := &progress{last: first, beat: func(upgrade.Progress) {
		select {
		case news <- struct{}{}:
		default: // earlier news have not been told: these will be with them
		}
	}}
	go func() {
		tick := time.NewTicker(beatInterval)
		defer tick.Stop()
		for {
			tell(p.now())
			select {
			case <-done:
				return
			case <-tick.C:
			case <-news:
			}
		}
	}()
	return p, func() { close(done) }
}

// now is where the step stands at this moment.
func (p *progress) now() upgrade.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last.At = time.Now().UTC()
	return p.last
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
