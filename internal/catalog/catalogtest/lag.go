package catalogtest

import (
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func lag(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	prepare := func(t *testing.T) *catalog.Catalog {
		t.Helper()
		c := withInstances(t, open(t), orders())
		created(t, c, anUpgrade("orders"))
		return c
	}
	write := func(t *testing.T, c *catalog.Catalog, at time.Time, bytes int64) {
		t.Helper()
		must(t, c.AppendLag(t.Context(), 1, at, upgrade.Lag{Bytes: bytes}))
	}
	read := func(t *testing.T, c *catalog.Catalog, since time.Time, points int) []catalog.LagSample {
		t.Helper()
		got, err := c.LagSamples(t.Context(), 1, since, points)
		must(t, err)
		return got
	}

	t.Run("is read as it was written, once", func(t *testing.T) {
		c := prepare(t)
		sample := upgrade.Lag{Bytes: 5 << 40, LagSeconds: 0.1, RetainedWAL: 6 << 40, ETASeconds: -1}
		for range 2 {
			must(t, c.AppendLag(t.Context(), 1, noon, sample))
		}
		same(t, "samples", read(t, c, time.Time{}, 0), []catalog.LagSample{{At: kept, Lag: sample}})
		missing(t, c.AppendLag(t.Context(), 7, noon, sample), "task")
	})

	t.Run("is thinned out without losing a peak or the newest sample", func(t *testing.T) {
		c := prepare(t)
		const samples, peak = 100, 37
		for i := range samples {
			bytes := int64(i % 5)
			if i == peak {
				bytes = 1 << 30
			}
			write(t, c, after(i), bytes)
		}
		same(t, "all", len(read(t, c, noon, 0)), samples)
		same(t, "all, since they fit", len(read(t, c, noon, samples)), samples)
		same(t, "since a moment", len(read(t, c, keptAfter(90), 0)), 10)
		same(t, "since the future", read(t, c, after(samples), 10), nil)
		for points := 1; points <= samples; points++ {
			checkThinned(t, read(t, c, kept, points), points, keptAfter(peak), keptAfter(samples-1))
		}
	})

	t.Run("of days is drawn from the peaks of the minutes", func(t *testing.T) {
		c := prepare(t)
		const samples, peak = 120, 64
		for i := range samples {
			bytes := int64(i % 5)
			if i == peak {
				bytes = 1 << 30
			}
			write(t, c, after(20*i), bytes)
		}
		for points := 1; points <= samples/3; points++ {
			checkThinned(t, read(t, c, kept, points), points, keptAfter(20*peak), keptAfter(20*(samples-1)))
		}
	})

	t.Run("is forgotten after 30 days", func(t *testing.T) {
		c := prepare(t)
		write(t, c, noon, 1)
		write(t, c, after(1), 2)
		write(t, c, after(1).Add(catalog.LagRetention), 3)
		var left []int64
		for _, sample := range read(t, c, time.Time{}, 0) {
			left = append(left, sample.Bytes)
		}
		same(t, "samples left", left, []int64{2, 3})
	})
}

func checkThinned(t *testing.T, thinned []catalog.LagSample, points int, peak, newest time.Time) {
	t.Helper()
	if len(thinned) > points || len(thinned) < (points+1)/2 {
		t.Errorf("%d points were asked for, got %d", points, len(thinned))
	}
	hasPeak := points == 1
	for i, sample := range thinned {
		hasPeak = hasPeak || sample.At.Equal(peak)
		if i > 0 && !sample.At.After(thinned[i-1].At) {
			t.Errorf("of %d points, number %d is not after the one before", points, i)
		}
	}
	if !hasPeak {
		t.Errorf("the peak is not among %d points", points)
	}
	if !thinned[len(thinned)-1].At.Equal(newest) {
		t.Errorf("the newest sample is not among %d points", points)
	}
}
