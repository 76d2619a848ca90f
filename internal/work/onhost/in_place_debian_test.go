package onhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// debianTests is the variable that allows a test to make clusters of the machine's own, in
// /etc/postgresql and /var/lib/postgresql: of a container, or of a mount namespace.
const debianTests = "PGLEAP_TEST_DEBIAN"

// TestInPlaceOnDebian upgrades a cluster that postgresql-common manages: first in vain, which leaves it
// as it was, then for good. The target is what the boot starts then, and the source is not.
func TestInPlaceOnDebian(t *testing.T) {
	if os.Getenv(debianTests) == "" {
		t.Skip("it makes clusters of the machine's own: set " + debianTests + "=1 where that does no harm")
	}
	versions := pgtest.Versions(t)
	from, to := versions[0], versions[len(versions)-1]
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	name, port := fmt.Sprintf("pgleap%d", os.Getpid()), pgtest.FreePort(t)
	debian := func(program string, args ...string) {
		t.Helper()
		if _, err := runner.Run(t.Context(), run.Command{Path: filepath.Join("/usr/bin", program), Args: args}); err != nil {
			t.Fatal(err)
		}
	}
	debian("pg_createcluster", strconv.Itoa(from), name, "--port", strconv.Itoa(port), "--start", "--", "--auth-host=trust")
	t.Cleanup(func() {
		for _, major := range []int{from, to} {
			for _, name := range []string{name + "s", name} {
				args := []string{"--stop", strconv.Itoa(major), name}
				_, _ = runner.Run(context.Background(), run.Command{Path: "/usr/bin/pg_dropcluster", Args: args})
			}
		}
	})
	host := postmaster.New("h1", runner, nil, log)
	b := &upgradeBed{T: t, worker: New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)}
	var err error
	b.plan = upgrade.Plan{Number: 7, ID: "u", Instance: "shop", Mode: upgrade.InPlace, Options: upgrade.Options{Statistics: upgrade.StatisticsAfter, Transfer: upgrade.TransferCopy}.WithDefaults()}
	b.plan.Source, err = host.Inspect(t.Context(), step.InspectArgs{Port: port})
	b.must(err)
	b.plan.Target, err = host.ChooseTarget(t.Context(), step.ChooseTargetArgs{Source: b.plan.Source, Major: upgrade.Major(to)})
	b.must(err)
	b.plan.Target.Port = port
	for _, c := range []upgrade.Cluster{b.plan.Source, b.plan.Target} {
		if c.Manager != upgrade.ManagerPgCtlcluster || c.Name != name {
			t.Fatalf("it is not postgresql-common's: %+v", c)
		}
	}
	boots := func(c upgrade.Cluster, want string) {
		t.Helper()
		said := ""
		for line := range strings.Lines(read(startConf(c))) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				said = line
			}
		}
		if said != want {
			t.Errorf("start.conf of %s says %q, want %q", c, said, want)
		}
	}

	b.exec(b.session(b.plan.Source, "postgres"), `CREATE VIEW health AS SELECT checkpoints_timed FROM pg_stat_bgwriter`)
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); result.Switchover.Switched {
		t.Fatal("upgraded, though the target cannot take a view")
	}
	b.step("DiscardInPlace", b.worker.DiscardInPlace)
	boots(b.plan.Source, "auto")
	if _, err := os.Stat(b.plan.Target.ConfigFile); err == nil {
		t.Error("the target's configuration is left")
	}
	b.exec(b.session(b.plan.Source, "postgres"), `DROP VIEW health; CREATE TABLE t AS SELECT 1 AS one`)
	standby := b.debianStandby(name+"s", debian)

	environment := filepath.Join(filepath.Dir(b.plan.Source.ConfigFile), "environment")
	b.must(os.WriteFile(environment, []byte("PGLEAP_TEST = 'carried'\n"), 0o644))
	b.plan.Number++
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	b.looksDebian(debian)
	finished, err := b.worker.FinishInPlace(t.Context(), b.plan)
	b.must(err)
	if c := finished.Cluster; c.Manager != upgrade.ManagerPgCtlcluster || c.Name != name || c.Port != port || c.Version.Major() != upgrade.Major(to) {
		t.Errorf("the instance is %+v", c)
	}
	boots(b.plan.Source, "manual")
	boots(b.plan.Target, "auto")
	b.debianSuccessor(standby)
	_, err = b.worker.RetireCluster(t.Context(), b.plan.Source)
	b.must(err)
	boots(standby, "manual")
	b.must(host.Stop(t.Context(), b.plan.Target, pgbin.StopFast, time.Minute))
	debian("pg_ctlcluster", strconv.Itoa(to), name, "start")
	if got := b.ask(b.plan.Target, "postgres", `SELECT one::text FROM t`); len(got) != 1 {
		t.Errorf("the target holds %v", got)
	}
	b.debianWayBackByHand(debian)
}

// debianWayBackByHand does what docs/in-place.md says of it. What postgresql-common would start with the system is
// asked of pg_ctlcluster itself.
func (b *upgradeBed) debianWayBackByHand(debian func(program string, args ...string)) {
	b.Helper()
	from, to := b.plan.Source, b.plan.Target
	major := func(c upgrade.Cluster) string { return strconv.Itoa(int(c.Version.Major())) }
	debian("pg_ctlcluster", major(to), to.Name, "stop")
	b.must(os.Rename(controlFile(to.Pgdata), controlFile(to.Pgdata)+".old"))
	b.must(os.WriteFile(startConf(to), []byte("manual\n"), 0o644))
	b.must(os.Rename(controlFile(from.Pgdata)+".old", controlFile(from.Pgdata)))
	b.must(os.WriteFile(startConf(from), []byte("auto\n"), 0o644))
	again := run.Command{Path: "/usr/bin/pg_ctlcluster", Args: []string{major(to), to.Name, "start"}}
	if _, err := b.worker.runner.Run(b.Context(), again); err == nil {
		b.Error("the target could be started")
	}
	debian("pg_ctlcluster", major(from), from.Name, "start")
	if got := b.ask(from, "postgres", `SELECT one::text FROM t`); len(got) != 1 {
		b.Errorf("the source holds %v", got)
	}
}

// looksDebian wants the target's files to be as pg_createcluster has made the source's: whoever may, finds its port
// there, reads its log, and adds settings.
func (b *upgradeBed) looksDebian(debian func(program string, args ...string)) {
	b.Helper()
	from, to := b.plan.Source, b.plan.Target
	beside := func(c upgrade.Cluster, name string) string { return filepath.Join(filepath.Dir(c.ConfigFile), name) }
	log := func(c upgrade.Cluster) string {
		return fmt.Sprintf("/var/log/postgresql/postgresql-%d-%s.log", c.Version.Major(), c.Name)
	}
	for made, like := range map[string]string{
		to.ConfigFile: from.ConfigFile, to.HBAFile: from.HBAFile, to.IdentFile: from.IdentFile, log(to): log(from),
		beside(to, "environment"): beside(from, "environment"), beside(to, "pg_ctl.conf"): beside(from, "pg_ctl.conf"), beside(to, "conf.d"): beside(from, "conf.d"),
	} {
		got, err := os.Stat(made)
		b.must(err)
		want, err := os.Stat(like)
		b.must(err)
		gotStat, _ := got.Sys().(*syscall.Stat_t)
		wantStat, _ := want.Sys().(*syscall.Stat_t)
		if got.Mode() != want.Mode() || gotStat.Uid != wantStat.Uid || gotStat.Gid != wantStat.Gid {
			b.Errorf("%s has mode %s, owner %d and group %d; %s has %s, %d and %d",
				made, got.Mode(), gotStat.Uid, gotStat.Gid, like, want.Mode(), wantStat.Uid, wantStat.Gid)
		}
	}
	if text := read(beside(to, "environment")); text != read(beside(from, "environment")) {
		b.Errorf("environment of the target: %s", text)
	}
	nobody, err := run.LookupUser("nobody")
	b.must(err)
	listed, err := b.worker.runner.Run(b.Context(), run.Command{Path: "/usr/bin/pg_lsclusters", Args: []string{"--no-header"}, As: nobody})
	b.must(err)
	major := strconv.Itoa(int(to.Version.Major()))
	if want := []string{major, to.Name, strconv.Itoa(to.Port), "online"}; !hasFields(listed.Stdout, want) {
		b.Errorf("pg_lsclusters, run by anybody, does not list %v:\n%s", want, listed.Stdout)
	}
	b.must(os.WriteFile(filepath.Join(beside(to, "conf.d"), "10-memory.conf"), []byte("work_mem = '9MB'\n"), 0o644))
	debian("pg_ctlcluster", major, to.Name, "reload")
	b.until("what is in conf.d holds", func() bool { return b.ask(to, "postgres", `SHOW work_mem`)[0] == "9MB" })
}

// debianStandby makes a standby of the source that postgresql-common manages, as its user would.
func (b *upgradeBed) debianStandby(name string, debian func(program string, args ...string)) upgrade.Cluster {
	b.Helper()
	major, port := strconv.Itoa(int(b.plan.Source.Version.Major())), pgtest.FreePort(b)
	debian("pg_createcluster", major, name, "--port", strconv.Itoa(port))
	c := b.plan.Source
	c.Name, c.Port, c.Pgdata = name, port, filepath.Join(filepath.Dir(c.Pgdata), name)
	c.ConfigFile = filepath.Join(filepath.Dir(filepath.Dir(c.ConfigFile)), name, "postgresql.conf")
	user, err := owner(b.plan)
	b.must(err)
	b.must(emptyDir(c.Pgdata))
	as := pgbin.Caller{Runner: b.worker.runner, As: user}
	b.must(pgbin.PgBasebackup{
		Bindir: c.Bindir, From: upgrade.Address{Host: "127.0.0.1", Port: b.plan.Source.Port}, User: "postgres", Pgdata: c.Pgdata, FastCheckpoint: true,
	}.Run(b.Context(), as, nil))
	b.must(writeOwned(filepath.Join(c.Pgdata, "standby.signal"), nil, user, 0o600))
	conninfo := fmt.Sprintf("\nprimary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=s1'\n", b.plan.Source.Port)
	b.must(writeOwned(c.ConfigFile, []byte(read(c.ConfigFile)+conninfo), user, 0o644))
	debian("pg_ctlcluster", major, name, "start")
	b.until("the standby streams", func() bool { return len(b.replicas(b.plan.Source)) == 1 })
	return c
}

// debianSuccessor wants the standby to have a successor of the same name, which postgresql-common knows, starts
// with the system, and stops and starts.
func (b *upgradeBed) debianSuccessor(old upgrade.Cluster) {
	b.Helper()
	for _, event := range b.buildStandbys(step.StandbysArgs{Serving: true}).Events {
		if event.Level != upgrade.LevelInfo {
			b.Errorf("%s: %s", event.Level, event.Text)
		}
	}
	records := b.records().All
	if len(records) != 1 {
		b.Fatalf("standbys: %+v", records)
	}
	made := records[0].Successor
	if made.Manager != upgrade.ManagerPgCtlcluster || made.Name != old.Name {
		b.Errorf("the successor is %+v", made)
	}
	major := strconv.Itoa(int(made.Version.Major()))
	listed, err := b.worker.runner.Run(b.Context(), run.Command{Path: "/usr/bin/pg_lsclusters", Args: []string{"--no-header"}})
	b.must(err)
	want := []string{major, made.Name, strconv.Itoa(made.Port), "online,recovery", made.Owner, made.Pgdata}
	if !hasFields(listed.Stdout, want) {
		b.Errorf("pg_lsclusters does not list %v:\n%s", want, listed.Stdout)
	}
	if start := read(startConf(made)); !strings.Contains(start, "\nauto\n") {
		b.Errorf("start.conf of the successor: %s", start)
	}
	for _, action := range []string{"stop", "start"} {
		_, err := b.worker.runner.Run(b.Context(), run.Command{Path: "/usr/bin/pg_ctlcluster", Args: []string{major, made.Name, action}})
		b.must(err)
	}
	b.until("the successor streams again", func() bool { return len(b.replicas(b.plan.Target)) == 1 })
}

// hasFields tells whether a line begins with these words.
func hasFields(text string, want []string) bool {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= len(want) && slices.Equal(fields[:len(want)], want) {
			return true
		}
	}
	return false
}
