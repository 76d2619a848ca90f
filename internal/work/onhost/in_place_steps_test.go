package onhost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A source that somebody started while its files were copied is noticed. With links it cannot be started.
func TestSourceStayedDown(t *testing.T) {
	const sockets = "/tmp/pgleap-1"
	byPgUpgrade := `/bin/postgres "-D" "/data/15" "-p" "50432" "-b" "-c" "unix_socket_directories=` + sockets + `"`
	bySomebody := `/bin/postgres "-D" "/data/15"`
	for _, test := range []struct {
		name     string
		transfer pgbin.Transfer
		started  string
		stayed   bool
	}{
		{"copied, by pg_upgrade alone", pgbin.TransferCopy, byPgUpgrade, true},
		{"copied, and started", pgbin.TransferCopy, bySomebody, false},
		{"cloned, and started", pgbin.TransferClone, bySomebody, false},
		{"block by block, and started", pgbin.TransferCopyFileRange, bySomebody, false},
		{"linked", pgbin.TransferLink, bySomebody, true},
		{"swapped", pgbin.TransferSwap, bySomebody, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pgdata := t.TempDir()
			if err := os.WriteFile(filepath.Join(pgdata, "postmaster.opts"), []byte(test.started+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &outage{plan: upgrade.Plan{Source: upgrade.Cluster{Pgdata: pgdata}}}
			o.intent.Sockets, o.intent.Prepared.Chosen.Transfer = sockets, test.transfer
			if err := o.sourceStayedDown(); (err == nil) != test.stayed {
				t.Errorf("got %v", err)
			}
		})
	}
}
