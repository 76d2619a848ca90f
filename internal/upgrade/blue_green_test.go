package upgrade

import (
	"testing"
	"time"
)

func TestWindowUntil(t *testing.T) {
	for _, c := range []struct {
		window, now string
		want        time.Duration
	}{
		{"02:00Z-04:00Z", "2026-03-01T01:30:00Z", 30 * time.Minute},
		{"02:00Z-04:00Z", "2026-03-01T02:00:00Z", 0},
		{"02:00Z-04:00Z", "2026-03-01T03:59:59Z", 0},
		{"02:00Z-04:00Z", "2026-03-01T04:00:00Z", 22 * time.Hour},
		{"22:00Z-02:00Z", "2026-03-01T21:59:59Z", time.Second},
		{"22:00Z-02:00Z", "2026-03-01T23:30:00Z", 0},
		{"22:00Z-02:00Z", "2026-03-02T00:00:00Z", 0},
		{"22:00Z-02:00Z", "2026-03-02T02:00:00Z", 20 * time.Hour},
		{"00:00Z-23:59Z", "2026-03-02T23:59:30Z", 30 * time.Second},
		{"02:00Z-04:00Z", "2026-03-01T04:30:00+02:00", 0}, // told in UTC, wherever the clock is
	} {
		window, err := ParseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if closes := window.Closes(now); c.want == 0 && (window.Until(closes.Add(-time.Nanosecond)) != 0 || window.Until(closes) == 0) {
			t.Errorf("%s, which is open at %s, does not close at %s", c.window, c.now, closes)
		}
		if got := window.Until(now); got != c.want {
			t.Errorf("from %s until %s: got %s, want %s", c.now, c.window, got, c.want)
		}
	}
}
