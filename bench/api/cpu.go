package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: hundredths of a second on Linux (proc(5), sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// usage is what /proc/PID/stat tells of a process.
type usage struct {
	parent    int
	own, gone time.Duration // of the process, and of its children that have ended
}

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The name in parentheses may hold anything; the first field after it is the third one.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var failed error
	number := func(field int) int {
		n, err := strconv.Atoi(fields[field-3])
		failed = errors.Join(failed, err)
		return n
	}
	u := usage{
		parent: number(4),
		own:    time.Duration(number(14)+number(15)) * tick,
		gone:   time.Duration(number(16)+number(17)) * tick,
	}
	return u, failed
}

// processors is the time of all processors since the machine began, and what of it its host gave to others
// (proc(5), /proc/stat).
type processors struct{ all, stolen int }

func readProcessors() (processors, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}, err
	}
	first, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 || fields[0] != "cpu" {
		return processors{}, fmt.Errorf("/proc/stat begins with %q", first)
	}
	var p processors
	for i, field := range fields[1:9] { // guests' time, which follows, is part of the users'
		n, err := strconv.Atoi(field)
		if err != nil {
			return processors{}, fmt.Errorf("/proc/stat begins with %q: %w", first, err)
		}
		if p.all += n; i == 7 {
			p.stolen = n
		}
	}
	return p, nil
}

// stolenSince is the part of the processors' time that others got, in percent.
func (p processors) stolenSince(before processors) float64 {
	return 100 * float64(p.stolen-before.stolen) / float64(max(1, p.all-before.all))
}

// cpuOfFamily is the processor time of a process and of all its children, present and past.
func cpuOfFamily(pid int) (time.Duration, error) {
	u, err := usageOf(pid)
	if err != nil {
		return 0, err
	}
	sum := u.own + u.gone
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		child, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if u, err := usageOf(child); err == nil && u.parent == pid { // else it has just ended
			sum += u.own
		}
	}
	return sum, nil
}
