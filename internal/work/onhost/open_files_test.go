package onhost

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/precheck"
)

// The source's limit is lowered as a unit's LimitNOFILE would have it. The test's own process stands for the scratch server.
func TestOpenFiles(t *testing.T) {
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	command := []string{"prlimit", "--pid", strconv.Itoa(source.Pid()), "--nofile=777:"}
	if os.Geteuid() == 0 { // who in a container may lack the right to another user's process
		command = append([]string{"setpriv", "--reuid", source.Owner, "--regid", source.Owner, "--clear-groups"}, command...)
	}
	if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Skipf("cannot set the limits of another process: %v\n%s", err, output)
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	writeText(t, filepath.Join(scratch, "postmaster.pid"), fmt.Sprintf("%d\n%s\n", os.Getpid(), scratch))
	limits, err := openFiles("/proc", source.Pgdata, scratch)
	if want := (precheck.OpenFiles{Source: 777, Target: int64(own.Cur)}); err != nil || limits != want {
		t.Errorf("got %+v, %v, want %+v", limits, err, want)
	}
	if _, err := openFiles("/proc", source.Pgdata, t.TempDir()); err == nil {
		t.Error("a server that does not run has limits")
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParseFileLimit(t *testing.T) {
	const head = "Limit                     Soft Limit           Hard Limit           Units     \n"
	for _, c := range []struct {
		text   string
		want   int64
		failed bool
	}{
		{text: head + "Max open files            1024                 524288               files     \n", want: 1024},
		{text: head + "Max open files            unlimited            unlimited            files     \n", want: math.MaxInt64},
		{text: head + "Max open files            \n", failed: true},
		{text: head + "Max open files            many\n", failed: true},
		{text: head + "Max processes             1\n", failed: true},
		{text: "", failed: true},
	} {
		got, err := parseFileLimit(c.text)
		if got != c.want || (err != nil) != c.failed {
			t.Errorf("%q: got %d, %v", strings.TrimPrefix(c.text, head), got, err)
		}
	}
}

func TestPostmasterPID(t *testing.T) {
	for text, want := range map[string]string{"12\n/data\n": "12", " 7 \n": "7", "": "", "-1\n": "", "../../etc\n": "", "0\n": ""} {
		pgdata := t.TempDir()
		writeText(t, filepath.Join(pgdata, "postmaster.pid"), text)
		if got, err := postmasterPID(pgdata); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

// FuzzParseFileLimit: whatever the kernel writes, there is a limit or an error.
func FuzzParseFileLimit(f *testing.F) {
	f.Add("Max open files            1024                 524288               files     \n")
	f.Add("Max open files            unlimited            unlimited            files     \n")
	f.Add("Max open files\n")
	f.Fuzz(func(t *testing.T, text string) {
		if limit, err := parseFileLimit(text); err != nil && limit != 0 {
			t.Errorf("%q: both a limit, %d, and an error", text, limit)
		}
	})
}
