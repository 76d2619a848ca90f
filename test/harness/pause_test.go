package harness

import (
	"slices"
	"testing"
	"time"
)

func TestPauseBetween(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	ok := func(begun, ended int) Sample {
		return Sample{Begun: at(begun), Ended: at(ended), Outcome: Acknowledged}
	}
	failed := func(begun, ended int) Sample {
		return Sample{Begun: at(begun), Ended: at(ended), Outcome: RolledBack}
	}
	for _, test := range []struct {
		name         string
		samples      []Sample
		longest, gap int
		transactions int
	}{
		{"nobody was there", nil, 0, 0, 0},
		{"held by the pause", []Sample{ok(80, 95), ok(99, 140), ok(105, 142)}, 41, 45, 2},
		{"long before and after do not count", []Sample{ok(0, 70), ok(90, 99), ok(110, 125), ok(200, 900)}, 15, 26, 1},
		{"a failure counts as a wait but ends no gap", []Sample{ok(90, 99), failed(100, 130), ok(131, 150)}, 30, 51, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Summary{Samples: test.samples}.PauseBetween(at(100), at(120))
			want := Pause{
				Longest: time.Duration(test.longest) * time.Millisecond, Gap: time.Duration(test.gap) * time.Millisecond,
				Transactions: test.transactions,
			}
			if got != want {
				t.Errorf("PauseBetween = %+v, want %+v", got, want)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	s := Summary{Samples: []Sample{
		{Begun: at(80), Ended: at(100)}, // before it
		{Begun: at(80), Ended: at(140)},
		{Begun: at(105), Ended: at(121)},
		{Begun: at(119), Ended: at(125), Outcome: RolledBack},
		{Begun: at(121), Ended: at(500)}, // after it
	}}
	want := []time.Duration{6 * time.Millisecond, 16 * time.Millisecond, 60 * time.Millisecond}
	if got := s.Held(at(120)); !slices.Equal(got, want) {
		t.Errorf("Held = %v, want %v", got, want)
	}
}
