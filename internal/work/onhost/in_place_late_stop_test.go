package onhost

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The outage goes on as soon as the source has stopped. When pg_ctl has noticed, too, pg_upgrade may run a server of its
// own on the source's data: that is not the source, which would not have stopped.
func TestInPlaceWhilePgCtlIsLate(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferLink)
	b.plan.Source.Bindir = b.latePgCtl(b.plan.Source.Bindir)
	b.prepared()
	if result := b.outage(); !result.Switchover.Switched {
		t.Errorf("not upgraded: %s", result.Switchover.Reason)
	}
}

// latePgCtl is a directory with the programs of another one, whose pg_ctl comes back from a stop a moment late.
func (b *upgradeBed) latePgCtl(bindir string) string {
	b.Helper()
	late := filepath.Join(filepath.Dir(b.source.Pgdata), "bin")
	b.must(os.Mkdir(late, 0o755)) //nolint:gosec // the owner of the cluster has to reach it
	programs, err := filepath.Glob(filepath.Join(bindir, "*"))
	b.must(err)
	for _, program := range programs {
		if name := filepath.Base(program); name != "pg_ctl" {
			b.must(os.Symlink(program, filepath.Join(late, name)))
		}
	}
	script := fmt.Sprintf("#!/bin/sh\n%s \"$@\" || exit\ncase \" $* \" in *\" stop \"*) sleep 0.5 ;; esac\n", filepath.Join(bindir, "pg_ctl"))
	b.must(os.WriteFile(filepath.Join(late, "pg_ctl"), []byte(script), 0o755)) //nolint:gosec // it is to be run
	return late
}
