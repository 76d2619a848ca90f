package onhost

import (
	"bytes"
	"os"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What keeps the source from starting again may come after the precheck: it costs no outage, and when it is gone the
// upgrade goes on.
func TestInPlaceOfASourceThatWouldNotStartAgain(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	b.prepared()
	for _, wrong := range []struct{ name, path, line string }{
		{"a setting that the source does not know", b.plan.Source.ConfigFile, "a_setting_of_the_new_version = on"},
		{"half a line", b.plan.Source.HBAFile, "local everybody"},
		{"a library that is not there", b.plan.Source.ConfigFile, "shared_preload_libraries = 'no_such_library'"},
	} {
		before, err := os.ReadFile(wrong.path)
		b.must(err)
		b.must(os.WriteFile(wrong.path, append(bytes.Clone(before), wrong.line+"\n"...), 0o600))
		b.notBegun(wrong.name, "would not start again")
		b.must(os.WriteFile(wrong.path, before, 0o600))
	}
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Errorf("not upgraded: %s", result.Switchover.Reason)
	}
}
