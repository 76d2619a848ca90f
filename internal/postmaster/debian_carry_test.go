package postmaster

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A target gets its source's environment, pg_ctl's options, and its log's readers; what somebody has written since stays.
func TestCarryDebian(t *testing.T) {
	source := sourceIn(t, "/data/15/main")
	h := onDebian(t, source.Owner)
	source.Manager, source.Name = upgrade.ManagerPgCtlcluster, "main"
	target := source
	target.Version = 170011
	from := mkdir(t, h.debian.confDir(15, "main"), source.Owner)
	source.Version, source.Bindir = 150018, "/usr/lib/postgresql/15/bin"
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		owner, err := user.Lookup(source.Owner)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(owner.Uid)
		if err := os.Chown(path, uid, -1); err != nil && os.Geteuid() == 0 {
			t.Fatal(err)
		}
	}
	write(filepath.Join(from, "environment"), "TZ = 'UTC'\nLD_LIBRARY_PATH = '/usr/lib/postgresql/15/lib:/opt/x'\nLD_PRELOAD = '/usr/lib/postgresql/150/j.so'\n", 0o600)
	write(filepath.Join(from, "pg_ctl.conf"), "# ours\npg_ctl_options = '-t 600 -o -cwork_mem=1MB -c'\n", 0o644)
	log := h.debian.logfile(15, "main")
	write(log, "", 0o640)
	adm, err := user.LookupGroup("adm")
	if err != nil {
		t.Skip("there is no group adm")
	}
	gid, _ := strconv.Atoi(adm.Gid)
	if err := os.Chown(log, -1, gid); err != nil {
		t.Skipf("who tests cannot give a file to the group adm: %v", err)
	}
	if err := h.RegisterDebian(target); err != nil {
		t.Fatal(err)
	}
	var told []string
	for range 2 {
		if told, err = h.CarryDebian(target, source); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		from + "/environment: not carried over: LD_LIBRARY_PATH, which names a directory of the source; set it for the target if it needs it",
		from + "/pg_ctl.conf: not carried over: option -o of pg_ctl; settings of the server stand in the target's postgresql.conf",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	to := h.debian.confDir(17, "main")
	isFile(t, filepath.Join(to, "environment"), 0o600, "TZ = 'UTC'\n"+
		"# pgleap: it names a directory of the source\n#LD_LIBRARY_PATH = '/usr/lib/postgresql/15/lib:/opt/x'\nLD_PRELOAD = '/usr/lib/postgresql/150/j.so'\n")
	isFile(t, filepath.Join(to, "pg_ctl.conf"), 0o644, "# ours\npg_ctl_options = '-t 600 -c'\n")
	info, err := os.Stat(h.debian.logfile(17, "main"))
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Gid) != gid || info.Mode().Perm() != 0o640 {
		t.Errorf("the target's log has mode %s, group %d, want 0640, %d", info.Mode(), stat.Gid, gid)
	}

	write(filepath.Join(to, "environment"), "MINE = 1\n", 0o644)
	if _, err := h.CarryDebian(target, source); err != nil {
		t.Fatal(err)
	}
	isFile(t, filepath.Join(to, "environment"), 0o644, "MINE = 1\n")
}

func isFile(t *testing.T, path string, mode os.FileMode, want string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s has mode %s, want %s", path, info.Mode(), mode)
	}
}

// What pg_ctlcluster gives to pg_ctl, as far as it is for the target.
func TestPgCtlFor(t *testing.T) {
	for text, want := range map[string]struct {
		options string
		left    int
	}{
		`pg_ctl_options = ''`:                                   {`pg_ctl_options = ''`, 0},
		`pg_ctl_options = '-t 600 -c'`:                          {`pg_ctl_options = '-t 600 -c'`, 0},
		`pg_ctl_options='-o -cwork_mem=1MB --timeout=9'`:        {`pg_ctl_options='--timeout=9'`, 1},
		`pg_ctl_options = '-o-cx=1 --options=-cy=2 -l /log -s'`: {`pg_ctl_options = '-s'`, 3},
		`pg_ctl_options = '-c -o'`:                              {`pg_ctl_options = '-c'`, 1},
		`#pg_ctl_options = '-o -cx=1'`:                          {`#pg_ctl_options = '-o -cx=1'`, 0},
		`other = '-o x'`:                                        {`other = '-o x'`, 0},
		`pg_ctl_options = '-o it''s'`:                           {`pg_ctl_options = ''`, 1},
	} {
		got, left := pgCtlFor(text, upgrade.Cluster{})
		if got != want.options || len(left) != want.left {
			t.Errorf("%s: got %s, left out %s", text, got, strings.Join(left, "; "))
		}
	}
}

// FuzzPgCtlFor: text of anybody's comes out without what is left out, and does so once.
func FuzzPgCtlFor(f *testing.F) {
	for _, seed := range []string{`pg_ctl_options = '-o -cx=1'`, "pg_ctl_options = '-o\n", `pg_ctl_options '' -l`, "a = '\\''\npg_ctl_options='--log=x -D'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, _ := pgCtlFor(text, upgrade.Cluster{})
		if twice, left := pgCtlFor(once, upgrade.Cluster{}); twice != once || len(left) > 0 {
			t.Errorf("%q: %q and then %q, without %q", text, once, twice, left)
		}
	})
}
