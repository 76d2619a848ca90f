package onhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What cannot be synced at once, or could fail without a word, is left to pg_upgrade.
func TestSyncsAtOnce(t *testing.T) {
	for _, test := range []struct {
		name     string
		target   upgrade.Major
		transfer pgbin.Transfer
		release  string
		want     bool
	}{
		{"links", 17, pgbin.TransferLink, "6.1.0-13-amd64", true},
		{"a copy", 15, pgbin.TransferCopy, "5.10.0", true},
		{"pg_upgrade 14 cannot leave it", 14, pgbin.TransferLink, "6.1.0", false},
		{"swap has an order of its own", 18, pgbin.TransferSwap, "6.1.0", false},
		{"the first kernel that tells", 17, pgbin.TransferLink, "5.8.0", true},
		{"the last one that does not", 17, pgbin.TransferLink, "5.7.19", false},
		{"an old one", 17, pgbin.TransferLink, "4.18.0-553.el8_10.x86_64", false},
		{"an unknown one", 17, pgbin.TransferLink, "", false},
		{"a strange one", 17, pgbin.TransferLink, "6.x", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := syncsAtOnce(test.target, test.transfer, test.release); got != (test.want && syncfsNumber() != 0) {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestFileSystems(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "pg_wal")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	opened, err := openFileSystems(dir, filepath.Dir(dir), link)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.close()
	if len(opened) != 2 {
		t.Errorf("%d are open: each counts once, and a link for where it leads", len(opened))
	}
	if _, err := openFileSystems(dir, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if syncfsNumber() == 0 {
		t.Skip("syncfs is not known on this architecture")
	}
	if err := opened.sync(t.Context()); err != nil {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := opened.sync(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a sync that nobody wants any more: %v", err)
	}
}
