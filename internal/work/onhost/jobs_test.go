package onhost

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestChooseJobs(t *testing.T) {
	for _, c := range []struct {
		name       string
		mode       upgrade.Mode
		asked      int
		processors int
		want       int
	}{
		{"what the user says", upgrade.InPlace, 20, 4, 20},
		{"one, if the user says so", upgrade.InPlace, 1, 4, 1},
		{"all processors where nobody is served", upgrade.InPlace, 0, 6, 6},
		{"half of them beside the source", upgrade.ZeroDowntime, 0, 6, 3},
		{"half of them beside the source of a clone", upgrade.BlueGreen, 0, 12, 6},
		{"two on a small host", upgrade.InPlace, 0, 1, 2},
		{"two on a small host beside the source", upgrade.ZeroDowntime, 0, 2, 2},
		{"no more than find work", upgrade.InPlace, 0, 64, 8},
		{"no more than find work, beside the source", upgrade.ZeroDowntime, 0, 64, 8},
	} {
		plan := upgrade.Plan{Mode: c.mode, Options: upgrade.Options{Jobs: c.asked}.WithDefaults()}
		if err := plan.Options.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := chooseJobs(plan, c.processors); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
