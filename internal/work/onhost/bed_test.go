package onhost

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// upgradeBed is a source with something of everything, and the plan and the worker of its upgrade.
type upgradeBed struct {
	*testing.T
	source *pgtest.Cluster
	worker *Worker
	plan   upgrade.Plan
	// databases are those that are replicated.
	databases []string
}

// shopSchema has what replication treats in ways of its own.
const shopSchema = `
	CREATE EXTENSION hstore VERSION '1.4';
	CREATE TYPE mood AS ENUM ('calm', 'busy');
	CREATE DOMAIN amount AS bigint CHECK (value BETWEEN -1000 AND 1000);
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, mood mood DEFAULT 'calm');
	INSERT INTO account SELECT generate_series(1, 52); -- the last two are not for the load
	CREATE TABLE ledger (
		id bigserial PRIMARY KEY, account int NOT NULL REFERENCES account, delta amount NOT NULL,
		note jsonb, tags hstore
	) TABLESPACE aside;
	CREATE TABLE keyless (a int, b text);
	ALTER TABLE keyless REPLICA IDENTITY FULL;
	CREATE TABLE measured (
		day date NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, value int NOT NULL,
		doubled int GENERATED ALWAYS AS (value * 2) STORED, PRIMARY KEY (day, id)
	) PARTITION BY RANGE (day);
	CREATE TABLE measured_old PARTITION OF measured FOR VALUES FROM ('2020-01-01') TO ('2025-01-01');
	CREATE TABLE measured_new PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2030-01-01') TABLESPACE aside;`

const depotSchema = `CREATE TABLE stock (id bigserial PRIMARY KEY, item text NOT NULL)`

// newUpgradeBed makes the source of the oldest version under test and plans its upgrade to the newest.
func newUpgradeBed(t *testing.T, settings ...map[string]string) *upgradeBed {
	t.Helper()
	return newUpgradeBedOf(t, settings)
}

// newUpgradeBedOf makes a source that has more to it than its settings.
func newUpgradeBedOf(t *testing.T, settings []map[string]string, options ...pgtest.Option) *upgradeBed {
	t.Helper()
	versions := pgtest.Versions(t)
	from, to := versions[0], versions[len(versions)-1]
	bindir := pgtest.Bindir(t, to)
	config := map[string]string{"max_prepared_transactions": "4", "max_wal_size": "64MB"}
	for _, s := range settings {
		maps.Copy(config, s)
	}
	b := newBed(t, pgtest.Start(t, from, append(options, pgtest.Config(config))...), bindir)
	b.databases = []string{"Depot's", "postgres", "shop"}
	b.fillSource()
	b.planUpgrade(to)
	return b
}

// newBed is a source, and a worker that knows it and the programs of the target.
func newBed(t *testing.T, source *pgtest.Cluster, bindir string) *upgradeBed {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	host := postmaster.New("h1", runner, []string{filepath.Dir(bindir)}, log)
	return &upgradeBed{
		T: t, source: source,
		worker: New(host, runner, filepath.Join(t.TempDir(), "agent"), GuardCommand{}, log, time.Now),
	}
}

func (b *upgradeBed) planUpgrade(to int) {
	b.Helper()
	cluster, err := b.worker.host.Inspect(b.Context(), step.InspectArgs{Pgdata: b.source.Pgdata})
	b.must(err)
	target, err := b.worker.host.ChooseTarget(b.Context(), step.ChooseTargetArgs{
		Source: cluster, Major: upgrade.Major(to), Pgdata: filepath.Join(filepath.Dir(b.source.Pgdata), "target"),
	})
	b.must(err)
	b.plan = upgrade.Plan{
		Number: 7, ID: "00000000-0000-0000-0000-000000000007", Instance: "shop", Mode: upgrade.ZeroDowntime,
		Source: cluster, Target: target, Options: upgrade.Options{}.WithDefaults(),
	}
	b.Cleanup(b.stopAll)
}

func (b *upgradeBed) fillSource() {
	b.Helper()
	owner, err := run.LookupUser(b.source.Owner)
	b.must(err)
	space := filepath.Join(filepath.Dir(b.source.Pgdata), "aside")
	b.must(os.Mkdir(space, 0o700))
	b.must(owner.Chown(space))
	b.source.Exec(b, "postgres", "CREATE ROLE app LOGIN PASSWORD 'secret'", "ALTER ROLE app SET work_mem = '5MB'",
		`ALTER ROLE ALL SET "app.note" = E'it''s \\ {"odd"},\n\n;'`, "ALTER ROLE ALL SET DateStyle = 'ISO, YMD'")
	b.source.Exec(b, "postgres", "CREATE TABLESPACE aside LOCATION '"+space+"'")
	b.source.CreateDatabase(b, "shop")
	b.source.CreateDatabase(b, "Depot's")
	b.source.Exec(b, "shop", shopSchema)
	b.source.Exec(b, "Depot's", depotSchema)
}

// stopAll ends what a test that failed left running.
func (b *upgradeBed) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if b.Failed() {
		b.Logf("target.log:\n%s", read(targetLog(b.plan)))
		b.Logf("clone.log:\n%s", read(cloneLog(b.plan)))
	}
	for bindir, pgdata := range map[string]string{
		b.plan.Source.Bindir: b.plan.ClonePgdata(), b.plan.Target.Bindir: b.plan.Target.Pgdata,
	} {
		if err := b.worker.stopLeftover(ctx, b.plan, bindir, pgdata, "immediate"); err != nil {
			b.Errorf("stop %s: %v", pgdata, err)
		}
	}
}

func read(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func (b *upgradeBed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// until waits for a condition.
func (b *upgradeBed) until(what string, done func() bool) {
	b.Helper()
	deadline := time.Now().Add(3 * time.Minute) // on a machine that has much else to do
	for !done() {
		if time.Now().After(deadline) {
			b.Fatalf("waited 3 minutes for: %s", what)
		}
		b.must(sleep(b.Context(), 20*time.Millisecond))
	}
}

// twice carries out a step two times, as the engine does after a crash, and shows what it had to tell.
func twice[R any](b *upgradeBed, name string, do func(context.Context) (R, error)) R {
	b.Helper()
	var result R
	for attempt := range 2 {
		began := time.Now()
		var err error
		if result, err = do(b.Context()); err != nil {
			b.Fatalf("%s, call %d: %v", name, attempt+1, err)
		}
		b.Logf("%s, call %d: %s", name, attempt+1, time.Since(began).Round(time.Millisecond))
	}
	return result
}

// stepFunc is a step that needs nothing but the plan.
type stepFunc func(context.Context, upgrade.Plan) (step.Done, error)

func (b *upgradeBed) step(name string, do stepFunc) step.Done {
	b.Helper()
	done := twice(b, name, func(ctx context.Context) (step.Done, error) { return do(ctx, b.plan) })
	for _, event := range done.Events {
		b.Logf("  %s: %s", event.Level, event.Text)
	}
	return done
}

func (b *upgradeBed) session(cluster upgrade.Cluster, database string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=postgres sslmode=disable dbname='%s'",
		cluster.Port, strings.ReplaceAll(database, "'", `\'`)))
	b.must(err)
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask returns the rows of a query as text, one line each.
func (b *upgradeBed) ask(cluster upgrade.Cluster, database, query string, args ...any) []string {
	b.Helper()
	conn := b.session(cluster, database)
	defer conn.Close(b.Context())
	rows, err := conn.Query(b.Context(), query, args...)
	b.must(err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.must(err)
	return lines
}

// tableDigests sums up the rows of every table of a database but for our own.
func (b *upgradeBed) tableDigests(cluster upgrade.Cluster, database string) []string {
	b.Helper()
	tables := b.ask(cluster, database, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgleap')
		ORDER BY 1`)
	var digests []string
	for _, table := range tables {
		digests = append(digests, b.ask(cluster, database, fmt.Sprintf(
			`SELECT concat('%s: ', count(*), ' rows, ', sum(hashtextextended(t::text, 0))) FROM %s t`, table, table))...)
	}
	return digests
}

// sameRows compares all databases of source and target.
func (b *upgradeBed) sameRows() {
	b.Helper()
	for _, database := range b.databases {
		want, got := b.tableDigests(b.plan.Source, database), b.tableDigests(b.plan.Target, database)
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("rows of %s (-source +target):\n%s", database, diff)
		}
	}
	if diff := cmp.Diff(b.settingsOfRoles(b.plan.Source), b.settingsOfRoles(b.plan.Target)); diff != "" {
		b.Errorf("settings of roles and databases (-source +target):\n%s", diff)
	}
}

// settingsOfRoles are those of roles and databases, and of all of them.
func (b *upgradeBed) settingsOfRoles(cluster upgrade.Cluster) []string {
	b.Helper()
	return b.ask(cluster, "postgres", `
		SELECT format('database %s, role %s: %s', coalesce(d.datname, '*'), coalesce(r.rolname, '*'), s.setconfig)
		FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
		ORDER BY 1`)
}

// everythingOf lists what an upgrade could leave behind on a source.
const everythingOf = `
	SELECT 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
	UNION ALL SELECT 'relation ' || oid::regclass::text || ' ' || relkind::text || relreplident::text FROM pg_class WHERE oid >= 16384
	UNION ALL SELECT 'function ' || oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
	UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
	UNION ALL SELECT 'publication ' || pubname FROM pg_publication
	UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
	UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
	UNION ALL SELECT 'origin ' || roname FROM pg_replication_origin
	UNION ALL SELECT 'role ' || r::text FROM pg_authid r
	UNION ALL SELECT 'comment ' || description FROM pg_shdescription
	UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid >= 16384
	UNION ALL SELECT 'database ' || d.datname || ' ' || d.datallowconn || d.datconnlimit || ' ' || coalesce(d.datacl::text, '') FROM pg_database d
	UNION ALL SELECT 'role setting ' || s::text FROM pg_db_role_setting s
	UNION ALL SELECT 'setting ' || name || ' ' || coalesce(setting, '') FROM pg_settings WHERE source NOT IN ('client', 'session', 'override')
	ORDER BY 1`

// sourceState is the source as its user sees it: catalogs, configuration files, what lies beside it.
func (b *upgradeBed) sourceState() map[string][]string {
	b.Helper()
	state := map[string][]string{}
	for _, database := range b.databases {
		state[database] = b.ask(b.plan.Source, database, everythingOf)
	}
	for _, file := range []string{b.plan.Source.HBAFile, b.plan.Source.ConfigFile, b.plan.Source.IdentFile, filepath.Join(b.plan.Source.Pgdata, "postgresql.auto.conf")} {
		info, err := os.Stat(file)
		b.must(err)
		state[filepath.Base(file)] = []string{read(file), info.Mode().String()}
	}
	state["beside"] = slices.DeleteFunc(list(b.T, filepath.Dir(b.plan.Source.Pgdata)), func(name string) bool {
		return strings.HasPrefix(name, ".s.PGSQL.") || name == "server.log"
	})
	return state
}

// unchanged compares the source with what it was.
func (b *upgradeBed) unchanged(before map[string][]string) {
	b.Helper()
	after := b.sourceState()
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if diff := cmp.Diff(before[what], after[what]); diff != "" {
			b.Errorf("the source's %s (-before +after):\n%s", what, diff)
		}
	}
}
