package onhost

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestRates(t *testing.T) {
	dir := t.TempDir()
	file, err := nameless(dir)
	if err != nil {
		t.Skipf("the file system has no files without a name: %v", err)
	}
	defer file.Close()
	write, err := writeRate(t.Context(), file, 8<<20)
	if err != nil || write <= 0 {
		t.Fatalf("write: got %f, %v", write, err)
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 || info.Size() > 8<<20 {
		t.Errorf("written: %d bytes, %v; want at most 8 MiB", info.Size(), err)
	}
	if read, err := readRate(t.Context(), file); err != nil || read <= 0 {
		t.Errorf("read: got %f, %v", read, err)
	}
	if left, err := os.ReadDir(filepath.Clean(dir)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := writeRate(cancelled, file, 8<<20); err == nil {
		t.Error("a measurement that was cancelled has a result")
	}
}
