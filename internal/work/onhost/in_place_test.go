package onhost

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newInPlaceBed is a source, and the plan of its upgrade in place: the target takes over its port.
func newInPlaceBed(t *testing.T, transfer upgrade.Transfer, settings ...map[string]string) *upgradeBed {
	t.Helper()
	b := newUpgradeBed(t, settings...)
	b.plan.Mode, b.plan.Target.Port = upgrade.InPlace, b.plan.Source.Port
	b.plan.Options.Transfer = transfer
	b.source.Exec(b, "shop",
		`INSERT INTO ledger (account, delta, note, tags) SELECT 1 + g % 50, g % 7, jsonb_build_object('g', g), 'a=>1' FROM generate_series(1, 2000) g`,
		`INSERT INTO measured (day, value) SELECT '2024-01-01'::date + g % 600, g FROM generate_series(1, 2000) g`,
		`SELECT lo_from_bytea(0, '\x706c65617365')`)
	return b
}

// upgrade carries out the outage, twice: the second call finds it done.
func (b *upgradeBed) upgradeInPlace() step.InPlaceResult {
	b.Helper()
	result := b.outage()
	again := b.outage()
	if diff := cmp.Diff(result.Switchover, again.Switchover); diff != "" {
		b.Errorf("the second call tells otherwise (-first +second):\n%s", diff)
	}
	return result
}

func (b *upgradeBed) outage() step.InPlaceResult {
	b.Helper()
	result, err := b.worker.UpgradeInPlace(b.Context(), step.InPlaceArgs{Plan: b.plan})
	b.must(err)
	for _, s := range result.Switchover.Steps {
		b.Logf("  %s: %s", s.Step, s.Duration)
	}
	return result
}

// content is all that an instance holds, by database.
func (b *upgradeBed) content(cluster upgrade.Cluster) map[string][]string {
	b.Helper()
	content := map[string][]string{}
	for _, database := range b.databases {
		content[database] = append(b.tableDigests(cluster, database),
			b.ask(cluster, database, `SELECT 'sequence ' || schemaname || '.' || sequencename || ' ' || coalesce(last_value, -1) FROM pg_sequences ORDER BY 1`)...)
		content[database] = append(content[database],
			b.ask(cluster, database, `SELECT 'large object ' || oid || ' ' || encode(lo_get(oid), 'hex') FROM pg_largeobject_metadata ORDER BY 1`)...)
	}
	return content
}

func TestInPlace(t *testing.T) {
	for _, transfer := range []upgrade.Transfer{upgrade.TransferLink, upgrade.TransferCopy} {
		t.Run(string(transfer), func(t *testing.T) {
			b := newInPlaceBed(t, transfer, map[string]string{"work_mem": "7MB", "cluster_name": "prod"})
			before := b.content(b.plan.Source)
			b.step("PrepareInPlace", b.worker.PrepareInPlace)
			if pid := b.source.Pid(); pid == 0 {
				t.Fatal("the source does not run any more")
			}
			result := b.upgradeInPlace()
			if !result.Switchover.Switched {
				t.Fatalf("not upgraded: %s", result.Switchover.Reason)
			}
			target := b.plan.Target
			if diff := cmp.Diff(before, b.content(target)); diff != "" {
				t.Errorf("content (-source +target):\n%s", diff)
			}
			finished := twice(b, "FinishInPlace", func(ctx context.Context) (step.FinishResult, error) { return b.worker.FinishInPlace(ctx, b.plan) })
			if got := finished.Cluster; got.Version != target.Version || got.Port != b.plan.Source.Port || got.SocketDir != b.plan.Source.SocketDir {
				t.Errorf("the instance is %+v", got)
			}
			b.step("UpdateInPlace", b.worker.UpdateInPlace)
			b.step("AnalyzeInPlace", b.worker.AnalyzeInPlace)
			b.targetInPlace()
			if _, err := b.worker.DiscardInPlace(t.Context(), b.plan); err == nil || !strings.Contains(err.Error(), "has happened") {
				t.Errorf("discard an upgrade that has happened: %v", err)
			}
			b.sourceCannotStart()
		})
	}
}

// targetInPlace looks at what the target must have beside the rows.
func (b *upgradeBed) targetInPlace() {
	b.Helper()
	for _, c := range []struct{ name, query, want string }{
		{"a setting of the source's", `SHOW work_mem`, "7MB"},
		{"another one", `SHOW cluster_name`, "prod"},
		{"the extension is updated", `SELECT (extversion <> '1.4')::text FROM pg_extension WHERE extname = 'hstore'`, "true"},
		{"a partitioned table has statistics", `SELECT (count(*) > 0)::text FROM pg_stats WHERE tablename = 'measured'`, "true"},
		{"tables lie in the tablespace", `SELECT count(*)::text FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE spcname = 'aside' AND relkind = 'r'`, "2"},
		{"nothing of pgleap's", `SELECT count(*)::text FROM pg_roles WHERE rolname = 'pgleap'`, "0"},
	} {
		if got := b.ask(b.plan.Target, "shop", c.query)[0]; got != c.want {
			b.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if hba := read(b.plan.Target.HBAFile); hba != read(b.plan.Source.HBAFile) {
		b.Errorf("the target's pg_hba.conf is not the source's:\n%s", hba)
	}
	if left := list(b.T, filepath.Dir(b.plan.Target.Pgdata)); slices.Contains(left, filepath.Base(b.plan.Workdir())) {
		b.Errorf("the upgrade's directory is left: %v", left)
	}
}

// sourceCannotStart: nobody starts it by mistake, at boot for example.
func (b *upgradeBed) sourceCannotStart() {
	b.Helper()
	if _, err := os.Stat(controlFile(b.plan.Source.Pgdata)); !os.IsNotExist(err) {
		b.Errorf("the source can be started: %v", err)
	}
}

// putBack looks whether the source serves as if nothing had happened.
func (b *upgradeBed) putBack(result step.InPlaceResult, reason string, before map[string]string, state map[string][]string, content map[string][]string) {
	b.Helper()
	if result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, reason) {
		b.Errorf("outcome: %+v, want %q", result.Switchover, reason)
	}
	if diff := cmp.Diff(content, b.content(b.plan.Source)); diff != "" {
		b.Errorf("content (-before +after):\n%s", diff)
	}
	b.unchangedInPlace(state)
	b.source.Exec(b, "shop", `INSERT INTO keyless VALUES (1, 'it writes')`, `DELETE FROM keyless`, `VACUUM`)
	_ = before
	b.step("DiscardInPlace", b.worker.DiscardInPlace)
	b.unchanged(state)
}

// unchangedInPlace is unchanged, but for what DiscardInPlace will remove.
func (b *upgradeBed) unchangedInPlace(before map[string][]string) {
	b.Helper()
	before, beside := map[string][]string{}, before
	for name, lines := range beside {
		if name != "beside" {
			before[name] = lines
		}
	}
	b.unchanged(before)
}

func TestInPlaceGoesBack(t *testing.T) {
	pgtest.Slow(t)
}
