package onhost

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The clone is copied from a standby that the user names, streams from the source, and holds what the
// source holds. The standby is as it was.
func TestCloneFromStandby(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	standby := b.startStandbyOf("s1", "slot_1")
	hba := read(standby.Pgdata + "/pg_hba.conf")
	before := b.sourceState()
	b.do("PrepareCloning", b.worker.PrepareCloning)

	for name, want := range map[string]string{
		fmt.Sprintf("127.0.0.1:%d", b.source.Port): "no standby of", b.source.Pgdata: "no standby of", "192.0.2.7:5432": "no standby of",
	} {
		b.plan.Options.CloneFrom = name
		_, err := b.worker.BaseBackup(t.Context(), b.plan)
		if upgrade.CauseOf(err) != upgrade.CauseOption || !strings.Contains(err.Error(), want) {
			t.Errorf("copied from %s: %v", name, err)
		}
		if said := b.worker.copyProblem(t.Context(), b.plan); !strings.Contains(said, want) {
			t.Errorf("the precheck says of %s: %q", name, said)
		}
	}
	expectFinding(t, precheckOnHost(t, b.worker, b.plan, nil), "clone-from", upgrade.Blocker, "")
	b.plan.Options.CloneFrom = fmt.Sprintf("localhost:%d", standby.Port)
	if said := b.worker.copyProblem(t.Context(), b.plan); said != "" {
		t.Errorf("the precheck says: %s", said)
	}
	if found := find(precheckOnHost(t, b.worker, b.plan, nil), "clone-from"); found.Total > 0 {
		t.Errorf("the precheck still finds %q", found.Objects)
	}

	files, err := b.worker.files(b.plan)
	b.must(err)
	_, err = b.worker.openStandby(t.Context(), b.plan, files) // and here the agent dies
	b.must(err)
	if !strings.Contains(read(standby.Pgdata+"/pg_hba.conf"), upgrade.Role) {
		t.Error("the standby does not let pgleap in")
	}
	done := b.step("BaseBackup", b.worker.BaseBackup)
	if len(done.Events) > 0 && !strings.Contains(done.Events[0].Text, standby.Pgdata) {
		t.Errorf("it says %q", done.Events[0].Text)
	}
	if got := read(standby.Pgdata + "/pg_hba.conf"); got != hba {
		t.Errorf("the standby's pg_hba.conf is left as\n%s", got)
	}
	b.source.Exec(t, "shop", `INSERT INTO keyless SELECT g, 'after the backup' FROM generate_series(1, 20000) g`)
	b.step("StreamClone", b.worker.StreamClone)
	b.step("DetachClone", b.worker.DetachClone)
	b.step("InitTarget", b.worker.InitTarget)
	b.step("PgUpgrade", b.worker.PgUpgrade)
	b.step("StartUpgraded", b.worker.StartUpgraded)
	b.sameRows()
	b.do("Discard", b.worker.Discard)
	b.unchanged(before)
}

// A standby that is kept behind its source, or replays nothing, is refused at once, by the precheck and by the step.
func TestCloneFromDelayedStandby(t *testing.T) {
	pgtest.Slow(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	standby := b.startStandbyOf("s1", "", "recovery_min_apply_delay = '1h'")
	b.plan.Options.CloneFrom = standby.Pgdata
	b.do("PrepareCloning", b.worker.PrepareCloning)
	refused := func(want string) {
		t.Helper()
		began := time.Now()
		_, err := b.worker.BaseBackup(t.Context(), b.plan)
		if upgrade.CauseOf(err) != upgrade.CauseOption || !strings.Contains(err.Error(), want) || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if said := b.worker.copyProblem(t.Context(), b.plan); !strings.Contains(said, want) {
			t.Errorf("the precheck says %q", said)
		}
	}
	refused("recovery_min_apply_delay is 1h0m0s")
	for _, statement := range []string{`ALTER SYSTEM SET recovery_min_apply_delay = '1s'`, `SELECT pg_reload_conf()`, `SELECT pg_wal_replay_pause()`} {
		b.exec(b.session(standby, "postgres"), statement)
	}
	b.until("the standby is as it was told", func() bool {
		return b.ask(standby, "postgres", `SELECT concat(current_setting('recovery_min_apply_delay'), pg_is_wal_replay_paused())`)[0] == "1st"
	})
	refused("pg_wal_replay_pause")
	b.exec(b.session(standby, "postgres"), `SELECT pg_wal_replay_resume()`)
	b.step("BaseBackup", b.worker.BaseBackup)
	b.do("Discard", b.worker.Discard)
}

// An upgrade that is given up while a standby lets pgleap in takes that back.
func TestCloneFromGivenUp(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	standby := b.startStandbyOf("s1", "")
	hba := read(standby.Pgdata + "/pg_hba.conf")
	b.plan.Options.CloneFrom = standby.Pgdata
	b.do("PrepareCloning", b.worker.PrepareCloning)
	files, err := b.worker.files(b.plan)
	b.must(err)
	_, err = b.worker.openStandby(t.Context(), b.plan, files)
	b.must(err)
	b.step("Discard", b.worker.Discard)
	if got := read(standby.Pgdata + "/pg_hba.conf"); got != hba {
		t.Errorf("the standby's pg_hba.conf is left as\n%s", got)
	}
	if got := b.replicas(b.plan.Source); !slices.Equal(got, []string{"s1 streaming async"}) {
		t.Errorf("what streams from the source: %v", got)
	}
}

func TestIsNamed(t *testing.T) {
	c := upgrade.Cluster{Pgdata: "/data/s1", Port: 5433}
	for name, want := range map[string]bool{
		"/data/s1": true, "/data/s1/": true, "/data/s2": false, "here:5433": true, "here:5432": false, "there:5433": false, "here": false,
	} {
		if got := isNamed(c, name, func(host string) bool { return host == "here" }); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
