package onhost

import (
	"slices"
	"testing"
	"time"
)

// TestPatience: no try is begun that can be expected to give way.
func TestPatience(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		last time.Duration
		want []time.Duration
	}{
		{0, []time.Duration{150 * ms, 150 * ms, 300 * ms, time.Second}},
		{40 * ms, []time.Duration{150 * ms, 150 * ms, 300 * ms, time.Second}},
		{100 * ms, []time.Duration{150 * ms, 150 * ms, 300 * ms, time.Second}},
		{120 * ms, []time.Duration{300 * ms, time.Second}},
		{500 * ms, []time.Duration{time.Second}},
		{time.Second, []time.Duration{}},
	} {
		if got := patience(c.last); !slices.Equal(got, c.want) {
			t.Errorf("after a pause of %s: %v, want %v", c.last, got, c.want)
		}
	}
}
