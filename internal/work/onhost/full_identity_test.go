package onhost

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// keylessSchema has tables that replication cannot identify rows of.
const keylessSchema = `
	CREATE TABLE visit (at int, page text);
	CREATE TABLE audit (id int PRIMARY KEY, what text);
	ALTER TABLE audit REPLICA IDENTITY NOTHING;
	CREATE TABLE coded (code int NOT NULL, what text);
	CREATE UNIQUE INDEX coded_code ON coded (code);
	ALTER TABLE coded REPLICA IDENTITY USING INDEX coded_code;
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'coded_code'::regclass;
	INSERT INTO visit VALUES (1, 'a'), (1, 'a'), (2, 'b');
	INSERT INTO audit VALUES (1, 'x'), (2, 'y');
	INSERT INTO coded VALUES (1, 'x'), (2, 'y');`

const identityOf = `
	SELECT format('%s %s %s', c.oid::regclass, c.relreplident,
		(SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident))
	FROM pg_class c WHERE c.oid::regclass::text IN ('visit', 'audit', 'coded', 'keyless') ORDER BY 1`

func (b *upgradeBed) wantIdentities(cluster upgrade.Cluster, want ...string) {
	b.Helper()
	if diff := cmp.Diff(want, b.ask(cluster, "shop", identityOf)); diff != "" {
		b.Errorf("identities in %s (-want +got):\n%s", cluster.Pgdata, diff)
	}
}

func (b *upgradeBed) giveFullIdentity() {
	b.Helper()
	events := twice(b, "giveFullIdentity", func(ctx context.Context) ([]upgrade.Event, error) {
		return b.worker.giveFullIdentity(ctx, b.plan)
	})
	if len(events) != 1 || !strings.Contains(events[0].Text, `3 tables of shop have REPLICA IDENTITY FULL until the upgrade ends: "public"."audit", `) {
		b.Errorf("events: %v", events)
	}
}

func (b *upgradeBed) restoreSourceIdentities() {
	b.Helper()
	twice(b, "restoreSourceIdentities", func(ctx context.Context) (any, error) {
		return nil, b.worker.restoreSourceIdentities(ctx, b.plan, b.worker.host.Login(b.plan.Source, "postgres"))
	})
}

// Whenever the agent dies, the tables have what they had when the upgrade is given up, and FULL when it
// goes on.
func TestFullIdentityAfterCrash(t *testing.T) {
	b := newUpgradeBed(t)
	b.source.Exec(t, "shop", keylessSchema)
	before := b.sourceState()
	b.giveNothingUnasked()
	b.plan.Options.FullIdentity = true

	// Somebody has the second table: the agent dies between the note and the change of it.
	holder := b.session(b.plan.Source, "shop")
	b.exec(holder, `BEGIN; SELECT FROM coded`)
	ctx, die := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := b.worker.giveFullIdentity(ctx, b.plan)
		ended <- err
	}()
	b.until("the first table is changed", func() bool {
		return slices.Contains(b.ask(b.plan.Source, "shop", identityOf), "audit f ")
	})
	b.until("the second is waited for", func() bool {
		return len(b.ask(b.plan.Source, "shop", `SELECT pid::text FROM pg_locks WHERE relation = 'coded'::regclass AND NOT granted`)) > 0
	})
	die()
	if err := <-ended; err == nil {
		t.Error("it did not wait for the table")
	}
	b.wantIdentities(b.plan.Source, "audit f ", "coded i coded_code", "keyless f ", "visit d ")
	b.restoreSourceIdentities()
	b.exec(holder, `COMMIT`)
	b.unchanged(before)

	b.giveFullIdentity()
	b.wantIdentities(b.plan.Source, "audit f ", "coded f ", "keyless f ", "visit f ")
	b.restoreSourceIdentities()
	b.unchanged(before)
}

// giveNothingUnasked: without the option nothing is touched.
func (b *upgradeBed) giveNothingUnasked() {
	b.Helper()
	events, err := b.worker.giveFullIdentity(b.Context(), b.plan)
	b.must(err)
	if len(events) > 0 {
		b.Errorf("events: %v", events)
	}
	b.wantIdentities(b.plan.Source, "audit n ", "coded i coded_code", "keyless f ", "visit d ")
}

// What logical replication does not carry by itself comes over nevertheless: updates of tables without
// a key, and materialized views.
func TestCarriedNevertheless(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	b.plan.Options.FullIdentity = true
	b.source.Exec(t, "shop", keylessSchema, viewSchema)
	b.giveFullIdentity()
	handover := b.toHandover()
	args := step.HandoverArgs{Plan: b.plan, Handover: handover}
	_, err := b.worker.PromoteClone(t.Context(), args)
	b.must(err)
	b.do("InitTarget", b.worker.InitTarget)
	b.do("PgUpgrade", b.worker.PgUpgrade)
	b.do("StartTarget", b.worker.StartTarget)
	_, err = b.worker.Subscribe(t.Context(), args)
	b.must(err)
	b.wantIdentities(b.plan.Target, "audit f ", "coded f ", "keyless f ", "visit f ")

	b.source.Exec(t, "shop",
		`UPDATE visit SET page = 'c' WHERE at = 2`, `DELETE FROM visit WHERE ctid = (SELECT min(ctid) FROM visit WHERE at = 1)`,
		`UPDATE audit SET what = 'z' WHERE id = 1`, `DELETE FROM audit WHERE id = 2`,
		`UPDATE coded SET what = NULL WHERE code = 1`, `DELETE FROM coded WHERE code = 2`)
	b.caughtUp()
	b.sameRows()
	b.refreshViews()

	source, target := b.worker.host.Login(b.plan.Source, "postgres"), b.worker.host.Login(b.plan.Target, "postgres")
	b.must(inEachDatabase(t.Context(), quiet(target), dropOurs(t.Context())))
	b.must(b.worker.dropSlots(t.Context(), source))
	b.must(inEachDatabase(t.Context(), quiet(source), dropOurs(t.Context())))
	twice(b, "finishIdentities", func(ctx context.Context) (any, error) { return nil, b.worker.finishIdentities(ctx, b.plan) })
	b.wantIdentities(b.plan.Source, "audit n ", "coded i coded_code", "keyless f ", "visit d ")
	b.wantIdentities(b.plan.Target, "audit n ", "coded i ", "keyless f ", "visit d ") // pg_upgrade leaves out invalid indexes
	b.source.Exec(t, "shop", `UPDATE visit SET page = 'd'`, `DELETE FROM audit`)
}
