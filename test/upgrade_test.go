package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The main job: two databases are upgraded while clients write to both, and each acknowledged
// transaction is there exactly once afterwards.
func TestUpgradeUnderLoad(t *testing.T) {
	for _, pair := range pairs(pgtest.Versions(t)) {
		t.Run(fmt.Sprintf("%d to %d", pair[0], pair[1]), func(t *testing.T) {
			s := newScene(t, pair[0], pair[1])
			s.write()
			number := s.upgrade("--statistics", "before", "--switch", "manual")
			s.synchronized(number)
			s.goesOn(patience)
			s.switchOver(0)
			task := s.succeeds(number)
			phases := map[upgrade.Phase]bool{}
			for _, span := range task.Phases {
				phases[span.Phase] = span.EndedAt != nil
			}
			for _, phase := range upgrade.Phases() {
				if !phases[phase] {
					t.Errorf("phase %q was not entered and left: %+v", phase, task.Phases)
				}
			}
			s.told(number)
		})
	}
}

// told makes sure that the commands tell of an upgrade that has ended.
func (s *scene) told(number int64) {
	s.t.Helper()
	for _, test := range []struct {
		args []string
		says []string
	}{
		{[]string{"tasks"}, []string{"upgrade", id, "succeeded"}},
		{[]string{"tasks", id}, []string{"upgrade", id, "succeeded"}},
		{[]string{"task", "show", fmt.Sprint(number)}, []string{id, "succeeded", "base backup", "drain", "hand-over decided"}},
		{[]string{"task", "show", fmt.Sprint(number), "--follow"}, []string{"succeeded", "switched over"}},
		{[]string{"task", "show", fmt.Sprint(number), "--output", "json"}, []string{`"status": "succeeded"`, `"switched": true`}},
		{[]string{"instance", "show", id}, []string{s.target().Pgdata}},
		{[]string{"instance", "list"}, []string{id, fmt.Sprint(s.target().Port)}},
		{[]string{"instance", "discover"}, []string{s.source.Pgdata, s.target().Pgdata}},
	} {
		result := s.server.CLI(s.ctx, test.args...)
		for _, text := range test.says {
			if result.Code != 0 || !strings.Contains(result.Stdout, text) {
				s.t.Errorf("pgleap %s: exit code %d, no word of %q:\n%s\n%s", strings.Join(test.args, " "), result.Code, text, result.Stdout, result.Stderr)
			}
		}
	}
}

// pairs are a version and the next, and the oldest with the newest.
func pairs(versions []int) [][2]int {
	var pairs [][2]int
	for i := range len(versions) - 1 {
		pairs = append(pairs, [2]int{versions[i], versions[i+1]})
	}
	if len(versions) > 2 {
		pairs = append(pairs, [2]int{versions[0], versions[len(versions)-1]})
	}
	return pairs
}
