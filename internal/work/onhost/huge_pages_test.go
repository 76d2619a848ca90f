package onhost

import (
	"os"
	"path/filepath"
	"strings"
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

func TestParseHugeMappings(t *testing.T) {
	const others = "55d0c0a00000-55d0c0ad2000 r--p 00000000 fe:00 1048 /usr/lib/postgresql/17/bin/postgres\n" +
		"7f00a0000000-7f00a8000000 rw-s 00000000 00:01 2050 /dev/zero (deleted)\n7ffd4000-7ffd5000 rw-p 00000000 00:00 0\n"
	for _, c := range []struct {
		text   string
		want   int64
		failed bool
	}{
		{text: others},
		{text: others + "7f0000000000-7f0008c00000 rw-s 00000000 00:10 18432 /anon_hugepage (deleted)\n", want: 140 << 20},
		{text: "1000-3000 rw-s 0 00:10 1 /anon_hugepage (deleted)\n4000-5000 rw-s 0 00:10 2 /anon_hugepage (deleted)", want: 0x3000},
		{text: "3000-1000 rw-s 0 00:10 1 /anon_hugepage (deleted)\n", failed: true},
		{text: "all rw-s 0 00:10 1 /anon_hugepage (deleted)\n", failed: true},
		{text: "ffffffffffff0000-ffffffffffffffff rw-s 0 00:10 1 /anon_hugepage\n", failed: true},
	} {
		got, err := parseHugeMappings(c.text)
		if got != c.want || (err != nil) != c.failed {
			t.Errorf("%q: got %d, %v", strings.TrimPrefix(c.text, others), got, err)
		}
	}
	if held, err := heldHugePages("/proc", t.TempDir()); err == nil {
		t.Errorf("a server that does not run has %d bytes", held)
	}
}

// FuzzParseHugeMappings: whatever the kernel writes, there is an amount or an error.
func FuzzParseHugeMappings(f *testing.F) {
	f.Add("7f0000000000-7f0008c00000 rw-s 00000000 00:10 18432 /anon_hugepage (deleted)\n")
	f.Add("1-2 a b c d /anon_hugepage\n0-7fffffffffffffff a b c d /anon_hugepage\n")
	f.Fuzz(func(t *testing.T, text string) {
		if sum, err := parseHugeMappings(text); sum < 0 || err != nil && sum != 0 {
			t.Errorf("%q: got %d, %v", text, sum, err)
		}
	})
}
