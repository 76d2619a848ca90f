package onhost

import (
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// behind adds a sample of a source that writes 5 MiB a second.
func (t *trend) behind(second int, bytes int64) {
	written := int64(1000+5*second) << 20
	t.add(trendSample{at: time.Unix(int64(second), 0), written: postgres.LSN(written), applied: postgres.LSN(written - bytes)}) //nolint:gosec // it is positive
}

func TestETA(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		bytes []int64 // one sample a second
		want  float64
		apply float64 // MiB per second
	}{
		{"the first sample tells no rate", []int64{100 * mib}, -1, 0},
		{"it has caught up", []int64{100 * mib, smallLag}, 0, 104},
		{"it was never behind", []int64{0}, 0, 0},
		{"10 MiB nearer every second", []int64{100 * mib, 90 * mib, 80 * mib}, 8, 15},
		{"it falls behind", []int64{100 * mib, 110 * mib}, -1, 0},
		{"it keeps its distance", []int64{100 * mib, 100 * mib}, -1, 5},
		{"a short setback", []int64{100 * mib, 60 * mib, 70 * mib}, 70.0 / 15, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			var samples trend
			for i, bytes := range c.bytes {
				samples.behind(i, bytes)
			}
			if got := samples.left(); got != c.want {
				t.Errorf("got %v s, want %v s", got, c.want)
			}
			var plain trend // of somebody who knows no positions
			var got float64
			for i, bytes := range c.bytes {
				got = plain.eta(time.Unix(int64(i), 0), bytes)
			}
			if got != c.want {
				t.Errorf("without positions: got %v s, want %v s", got, c.want)
			}
			wal, apply := samples.rates()
			if want := c.apply * mib; apply != want || len(c.bytes) > 1 && wal != 5*mib {
				t.Errorf("rates %v and %v, want 5 MiB and %v", wal, apply, want)
			}
		})
	}
}

// The rate is that of the last half minute: what was before counts no more.
func TestTrendForgets(t *testing.T) {
	var samples trend
	second := 0
	for range 100 { // falling behind for long
		second++
		samples.behind(second, int64(second)<<20)
	}
	if samples.losing.Unix() != 2 { // the first sample that tells a rate
		t.Errorf("it has been losing since %v", samples.losing)
	}
	for i := range trendWindow {
		second++
		samples.behind(second, int64(200-i*2)<<20)
	}
	if got, want := samples.left(), float64(200-2*(trendWindow-1))/2; got != want {
		t.Errorf("got %v s, want %v s", got, want)
	}
	if len(samples.samples) != trendWindow || !samples.losing.IsZero() {
		t.Errorf("%d samples are kept, losing since %v", len(samples.samples), samples.losing)
	}
	// A clock that stands still is no reason to divide by nothing.
	var still trend
	still.behind(1, 100<<20)
	still.behind(1, 50<<20)
	if wal, apply := still.rates(); still.left() != -1 || wal != 0 || apply != 0 {
		t.Errorf("with a clock that stands still: %v, %v, %v", still.left(), wal, apply)
	}
}

func TestDescribeLag(t *testing.T) {
	falling := upgrade.Lag{Bytes: 50 << 20, LagSeconds: 12, ETASeconds: -1, WALRate: 5 << 20, ApplyRate: 3.5 * (1 << 20)}
	nearing := falling
	nearing.ETASeconds, nearing.ApplyRate = 90, 6<<20
	for _, c := range []struct {
		name    string
		lag     upgrade.Lag
		seconds int // of samples in which it has come no nearer
		idle    []string
		plan    upgrade.Plan
		want    string
	}{
		{"nearly nothing", upgrade.Lag{Bytes: 2048, LagSeconds: 0.04}, 10, nil, upgrade.Plan{}, "2 KiB and 0.0 s behind"},
		{"before the rates are known", falling, 4, nil, upgrade.Plan{}, "51200 KiB and 12.0 s behind"},
		{
			"coming nearer", nearing, 5, nil,
			upgrade.Plan{},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 6.0 MiB applied, caught up in about 1m30s",
		},
		{
			"early", falling, 5, nil,
			upgrade.Plan{},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 3.5 MiB applied: at these rates it will never catch up",
		},
		{
			"for a while", falling, 31, nil,
			upgrade.Plan{},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 3.5 MiB applied: at these rates it will never catch up; " +
				"cancel the upgrade and start it again with --table-groups 2, or at a quieter time",
		},
		{
			"with groups", falling, 31, nil,
			upgrade.Plan{Options: upgrade.Options{TableGroups: 3}},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 3.5 MiB applied: at these rates it will never catch up; " +
				"cancel the upgrade and start it again with --table-groups 6, or at a quieter time",
		},
		{
			"with as many as there may be", falling, 31, nil,
			upgrade.Plan{Options: upgrade.Options{TableGroups: upgrade.MaxTableGroups}},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 3.5 MiB applied: at these rates it will never catch up; " +
				"cancel the upgrade and start it again at a quieter time",
		},
		{
			"on the way back", falling, 31, nil,
			upgrade.Plan{Reversed: true},
			"51200 KiB and 12.0 s behind; 5.0 MiB of WAL are written in a second and 3.5 MiB applied: at these rates it will never catch up; " +
				"there is no way back unless clients write less",
		},
		{
			"a subscription that does not work", falling, 31,
			[]string{"shop"},
			upgrade.Plan{},
			"51200 KiB and 12.0 s behind; the subscriptions of [shop] are not working, look at the target's log",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &follower{plan: c.plan, idle: c.idle}
			for second := range c.seconds + 1 {
				if c.lag.ETASeconds < 0 {
					f.trend.behind(second, c.lag.Bytes)
				} else {
					f.trend.behind(second, c.lag.Bytes+int64(c.seconds-second)<<20)
				}
			}
			if got := f.describe(c.lag); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
