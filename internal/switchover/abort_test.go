package switchover

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// TestAbortLeavesNoTrace: clients write all the time, and a switchover fails at each of its steps: it is
// interrupted, or its sessions on the source or on the target are ended. Afterwards the catalogs, settings
// and roles of both sides and everything about the endpoint are what they were, and no client has
// seen an error.
func TestAbortLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := lay(t, "CREATE UNLOGGED TABLE cache (id int)")
	b.prepareWayBack(t)
	w := b.write(t)
	w.awaitMore(t, 50)
	before := b.everything(t)
	ways := []string{"an interrupt"}
	if pgtest.IsSlow() {
		ways = append(ways, "the end of its sessions on the source", "the end of its sessions on the target")
	}
	for _, step := range []string{"pause", "fence", "drain", "sequences", "proof", "snapshots"} {
		for _, way := range ways {
			t.Run(step+", "+way, func(t *testing.T) {
				b.abort(t, step, way)
				b.settled(t, before)
				b.source.Exec(t, "app", "BEGIN", "LOCK TABLE cache IN ROW EXCLUSIVE MODE NOWAIT", "ROLLBACK")
				w.awaitMore(t, 20)
			})
		}
	}
	t.Run("commit, a full disk", func(t *testing.T) {
		b.abortCommit(t)
		b.settled(t, before)
		w.awaitMore(t, 20)
	})
	w.stop(t)
	b.synchronize(t)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.source, database), database)
		w.wantOnce(t, b.ours(t, b.target, database), database)
	}
}

// prepareWayBack makes what an upgrade has made long before its first switchover.
func (b *bed) prepareWayBack(t *testing.T) {
	t.Helper()
	for _, database := range append(slices.Clone(databases), "postgres") {
		source, target := b.ours(t, b.source, database), b.ours(t, b.target, database)
		must(t, "prepare the way back", PrepareWayBack(t.Context(), b.setup(t).Plan, b.login(b.target), source, target))
		source.Close(t.Context())
		target.Close(t.Context())
	}
}

// abort begins a switchover and lets it fail at a step.
func (b *bed) abort(t *testing.T, at, way string) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	config := b.config(t)
	config.OnStep = func(step string) {
		switch {
		case step != at:
		case way == "an interrupt":
			interrupt()
		case way == "the end of its sessions on the source":
			b.endSection(t, b.source)
		default:
			b.endSection(t, b.target)
		}
	}
	outcome, err := Run(ctx, config)
	must(t, "switch over", err)
	if outcome.Switched || outcome.Reason == "" {
		t.Fatalf("it was to fail: %+v", outcome)
	}
	b.wantStage(t, config.Journal, StageUndone)
}

// abortCommit lets the line that commits be one that cannot be written.
func (b *bed) abortCommit(t *testing.T) {
	t.Helper()
	config := b.config(t)
	config.OnStep = func(step string) {
		if step == "commit" {
			full(t, config.Journal.path)
		}
	}
	if outcome, err := Run(t.Context(), config); err == nil {
		t.Fatalf("it says that all is well: %+v", outcome)
	}
	refill(t, config.Journal.path)
	_, err := Recover(t.Context(), config)
	must(t, "recover", err)
	b.wantStage(t, config.Journal, StageUndone)
}

func (b *bed) endSection(t *testing.T, c *pgtest.Cluster) {
	conn, err := pgx.Connect(t.Context(), c.DSN("postgres")+"&application_name=test")
	if err != nil { // the fence
		conn = b.ours(t, c, "postgres")
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := postgres.EndSessions(t.Context(), conn, sessionSection); err != nil {
		t.Errorf("end sessions: %v", err)
	}
}

// settled wants everything as it was. Apply workers come back within seconds.
func (b *bed) settled(t *testing.T, before map[string][]string) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if diff = cmp.Diff(before, b.everything(t)); diff == "" {
			return
		}
		must(t, "wait", sleep(t.Context(), 50*time.Millisecond))
	}
	t.Errorf("left behind (-before +after):\n%s", diff)
}

// stateOf are the catalogs that a switchover, or what prepares one, could change.
var stateOf = []string{
	`SELECT r::text FROM pg_authid r`,
	`SELECT m::text FROM pg_auth_members m`,
	`SELECT s::text FROM pg_db_role_setting s`,
	`SELECT concat_ws(' ', name, setting) FROM pg_settings WHERE source NOT IN ('client', 'session', 'override')`,
	`SELECT concat_ws(' ', datname, datallowconn, datconnlimit, datacl) FROM pg_database`,
	`SELECT concat_ws(' ', subname, subenabled, subslotname, subsynccommit, subpublications) FROM pg_subscription`,
	`SELECT p::text FROM pg_publication p`,
	`SELECT concat_ws(' ', slot_name, plugin, slot_type, database) FROM pg_replication_slots`,
	`SELECT o::text FROM pg_replication_origin o`,
	`SELECT e::text FROM pg_event_trigger e`,
	`SELECT concat_ws(' ', oid, relname, relkind, relreplident, relowner, relacl) FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'`,
	`SELECT concat_ws(' ', oid, nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'`,
	`SELECT concat_ws(' ', oid, proname, proacl) FROM pg_proc WHERE oid >= 16384`,
	`SELECT concat_ws(' ', oid, tgname, tgenabled) FROM pg_trigger`,
	`SELECT l::text FROM pg_locks l WHERE locktype = 'advisory'`,
}

// everything reads the state of both sides and of the endpoint.
func (b *bed) everything(t *testing.T) map[string][]string {
	t.Helper()
	state := map[string][]string{}
	for _, c := range []*pgtest.Cluster{b.source, b.target} {
		for _, database := range append(slices.Clone(databases), "postgres") {
			conn := b.ours(t, c, database)
			name := fmt.Sprintf("%d, %s", c.Major, database)
			for _, query := range stateOf {
				state[name] = append(state[name], readLines(t, conn, query)...)
			}
			slices.Sort(state[name])
			conn.Close(t.Context())
		}
	}
	ini, err := os.ReadFile(b.bouncer.IniPath)
	must(t, "read PgBouncer's configuration", err)
	state["pgbouncer.ini"] = []string{string(ini)}
	state["databases of PgBouncer"] = b.console(t, "SHOW DATABASES", "name", "host", "port", "database", "pool_size", "paused", "disabled")
	state["settings of PgBouncer"] = b.console(t, "SHOW CONFIG", "key", "value")
	return state
}

func readLines(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	must(t, query, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, query, err)
	return all
}

// console asks PgBouncer for some columns.
func (b *bed) console(t *testing.T, command string, columns ...string) []string {
	t.Helper()
	config, err := pgx.ParseConfig(b.bouncer.AdminDSN)
	must(t, "read the console's address", err)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, "connect to the console", err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), command)
	must(t, command, err)
	all, err := pgx.CollectRows(rows, pgx.RowToMap)
	must(t, command, err)
	var said []string
	for _, row := range all {
		line := ""
		for _, column := range columns {
			line += fmt.Sprintf("%s=%v ", column, row[column])
		}
		said = append(said, line)
	}
	slices.Sort(said)
	return said
}
