package onhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
			args := []string{"--stop", strconv.Itoa(major), name}
			_, _ = runner.Run(context.Background(), run.Command{Path: "/usr/bin/pg_dropcluster", Args: args})
		}
	})
	host := postmaster.New("h1", runner, nil, log)
	b := &upgradeBed{T: t, worker: New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now)}
	var err error
	b.plan = upgrade.Plan{Number: 7, ID: "u", Instance: "shop", Mode: upgrade.InPlace, Options: upgrade.Options{Statistics: upgrade.StatisticsAfter}.WithDefaults()}
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

	b.plan.Number++
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	finished, err := b.worker.FinishInPlace(t.Context(), b.plan)
	b.must(err)
	if c := finished.Cluster; c.Manager != upgrade.ManagerPgCtlcluster || c.Name != name || c.Port != port || c.Version.Major() != upgrade.Major(to) {
		t.Errorf("the instance is %+v", c)
	}
	boots(b.plan.Source, "manual")
	boots(b.plan.Target, "auto")
	b.must(host.Stop(t.Context(), b.plan.Target, pgbin.StopFast, time.Minute))
	debian("pg_ctlcluster", strconv.Itoa(to), name, "start")
	if got := b.ask(b.plan.Target, "postgres", `SELECT one::text FROM t`); len(got) != 1 {
		t.Errorf("the target holds %v", got)
	}
}
