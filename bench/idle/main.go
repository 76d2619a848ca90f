// Command idle measures a server that has nothing to do: the time from its start until it is
// ready, its resident memory and its share of one core. It runs the built binary on a state
// directory of its own.
//
//	go run ./bench/idle -binary bin/pgleap -for 30s
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/pgleap", "the program to measure")
	length := flag.Duration("for", 30*time.Second, "how long to look at it")
	flag.Parse()
	if err := measure(*binary, *length); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func measure(binary string, length time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "pgleap-idle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server := exec.Command(binary, "server", "--state-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "error")
	server.Stderr = os.Stderr
	begun := time.Now()
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, server.Process.Signal(syscall.SIGTERM), server.Wait())
	}()
	ready, err := awaitFile(filepath.Join(dir, "address"), begun, 30*time.Second)
	if err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // what a start leaves to be done
	before, err := cpuTime(server.Process.Pid)
	if err != nil {
		return err
	}
	time.Sleep(length)
	after, err := cpuTime(server.Process.Pid)
	if err != nil {
		return err
	}
	resident, err := residentMiB(server.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("ready after      %6d ms   (bar: 3000)\n", ready.Milliseconds())
	fmt.Printf("resident memory  %6d MiB  (bar: 250)\n", resident)
	fmt.Printf("of one core      %6.2f %%    (bar: 2)\n", 100*(after-before).Seconds()/length.Seconds())
	return nil
}

// awaitFile returns how long after begun the file was there. A server writes its address when it is ready.
func awaitFile(path string, begun time.Time, limit time.Duration) (time.Duration, error) {
	for time.Since(begun) < limit {
		if _, err := os.Stat(path); err == nil {
			return time.Since(begun), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("the server was not ready within %s", limit)
}

// cpuTime is the time that a process has spent on processors: fields 14 and 15 of /proc/PID/stat, in
// hundredths of a second on Linux (proc(5), sysconf(_SC_CLK_TCK)).
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errUser, errSystem)
}

// residentMiB is VmRSS of /proc/PID/status.
func residentMiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			return kilobytes >> 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}
