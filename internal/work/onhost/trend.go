package onhost

import (
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// trend tells from the last samples how fast WAL is written and applied.
type trend struct {
	samples []trendSample
	// losing is since when WAL has been written faster than applied, in every sample; zero: it is not.
	losing time.Time
}

type trendSample struct {
	at               time.Time
	written, applied postgres.LSN
}

func (s trendSample) behind() int64 { return max(0, s.written.Minus(s.applied)) }

// trendWindow is the number of samples that the rates are taken from.
const trendWindow = 30

func (t *trend) add(sample trendSample) {
	t.samples = append(t.samples, sample)
	if len(t.samples) > trendWindow {
		t.samples = t.samples[1:]
	}
	switch {
	case len(t.samples) > 1 && t.left() >= 0:
		t.losing = time.Time{}
	case len(t.samples) > 1 && t.losing.IsZero():
		t.losing = sample.at
	}
}

func (t *trend) first() trendSample { return t.samples[0] }
func (t *trend) last() trendSample  { return t.samples[len(t.samples)-1] }

// over is how long a time the rates are taken from.
func (t *trend) over() time.Duration {
	if len(t.samples) == 0 {
		return 0
	}
	return t.last().at.Sub(t.first().at)
}

// rates are in bytes per second. One sample tells none.
func (t *trend) rates() (wal, apply float64) {
	seconds := t.over().Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return float64(max(0, t.last().written.Minus(t.first().written))) / seconds,
		float64(max(0, t.last().applied.Minus(t.first().applied))) / seconds
}

// eta adds a sample of somebody who knows only how many bytes the target is behind, and is what is left then.
func (t *trend) eta(at time.Time, behind int64) float64 {
	t.add(trendSample{at: at, written: postgres.LSN(max(0, behind))}) //nolint:gosec // it is not negative
	return t.left()
}

// left is in seconds: 0 when the target has caught up, -1 when it is not getting nearer.
func (t *trend) left() float64 {
	behind, seconds := t.last().behind(), t.over().Seconds()
	if behind <= smallLag {
		return 0
	}
	nearer := float64(t.first().behind() - behind)
	if seconds <= 0 || nearer <= 0 {
		return -1
	}
	return float64(behind) / (nearer / seconds)
}

// rateTime is how long rates are measured before they are told: a few samples may be of one transaction.
const rateTime = 5 * time.Second

// neverAfter is how long the target must have been losing before it is told what to do about it.
const neverAfter = 30 * time.Second

// describe tells a lag in a line for people.
func (f *follower) describe(lag upgrade.Lag) string {
	text := fmt.Sprintf("%d KiB and %.1f s behind", lag.Bytes>>10, lag.LagSeconds)
	if len(f.idle) > 0 {
		return text + fmt.Sprintf("; the subscriptions of %v are not working, look at the target's log", f.idle)
	}
	if never := f.neverCatchesUp(lag); never != "" {
		return text + "; " + never
	}
	if lag.Bytes <= smallLag || f.trend.over() < rateTime {
		return text
	}
	text += "; " + describeRates(lag)
	if lag.ETASeconds > 0 {
		return text + fmt.Sprintf(", caught up in about %s", (time.Duration(lag.ETASeconds)*time.Second).Round(time.Second))
	}
	return text + ": at these rates it will never catch up"
}

func describeRates(lag upgrade.Lag) string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB of WAL are written in a second and %.1f MiB applied", lag.WALRate/mib, lag.ApplyRate/mib)
}

// neverCatchesUp says so, and what can be done, when that has been clear for a while.
func (f *follower) neverCatchesUp(lag upgrade.Lag) string {
	if f.trend.losing.IsZero() || f.trend.last().at.Sub(f.trend.losing) < neverAfter || len(f.idle) > 0 {
		return ""
	}
	remedy := "cancel the upgrade and start it again "
	switch groups := max(1, f.plan.Options.TableGroups); {
	case f.plan.Reversed:
		remedy = "there is no way back unless clients write less"
	case groups < upgrade.MaxTableGroups:
		remedy += fmt.Sprintf("with --table-groups %d, or at a quieter time", min(2*groups, upgrade.MaxTableGroups))
	default:
		remedy += "at a quieter time"
	}
	return fmt.Sprintf("%s: at these rates it will never catch up; %s", describeRates(lag), remedy)
}
