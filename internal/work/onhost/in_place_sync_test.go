package onhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
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
		kinds    []int64
		want     bool
	}{
		{"links", 17, pgbin.TransferLink, "6.1.0-13-amd64", nil, true},
		{"a copy", 15, pgbin.TransferCopy, "5.10.0", nil, true},
		{"pg_upgrade 14 cannot leave it", 14, pgbin.TransferLink, "6.1.0", nil, false},
		{"swap has an order of its own", 18, pgbin.TransferSwap, "6.1.0", nil, false},
		{"the first kernel that tells", 17, pgbin.TransferLink, "5.8.0", nil, true},
		{"the last one that does not", 17, pgbin.TransferLink, "5.7.19", nil, false},
		{"an old one", 17, pgbin.TransferLink, "4.18.0-553.el8_10.x86_64", nil, false},
		{"an unknown one", 17, pgbin.TransferLink, "", nil, false},
		{"a strange one", 17, pgbin.TransferLink, "6.x", nil, false},
		{"ext4 and XFS", 17, pgbin.TransferLink, "6.1.0", []int64{0xef53, 0x58465342}, true},
		{"a tablespace on FUSE", 17, pgbin.TransferLink, "6.1.0", []int64{0xef53, 0x65735546}, false},
		{"overlayfs", 17, pgbin.TransferCopy, "6.1.0", []int64{0x794c7630}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := syncsAtOnce(test.target, test.transfer, test.release, test.kinds); got != (test.want && syncfsNumber() != 0) {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestFileSystemKinds(t *testing.T) {
	const procfs = 0x9fa0
	kinds, err := fileSystemKinds(t.TempDir(), "/proc")
	if err != nil || len(kinds) != 2 || kinds[0] == procfs || kinds[1] != procfs {
		t.Errorf("kinds %#x, %v", kinds, err)
	}
	if _, err := fileSystemKinds(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
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

// syncedOnce wants a target not to have been synced by pg_upgrade too, if its file systems were.
func (b *upgradeBed) syncedOnce() {
	b.Helper()
	files, err := b.worker.files(b.plan)
	b.must(err)
	disks, err := openTargets(b.plan, files)
	b.must(err)
	defer disks.close()
	said := read(files.transcript("pg_upgrade"))
	if !strings.Contains(said, "Upgrade Complete") {
		b.Errorf("the transcript of pg_upgrade does not tell that it is done: %s", said)
	}
	if strings.Contains(said, "Sync data directory to disk") == (len(disks) > 0) {
		b.Errorf("with %d file systems that are synced pg_upgrade said %s", len(disks), said)
	}
}
