package onhost

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A host that lacks something, and then has it. Nothing that is said of it is made up.
func TestHostThatLacksSomething(t *testing.T) {
	pgtest.Slow(t)
	w, source, args := precheckBed(t)
	plan := args.Plan
	plan.Options.MaxRetainedWAL = 1 << 20
	scratch, err := w.makeScratch(t.Context(), plan)
	defer scratch.remove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The target's programs tell how many huge pages they want, and how many files a server may open that is started now.
	started := func(host *precheck.Host) {
		host.Configuration = precheck.Known(scratch.configuration(t.Context()))
		if _, err := scratch.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		host.OpenFiles = precheck.Known(openFiles("/proc", plan.Source.Pgdata, scratch.pgdata()))
		if err := scratch.stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	lacking := plan
	lacking.Target.Port = source.Port
	takeAllMemory(t, source)
	raise := limitOpenFiles(t, 512) // of what is started from here on
	source.Exec(t, "postgres", `ALTER SYSTEM SET huge_pages = 'on'`)
	report := precheckOnHost(t, w, lacking, started)
	expectFinding(t, report, "target-place", upgrade.Blocker, fmt.Sprintf("port %d ", source.Port))
	expectFinding(t, report, "open-files", upgrade.Warning, "limit of open files (512 for the target, ")
	expectFinding(t, report, "memory", upgrade.Warning, "shared_buffers = ")
	expectFinding(t, report, "huge-pages", upgrade.Blocker, "huge_pages = on (")
	lacking.Target.Pgdata = filepath.Join(smallFileSystem(t), "target")
	expectFinding(t, precheckOnHost(t, w, lacking, nil), "disk-space", upgrade.Blocker, "file system of the target's data directory (1.0 MB free, ")

	raise()
	for _, remedy := range find(report, "huge-pages").RemedySQL {
		source.Exec(t, remedy.Database, remedy.SQL)
	}
	source.Exec(t, "postgres", `ALTER SYSTEM RESET shared_buffers`)
	source.Restart(t)
	report = precheckOnHost(t, w, plan, started)
	for _, check := range []string{"target-place", "open-files", "memory", "huge-pages", "disk-space"} {
		if found := find(report, check); found.Total > 0 {
			t.Errorf("mended: still found %s %q", found.Severity, found.Objects)
		}
	}
}

// precheckOnHost is what all checks find with what this host says. What takes a server of the target is not looked at.
func precheckOnHost(t *testing.T, w *Worker, plan upgrade.Plan, more func(*precheck.Host)) upgrade.Report {
	t.Helper()
	subject := precheck.Subject{
		Plan: plan, Source: w.host.Login(plan.Source, "postgres"), Host: w.hostFacts(t.Context(), plan),
		Target: precheck.Measured[postgres.Login]{Err: errors.New("not asked")},
	}
	if more != nil {
		more(&subject.Host)
	}
	report, err := precheck.Run(t.Context(), subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// expectFinding: what could not be checked is not found either.
func expectFinding(t *testing.T, report upgrade.Report, check string, severity upgrade.Severity, begins string) {
	t.Helper()
	got := find(report, check)
	if got.Severity != severity || len(got.Objects) != 1 || !strings.HasPrefix(got.Objects[0], begins) {
		t.Errorf("%s: got %s %q, want %s %q; not checked: %q", check, got.Severity, got.Objects, severity, begins, report.NotChecked)
	}
}

// limitOpenFiles gives this process, and what it starts, a lower limit, as an agent may have, and returns what raises it.
func limitOpenFiles(t *testing.T, files uint64) (raise func()) {
	t.Helper()
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: files, Max: own.Max})
	raise = sync.OnceFunc(func() { set(own) })
	t.Cleanup(raise)
	return raise
}

// takeAllMemory gives a server nearly as much shared memory as the machine has, of which it uses a small part only.
func takeAllMemory(t *testing.T, source *pgtest.Cluster) {
	t.Helper()
	var machine syscall.Sysinfo_t
	if err := syscall.Sysinfo(&machine); err != nil {
		t.Fatal(err)
	}
	megabytes := machine.Totalram * uint64(machine.Unit) >> 20
	if policy, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || strings.TrimSpace(string(policy)) == "2" || megabytes > 64<<10 {
		t.Skip("this machine gives nobody more memory than he uses, or the tables of so many buffers are too large for a test")
	}
	source.Exec(t, "postgres", fmt.Sprintf(`ALTER SYSTEM SET shared_buffers = '%dMB'`, megabytes*95/100))
	source.Restart(t)
}

// smallFileSystem is a directory in memory, which nobody else sees: it is mounted where only one process has it.
func smallFileSystem(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", `mount -t tmpfs -o size=1m,mode=0777 none "$1"; echo $$; read wait`, "sh", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("cannot have a file system of its own: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it ends without a line
	})
	pid, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	return filepath.Join("/proc", strings.TrimSpace(pid), "root", dir)
}
