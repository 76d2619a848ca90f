package precheck

import (
	"errors"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Without an agent the target's programs are those of another machine than the target's.
func TestAnotherMachineBlocksNothing(t *testing.T) {
	blocker := Found{Object: "x", Note: "y", Severity: upgrade.Blocker}
	for _, c := range []struct {
		name  string
		check Check
		host  Host
		want  upgrade.Severity
	}{
		{"on the host", extensions, Host{}, upgrade.Blocker},
		{"extensions elsewhere", extensions, Host{Unseen: errors.New("no agent")}, upgrade.Warning},
		{"locales elsewhere", locales, Host{Unseen: errors.New("no agent")}, upgrade.Warning},
		{"what the version itself lacks", removedColumns, Host{Unseen: errors.New("no agent")}, upgrade.Blocker},
	} {
		got := (&Facts{Host: c.host}).elsewhere(c.check, blocker)
		if got.Severity != c.want || (got.Note != blocker.Note) != (c.want == upgrade.Warning) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
