package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// freeHugePages tells how many bytes are left in huge pages, by the size of a page in bytes; 0 is the kernel's
// default size. What others have reserved is not left (the kernel's Documentation/admin-guide/mm/hugetlbpage.rst).
func freeHugePages(sys, meminfo string) (map[int64]int64, error) {
	free := map[int64]int64{}
	dirs, err := filepath.Glob(filepath.Join(sys, "hugepages-*kB"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "hugepages-"), "kB"), 10, 64)
		if err != nil {
			continue
		}
		pages, err := number(filepath.Join(dir, "free_hugepages"))
		if err != nil {
			return nil, err
		}
		reserved, err := number(filepath.Join(dir, "resv_hugepages"))
		if err != nil {
			return nil, err
		}
		free[kilobytes<<10] = max(0, pages-reserved) * (kilobytes << 10)
	}
	text, err := os.ReadFile(meminfo)
	if err != nil {
		return nil, fmt.Errorf("read the size of huge pages: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Hugepagesize:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read the size of huge pages: %w", err)
			}
			free[0] = free[kilobytes<<10]
		}
	}
	return free, nil
}

// heldHugePages tells how many bytes of huge pages the server of a data directory has: its shared memory is one mapping,
// reserved as a whole when it starts.
func heldHugePages(proc, pgdata string) (int64, error) {
	pid, err := postmasterPID(pgdata)
	if err != nil {
		return 0, err
	}
	maps, err := os.ReadFile(filepath.Join(proc, pid, "maps"))
	if err != nil {
		return 0, fmt.Errorf("read the mappings of a server: %w", err)
	}
	return parseHugeMappings(string(maps))
}

// parseHugeMappings sums up the mappings of /proc/pid/maps, as proc(5) describes it, that are made of anonymous huge
// pages (the kernel's fs/hugetlbfs/inode.c names them so).
func parseHugeMappings(maps string) (sum int64, err error) {
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[5] != "/anon_hugepage" {
			continue
		}
		first, last, _ := strings.Cut(fields[0], "-")
		from, err := strconv.ParseUint(first, 16, 63)
		if err != nil {
			return 0, fmt.Errorf("read the mappings of a server: %w", err)
		}
		to, err := strconv.ParseUint(last, 16, 63)
		if err != nil {
			return 0, fmt.Errorf("read the mappings of a server: %w", err)
		}
		if to < from || int64(to-from) > math.MaxInt64-sum { //nolint:gosec // both have 63 bits
			return 0, fmt.Errorf("read the mappings of a server: %s is none", fields[0])
		}
		sum += int64(to - from) //nolint:gosec // both have 63 bits
	}
	return sum, nil
}

// number reads a file with a number in it; a file that is not there has none.
func number(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at the huge pages: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("look at the huge pages: %s: %w", path, err)
	}
	return n, nil
}
