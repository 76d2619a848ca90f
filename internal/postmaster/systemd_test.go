package postmaster

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// systemctlScript stands in for systemctl: it notes what it is asked to do, and tells of a unit what lies in
// files beside it. It starts and stops nothing.
const systemctlScript = `#!/bin/sh
dir=$(dirname "$0")
for unit; do :; done
case "$*" in
*" cat "*) cat "$dir/units/$unit"; cat "$dir/units/$unit.d/"* 2>/dev/null; exit 0 ;;
*" is-enabled "*)
	[ -e "$dir/$unit.state" ] || { echo "Failed to get unit file state for $unit: No such file or directory" >&2; exit 1; }
	cat "$dir/$unit.state"
	[ "$(cat "$dir/$unit.state")" = enabled ]
	exit ;;
*=ActiveState,MainPID*) cat "$dir/$unit.active"; exit ;;
*=LoadState,ExecStart*)
	echo "LoadState=loaded"
	cat "$dir/units/$unit" "$dir/units/$unit.d/"* 2>/dev/null | sed -n 's/^ExecStart=\(.[^ ]*\).*/ExecStart={ path=\1 ; }/p' | tail -n 1
	exit ;;
*=RuntimeDirectory*) sed -n 's/^RuntimeDirectory=//p' "$dir/units/$unit"; exit ;;
*" show "*) echo "ActiveState=inactive"; echo "UnitFileState=$(cat "$dir/$unit.state" 2>/dev/null)"; exit ;;
esac
shift # --no-ask-password
echo "$*" >> "$dir/asked"
case "$*" in
*"enable "*) echo enabled > "$dir/$unit.state" ;;
*"disable "*) echo disabled > "$dir/$unit.state" ;;
esac
`

// unitHost is a host whose units lie in a directory of the test's.
type unitHost struct {
	*Host
	t   *testing.T
	dir string
}

func onSystemd(t *testing.T, source upgrade.Cluster) *unitHost {
	t.Helper()
	h := &unitHost{Host: newHost(t), t: t, dir: t.TempDir()}
	h.systemd = systemd{systemctl: filepath.Join(h.dir, "systemctl"), units: filepath.Join(h.dir, "units"), runtime: filepath.Join(h.dir, "runtime"), proc: filepath.Join(h.dir, "proc")}
	for path, content := range map[string]string{
		h.systemd.systemctl:                        systemctlScript,
		h.systemd.unitPath(source.Unit):            redHat + "\n",
		filepath.Join(h.dir, source.Unit+".state"): "enabled\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	return h
}

func (h *unitHost) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// wasAsked wants systemctl to have been asked to do this, and nothing else, since the last time.
func (h *unitHost) wasAsked(want ...string) {
	h.t.Helper()
	path := filepath.Join(h.dir, "asked")
	content, _ := os.ReadFile(path) // none: it was asked nothing
	_ = os.Remove(path)
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.TrimSpace(string(content))); diff != "" {
		h.t.Errorf("systemctl was asked (-want +got):\n%s", diff)
	}
}

// A target with a unit of its own is made known once, started with the system as its source was, and leaves
// nothing when it is given up.
func TestOwnUnit(t *testing.T) {
	target, source := unitsUnderTest()
	target.Bindir = pgtest.Bindir(t, 17)
	h := onSystemd(t, source)
	for range 2 {
		h.must(h.Register(t.Context(), target, source))
		h.wasAsked("daemon-reload")
	}
	for range 2 {
		h.must(h.SetBoot(t.Context(), source, false))
		h.must(h.SetBoot(t.Context(), target, true))
	}
	h.wasAsked("disable postgresql-15.service", "enable postgresql-17.service")
	h.must(h.Withdraw(t.Context(), target, source, time.Minute))
	h.wasAsked("stop postgresql-17.service", "reset-failed postgresql-17.service")
	for range 2 {
		h.must(h.Unregister(t.Context(), target))
	}
	h.wasAsked("--no-reload disable postgresql-17.service", "daemon-reload", "reset-failed postgresql-17.service")
	h.must(h.Withdraw(t.Context(), target, source, time.Minute))
	h.wasAsked()
	if left, _ := filepath.Glob(filepath.Join(h.systemd.units, "*")); len(left) != 1 {
		t.Errorf("units: %v", left)
	}
}

// A target that takes over its source's unit adds to it, and gives it back.
func TestSharedUnit(t *testing.T) {
	target, source := unitsUnderTest()
	source.Unit = "orders.service"
	target.Unit, target.Bindir = source.Unit, pgtest.Bindir(t, 17)
	h := onSystemd(t, source)
	conditional := redHat + "\n[Unit]\nConditionPathExists=/data/15/main/PG_VERSION\n"
	h.must(os.WriteFile(h.systemd.unitPath(source.Unit), []byte(conditional), 0o644))
	h.must(h.CheckRegister(t.Context(), target, source))
	h.wasAsked()
	added := filepath.Join(h.systemd.units, "orders.service.d", "zz-pgleap-17.conf")
	for range 2 { // the second time the unit has all that was added
		h.must(h.Register(t.Context(), target, source))
		h.wasAsked("daemon-reload") // then, too: whoever wrote the file may have died before
		content, err := os.ReadFile(added)
		h.must(err)
		for _, want := range []string{"ConditionPathExists=\nConditionPathExists=/data/17/main/PG_VERSION\n", "ExecStart=" + target.Bindir + "/postgres -D /data/17/main\n"} {
			if !strings.Contains(string(content), want) {
				t.Errorf("%s does not say %s", content, want)
			}
		}
	}
	h.must(os.WriteFile(filepath.Join(h.dir, "orders.service.state"), []byte("enabled\n"), 0o644))
	h.must(h.SetBoot(t.Context(), source, false)) // the unit is the target's
	h.wasAsked()
	h.must(h.SetBoot(t.Context(), target, false))
	h.wasAsked("disable orders.service")
	for range 2 { // as often as it is settled: systemd may have the file in mind that is gone
		h.must(h.Withdraw(t.Context(), target, source, time.Minute))
		h.wasAsked("stop orders.service", "reset-failed orders.service", "daemon-reload")
	}
	if exists(filepath.Dir(added)) || !exists(h.systemd.unitPath(source.Unit)) {
		t.Error("the unit is not as it was")
	}
}

// A unit that is stopped for good leaves its runtime directory, which its successor's has, too. One that has none stays
// as it is.
func TestKeepRuntime(t *testing.T) {
	_, source := unitsUnderTest()
	h := onSystemd(t, source)
	h.must(h.KeepRuntime(t.Context(), source))
	h.wasAsked("daemon-reload")
	added := filepath.Join(h.systemd.runtime, "postgresql-15.service.d", "zz-pgleap-keep.conf")
	if content, err := os.ReadFile(added); err != nil || string(content) != "[Service]\nRuntimeDirectoryPreserve=yes\n" {
		t.Errorf("%s says %q, %v", added, content, err)
	}
	source.Unit = "other.service"
	h.must(os.WriteFile(h.systemd.unitPath(source.Unit), []byte("[Service]\n"), 0o644))
	h.must(h.KeepRuntime(t.Context(), source))
	h.wasAsked()
}

// A unit that something else is said for, by files for a whole family of units, is refused before it is relied on.
func TestUnitIsOverruled(t *testing.T) {
	target, source := unitsUnderTest()
	target.Bindir = pgtest.Bindir(t, 17)
	h := onSystemd(t, source)
	family := filepath.Join(h.systemd.unitPath(target.Unit)+".d", "family.conf")
	h.must(os.MkdirAll(filepath.Dir(family), 0o755))                                                             //nolint:gosec // as systemd has it
	h.must(os.WriteFile(family, []byte("[Service]\nExecStart=\nExecStart=/usr/pgsql-15/bin/postgres\n"), 0o644)) //nolint:gosec // as systemd has it
	wantRefusal(t, h.Register(t.Context(), target, source), "does not start PostgreSQL 17", "systemctl cat postgresql-17.service")
}

// A cluster whose unit is gone is not started with the system.
func TestBootsWithoutUnit(t *testing.T) {
	_, source := unitsUnderTest()
	h := onSystemd(t, source)
	if boots, err := h.Boots(t.Context(), source); err != nil || !boots {
		t.Errorf("it is %t, %v", boots, err)
	}
	h.must(os.Remove(filepath.Join(h.dir, source.Unit+".state")))
	if boots, err := h.Boots(t.Context(), source); err != nil || boots {
		t.Errorf("without a unit it is %t, %v", boots, err)
	}
	h.must(os.WriteFile(h.systemd.systemctl, []byte("#!/bin/sh\necho Failed to connect to bus >&2; exit 1\n"), 0o755)) //nolint:gosec // a program
	if _, err := h.Boots(t.Context(), source); err == nil {
		t.Error("a systemctl that fails is taken for an answer")
	}
}

// A server may have no lock file yet when systemd says that its unit is started.
func TestIsStarting(t *testing.T) {
	_, source := unitsUnderTest()
	h := onSystemd(t, source)
	for said, want := range map[string]bool{
		"MainPID=4711\nActiveState=active\n":  true,
		"MainPID=0\nActiveState=activating\n": true, // or about to be tried again
		"MainPID=0\nActiveState=active\n":     false,
		"MainPID=0\nActiveState=failed\n":     false,
		"MainPID=0\nActiveState=inactive\n":   false,
	} {
		h.must(os.WriteFile(filepath.Join(h.dir, source.Unit+".active"), []byte(said), 0o600))
		if got := h.isStarting(t.Context(), source); got != want {
			t.Errorf("%q: %t", said, got)
		}
	}
	source.Manager = upgrade.ManagerPgCtl
	if h.isStarting(t.Context(), source) {
		t.Error("pg_ctl has waited for it")
	}
}

// Where systemd runs, it is told of what start.conf says.
func TestHeedStartConf(t *testing.T) {
	_, source := unitsUnderTest()
	h := onSystemd(t, source)
	c := upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, Version: 170006, Name: "main"}
	h.HeedStartConf(t.Context(), c)
	h.wasAsked()
	h.must(os.Mkdir(h.systemd.runtime, 0o755)) //nolint:gosec // as systemd has it
	h.HeedStartConf(t.Context(), source)
	h.wasAsked()
	h.HeedStartConf(t.Context(), c)
	h.wasAsked("daemon-reload")
}

// A cluster that somebody has started with pg_ctl is stopped by it: the unit runs another one by now.
func TestStopOutsideOfUnit(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	source := inspect(t, newHost(t), cluster)
	source.Manager, source.Unit = upgrade.ManagerSystemd, "orders.service"
	h := onSystemd(t, source)
	h.must(h.Stop(t.Context(), source, pgbin.StopFast, time.Minute))
	h.wasAsked()
	if pid, running := h.Running(source); running {
		t.Errorf("it runs as %d", pid)
	}
}

// A unit that has come to start its cluster's successor is not stopped for the former one, wherever somebody has started
// that.
func TestStopWhenUnitHasPassedOn(t *testing.T) {
	former, successor := pgtest.Start(t, 15), pgtest.Start(t, 17)
	source, target := inspect(t, newHost(t), former), inspect(t, newHost(t), successor)
	for _, c := range []*upgrade.Cluster{&source, &target} {
		c.Manager, c.Unit = upgrade.ManagerSystemd, "orders.service"
	}
	h := onSystemd(t, source)
	for _, pid := range []int{former.Pid(), successor.Pid()} {
		dir := filepath.Join(h.systemd.proc, strconv.Itoa(pid))
		h.must(os.MkdirAll(dir, 0o755))                                                                        //nolint:gosec // as /proc is
		h.must(os.WriteFile(filepath.Join(dir, "cgroup"), []byte("0::/system.slice/orders.service\n"), 0o644)) //nolint:gosec // as /proc is
	}
	h.must(h.Register(t.Context(), target, source))
	h.wasAsked("daemon-reload")
	h.must(h.KeepRuntime(t.Context(), source))
	h.must(h.Stop(t.Context(), source, pgbin.StopFast, time.Minute))
	h.wasAsked()
	if pid, running := h.Running(source); running {
		t.Errorf("the former cluster runs as %d", pid)
	}
	if _, running := h.Running(target); !running {
		t.Error("its successor is stopped")
	}
	if err := h.Stop(t.Context(), target, pgbin.StopFast, time.Minute); err == nil { // which systemctl would do
		t.Error("the successor is stopped by somebody else than its unit")
	}
	h.wasAsked("stop orders.service")
}

// What keeps a target from taking over its source's unit is found before anything is changed.
func TestCheckRegister(t *testing.T) {
	target, source := unitsUnderTest()
	target.Unit, target.Bindir = source.Unit, pgtest.Bindir(t, 17)
	h := onSystemd(t, source)
	script := target
	script.Bindir = t.TempDir()
	h.must(os.WriteFile(filepath.Join(script.Bindir, "postgres"), []byte("#!/bin/sh\n"), 0o755)) //nolint:gosec // a program
	if err := h.CheckRegister(t.Context(), script, source); err == nil {
		t.Error("a script in the server's place is not refused")
	}
	leftover := h.systemd.dropInPath(target.Unit, 17)
	h.must(os.MkdirAll(filepath.Dir(leftover), 0o755))                                                 //nolint:gosec // as systemd has it
	h.must(os.WriteFile(leftover, []byte(registeredByUs+"# Data directory: /data/17/other\n"), 0o644)) //nolint:gosec // as systemd has it
	wantRefusal(t, h.CheckRegister(t.Context(), target, source), "is there already", "remove it")
	h.wasAsked()
}

// What somebody else has made is neither changed nor removed.
func TestUnitsOfOthersStay(t *testing.T) {
	target, source := unitsUnderTest()
	target.Bindir = pgtest.Bindir(t, 17)
	h := onSystemd(t, source)
	for _, content := range []string{"[Service]\n", registeredByUs + "# Data directory: /data/17/other\n"} {
		h.must(os.WriteFile(h.systemd.unitPath(target.Unit), []byte(content), 0o644))
		wantRefusal(t, h.Register(t.Context(), target, source), "is there already", "remove it")
		h.must(h.Unregister(t.Context(), target))
		if now, err := os.ReadFile(h.systemd.unitPath(target.Unit)); err != nil || string(now) != content {
			t.Errorf("it is %q, %v", now, err)
		}
	}
	linked := source
	linked.Unit = "linked.service"
	h.must(os.Symlink("/elsewhere/linked.service", h.systemd.unitPath(linked.Unit)))
	h.must(os.WriteFile(filepath.Join(h.dir, "linked.service.state"), []byte("enabled\n"), 0o644))
	h.must(h.SetBoot(t.Context(), linked, false))
	h.wasAsked()
}

func TestChooseUnit(t *testing.T) {
	source := sourceIn(t, "")
	dir := scratch(t, source.Owner)
	source.Pgdata, source.Manager, source.Unit = mkdir(t, filepath.Join(dir, "15", "main"), source.Owner), upgrade.ManagerSystemd, "postgresql-15.service"
	h := onSystemd(t, source)
	choose := func(unit string, inPlace bool) string {
		t.Helper()
		source.Unit = unit
		got, err := h.ChooseTarget(t.Context(), step.ChooseTargetArgs{Source: source, Major: 17, InPlace: inPlace})
		h.must(err)
		return string(got.Manager) + " " + got.Unit
	}
	for _, c := range []struct {
		name, unit string
		inPlace    bool
		prepare    func()
		want       string
	}{
		{"the version is in its name", "postgresql-15.service", true, func() {}, "systemd postgresql-17.service"},
		{"it is not", "orders.service", true, func() {}, "systemd orders.service"},
		{"it is not, and the source stays", "orders.service", false, func() {}, "systemd orders-17.service"},
		{"the package's unit is in use", "postgresql-15.service", false, func() {
			h.must(os.WriteFile(filepath.Join(h.dir, "postgresql-17.service.state"), []byte("enabled\n"), 0o644))
		}, "systemd postgresql-17_pgleap.service"},
		{"we may make none", "postgresql-15.service", false, func() { h.systemd.units = filepath.Join(h.dir, "nowhere") }, "pg_ctl "},
	} {
		c.prepare()
		if got := choose(c.unit, c.inPlace); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
