package postgres

import (
	"os"
	"syscall"
	"testing"
)

func ownerUID(t *testing.T, info os.FileInfo) int {
	t.Helper()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no owner")
	}
	return int(stat.Uid)
}
