package onhost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFreeHugePages(t *testing.T) {
	sys := t.TempDir()
	for path, text := range map[string]string{
		"hugepages-2048kB/free_hugepages": "10\n", "hugepages-2048kB/resv_hugepages": "4\n",
		"hugepages-1048576kB/free_hugepages": "1\n",
		"meminfo":                            "MemTotal: 1 kB\nHugePages_Free:       10\nHugepagesize:       2048 kB\n",
		"none":                               "MemTotal: 1 kB\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(sys, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		sys, meminfo string
		want         map[int64]int64
	}{
		{sys, "meminfo", map[int64]int64{0: 12 << 20, 2 << 20: 12 << 20, 1 << 30: 1 << 30}},
		{filepath.Join(sys, "nowhere"), "none", map[int64]int64{}},
	} {
		got, err := freeHugePages(c.sys, filepath.Join(sys, c.meminfo))
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.meminfo, err, diff)
		}
	}
	if _, err := freeHugePages("/sys/kernel/mm/hugepages", "/proc/meminfo"); err != nil {
		t.Errorf("this machine's: %v", err)
	}
}
