package pgtest

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

func TestSetSystemIdentifier(t *testing.T) {
	pgdata := t.TempDir()
	table := crc32.MakeTable(crc32.Castagnoli)
	control := make([]byte, 8192)
	for i := range 280 {
		control[i] = byte(i)
	}
	binary.NativeEndian.PutUint32(control[280:], crc32.Checksum(control[:280], table))
	segment := filepath.Join(pgdata, "pg_wal", "000000010000000000000001")
	for path, content := range map[string][]byte{
		filepath.Join(pgdata, "global", "pg_control"): control,
		segment: make([]byte, 64),
		filepath.Join(pgdata, "pg_wal", "archive_status", "ready"): nil,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const identifier = 0x1122334455667788
	if err := setSystemIdentifier(pgdata, identifier); err != nil {
		t.Fatal(err)
	}
	changed, err := os.ReadFile(filepath.Join(pgdata, "global", "pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.NativeEndian.Uint64(changed); got != identifier {
		t.Errorf("pg_control has the identifier %x", got)
	}
	if end, err := controlLength(changed); err != nil || end != 280 {
		t.Errorf("pg_control is valid up to %d (%v), want 280", end, err)
	}
	wal, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.NativeEndian.Uint64(wal[24:]); got != identifier {
		t.Errorf("the WAL has the identifier %x", got)
	}
}

func TestControlFileThatIsDamagedIsRefused(t *testing.T) {
	if _, err := controlLength(make([]byte, 0)); err == nil {
		t.Error("an empty control file was taken for a valid one")
	}
	damaged := make([]byte, 8192)
	damaged[8] = 1
	if end, err := controlLength(damaged); err == nil {
		t.Errorf("a control file without a checksum was taken for a valid one of %d bytes", end)
	}
}
