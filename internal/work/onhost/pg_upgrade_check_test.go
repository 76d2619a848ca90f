package onhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// complaint is a situation that the real pg_upgrade --check refuses or warns of.
type complaint struct {
	name           string
	source, target int // the first major version that it concerns; negative: the last
	violate        func(*checkBed)
	// with changes the call of pg_upgrade.
	with func(*checkBed, *pgbin.PgUpgrade)
	mend func(*checkBed)
	// want are the objects by check; those without are told in pg_upgrade's words.
	want     map[string][]string
	severity upgrade.Severity // blocker when empty
}

// checkBed is a source, an empty target, and the pg_upgrade that brings the one into the other.
type checkBed struct {
	*testing.T
	source *pgtest.Cluster
	as     pgbin.Caller
	initdb pgbin.Initdb
	call   pgbin.PgUpgrade
	dir    string
}

// The situation is mended before the checks run: what they tell comes from pg_upgrade alone.
func TestEveryComplaintOfPgUpgradeIsAFinding(t *testing.T) {
	pgtest.Exhaustive(t)
	versions := pgtest.Versions(t)
	pairs := [][2]int{{versions[0], versions[len(versions)-1]}}
	for i := range versions[1:] {
		if pair := [2]int{versions[i], versions[i+1]}; pair != pairs[0] {
			pairs = append(pairs, pair)
		}
	}
	for _, pair := range pairs {
		t.Run(fmt.Sprintf("%d to %d", pair[0], pair[1]), func(t *testing.T) {
			b := newCheckBed(t, pair[0], pair[1])
			for _, c := range slices.Concat(complaintsOfContents(), complaintsOfTheCluster(), complaintsOfReplication(), complaintsOfTheCall(), complaintsOfTheSourceDown()) {
				if pair[0] < c.source || c.source < 0 && pair[0] > -c.source || pair[1] < c.target || c.target < 0 && pair[1] > -c.target {
					continue
				}
				t.Run(c.name, func(t *testing.T) { b.carryOut(t, c) })
			}
			if said := b.check(b.call); !said.Compatible {
				t.Errorf("after every remedy: %+v", said)
			}
		})
	}
}

func newCheckBed(t *testing.T, from, to int) *checkBed {
	t.Helper()
	bindir := pgtest.Bindir(t, to)
	source := pgtest.Start(t, from, pgtest.Config(map[string]string{"max_prepared_transactions": "5"}))
	owner, err := run.LookupUser(source.Owner)
	if err != nil {
		t.Fatal(err)
	}
	b := &checkBed{
		T: t, source: source, dir: filepath.Dir(source.Pgdata),
		as: pgbin.Caller{Runner: run.New(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))), As: owner},
	}
	version, err := pgbin.Version(t.Context(), b.as.Runner, bindir)
	b.must(err)
	sockets, err := privateSocketDir(owner)
	b.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	b.initdb = pgbin.Initdb{
		Bindir: bindir, Version: version, Superuser: source.Superuser, Pgdata: filepath.Join(b.dir, "target"),
		Encoding: "UTF8", LcCollate: "C.UTF-8", LcCtype: "C.UTF-8", NoSync: true,
	}
	b.must(b.initdb.Run(t.Context(), b.as))
	work := filepath.Join(b.dir, "check")
	b.must(makeDir(work, owner))
	b.call = pgbin.PgUpgrade{
		OldBindir: source.Bindir, NewBindir: bindir, OldPgdata: source.Pgdata, NewPgdata: b.initdb.Pgdata,
		OldPort: source.Port, NewPort: pgtest.FreePort(t), SocketDir: sockets, Superuser: source.Superuser,
		Transfer: pgbin.TransferCopy, NewOptions: pgbin.Options("wal_level=logical", "max_replication_slots=20"), Dir: work,
	}
	source.CreateDatabase(t, "My app")
	return b
}

func (b *checkBed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *checkBed) check(call pgbin.PgUpgrade) precheck.PgUpgrade {
	b.Helper()
	said, err := whatPgUpgradeSaid(call.Check(b.Context(), b.as))
	b.must(err)
	return said
}

func (b *checkBed) carryOut(t *testing.T, c complaint) {
	outer := b.T
	b.T = t
	defer func() { b.T = outer }()
	if c.violate != nil {
		c.violate(b)
	}
	call := b.call
	if c.with != nil {
		c.with(b, &call)
	}
	said := b.check(call)
	if c.mend != nil {
		c.mend(b)
	}
	report := b.report(said)
	for check, objects := range c.want {
		f := find(report, check)
		severity := c.severity
		if severity == "" {
			severity = upgrade.Blocker
		}
		if f.Severity != severity || f.Why == "" || f.Remedy == "" || f.Total == 0 {
			t.Errorf("%s: got %+v; pg_upgrade said %+v", check, f, said)
		}
		for _, object := range objects {
			if !slices.ContainsFunc(f.Objects, func(o string) bool { return o == object || strings.HasPrefix(o, object+" (") }) {
				t.Errorf("%s: %s is missing: %q", check, object, f.Objects)
			}
		}
		if len(objects) > 0 && len(f.Objects) != len(objects) {
			t.Errorf("%s: got %q, want %q", check, f.Objects, objects)
		}
	}
	if f := find(report, "pg-upgrade"); f.Severity == upgrade.Blocker {
		t.Errorf("told in pg_upgrade's words only: %+v", f)
	}
}

// report is what the checks make of what pg_upgrade said.
func (b *checkBed) report(said precheck.PgUpgrade) upgrade.Report {
	b.Helper()
	subject := precheck.Subject{
		Plan: upgrade.Plan{
			Instance: "shop", Mode: upgrade.InPlace, Target: upgrade.Cluster{Version: b.initdb.Version}, Options: upgrade.Options{}.WithDefaults(),
		},
		Source: postgres.Login{Address: upgrade.Address{Host: "127.0.0.1", Port: b.source.Port}, Database: "postgres", User: b.source.Superuser},
		Target: precheck.Known(postgres.Login{}, errors.New("not needed here")),
		Host:   precheck.Host{PgUpgrade: precheck.Known(said, nil)},
	}
	report, err := precheck.Run(b.Context(), subject, time.Now())
	b.must(err)
	return report
}

// sql runs statements in the database that has most of the objects.
func sql(statements ...string) func(*checkBed) {
	return func(b *checkBed) {
		for _, statement := range statements {
			b.source.Exec(b, "My app", statement)
		}
	}
}

func complaintsOfContents() []complaint {
	return []complaint{
		{
			name: "types of columns",
			violate: sql(`CREATE SCHEMA "S x"`, `CREATE DOMAIN "S x".f AS regproc`,
				`CREATE TABLE "S x"."T ""1" (a "S x".f[], "b c" regoper, d pg_class, e pg_database)`),
			mend: sql(`DROP SCHEMA "S x" CASCADE`),
			want: map[string][]string{"system-composite-types": {`"My app"."S x"."T ""1".d`, `"My app"."S x"."T ""1".e`}},
		},
		{
			name: "reg* types", violate: sql(`CREATE TABLE "T ""1" (a regproc[], "b c" regoper)`), mend: sql(`DROP TABLE "T ""1"`),
			want: map[string][]string{"reg-types": {`"My app".public."T ""1".a`, `"My app".public."T ""1"."b c"`}},
		},
		{
			name: "aclitem", source: -15, target: 16, violate: sql(`CREATE TABLE "T ""1" (a aclitem[])`), mend: sql(`DROP TABLE "T ""1"`),
			want: map[string][]string{"aclitem-types": {`"My app".public."T ""1".a`}},
		},
		{
			name: "conversion", source: -13, violate: sql(`CREATE CONVERSION "My conv" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8`), mend: sql(`DROP CONVERSION "My conv"`),
			want: map[string][]string{"encoding-conversions": {`"My app".public."My conv"`}},
		},
		{
			name: "postfix operator", source: -13,
			violate: sql(`CREATE FUNCTION f(int8) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0'`, `CREATE OPERATOR !!! (LEFTARG = int8, PROCEDURE = f)`),
			mend:    sql(`DROP FUNCTION f(int8) CASCADE`),
			want:    map[string][]string{"postfix-operators": {`"My app".public.!!! (pg_catalog.int8, NONE)`}},
		},
		{
			name: "polymorphics", source: -13,
			violate: sql(`CREATE AGGREGATE "All of it" (anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}')`,
				`CREATE OPERATOR @@! (LEFTARG = anyarray, RIGHTARG = anyelement, PROCEDURE = array_remove)`),
			mend: sql(`DROP AGGREGATE "All of it"(anyelement)`, `DROP OPERATOR @@! (anyarray, anyelement)`),
			want: map[string][]string{"polymorphic-functions": {`"My app".public."All of it"(anyelement)`, `"My app".public.@@!(anyarray,anyelement)`}},
		},
		{
			name: "not null", source: -17,
			violate: sql(`CREATE TABLE parent (id int, "a b" int)`, `CREATE TABLE "Ch ild" () INHERITS (parent)`, `SET allow_system_table_mods = on; `+
				`UPDATE pg_attribute SET attnotnull = true WHERE attname = 'a b' AND attrelid = 'parent'::regclass`),
			mend: sql(`DROP TABLE parent CASCADE`),
			want: map[string][]string{"inherited-not-null": {`"My app".public."Ch ild"."a b"`}},
		},
		{
			name: "gist", target: 19, violate: sql(`CREATE EXTENSION btree_gist`, `CREATE TABLE t (a inet)`, `CREATE INDEX "My index" ON t USING gist (a)`),
			mend: sql(`DROP TABLE t`, `DROP EXTENSION btree_gist`),
			want: map[string][]string{"gist-inet-indexes": {`"My app".public."My index"`}},
		},
		{
			name: "unicode", source: 17, target: 18,
			violate: sql(`CREATE TABLE t (a text COLLATE pg_c_utf8, CHECK (a ~ 'a'))`, `CREATE INDEX "My index" ON t (lower(a))`),
			mend:    sql(`DROP TABLE t`), severity: upgrade.Warning,
			want: map[string][]string{"unicode-update": {`"My app".public."My index"`, `"My app".public.t`}},
		},
		{
			name: "library", target: -18,
			violate: sql(`CREATE FUNCTION f(int) RETURNS int LANGUAGE c AS '$libdir/pgcrypto', 'pg_digest'`,
				`SET allow_system_table_mods = on; UPDATE pg_proc SET probin = '$libdir/no such' WHERE proname = 'f'`),
			mend: sql(`DROP FUNCTION f(int)`),
			want: map[string][]string{"required-libraries": {`"My app".$libdir/no such`}},
		},
		{
			name: "library, told without its directory", target: 19,
			violate: sql(`CREATE FUNCTION f(int) RETURNS int LANGUAGE c AS '$libdir/pgcrypto', 'pg_digest'`,
				`SET allow_system_table_mods = on; UPDATE pg_proc SET probin = '$libdir/no such' WHERE proname = 'f'`),
			mend: sql(`DROP FUNCTION f(int)`),
			want: map[string][]string{"required-libraries": {`"My app".no such`}},
		},
	}
}

func complaintsOfTheCluster() []complaint {
	space := func(b *checkBed) string { return filepath.Join(b.dir, "space") }
	makeSpace := func(b *checkBed) {
		b.must(makeDir(space(b), b.as.As))
		b.source.Exec(b, "postgres", `CREATE TABLESPACE "My space" LOCATION '`+space(b)+`'`)
	}
	return []complaint{
		{
			name: "database without connections", violate: sql(`CREATE DATABASE "No entry" ALLOW_CONNECTIONS false`),
			mend: sql(`ALTER DATABASE "No entry" ALLOW_CONNECTIONS true`, `DROP DATABASE "No entry"`),
			want: map[string][]string{"databases": {`"No entry"`}},
		},
		{
			name: "invalid database", target: 18,
			violate: sql(`CREATE DATABASE "Half gone"`, `SET allow_system_table_mods = on; UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'Half gone'`),
			mend:    sql(`DROP DATABASE "Half gone"`),
			want:    map[string][]string{"databases": {`"Half gone"`}},
		},
		{
			name: "template0", violate: sql(`ALTER DATABASE template0 ALLOW_CONNECTIONS true`), mend: sql(`ALTER DATABASE template0 ALLOW_CONNECTIONS false`),
			want: map[string][]string{"databases": {"database connection settings"}},
		},
		{
			name: "encoding", target: 19, violate: sql(`CREATE DATABASE "Mule 1" TEMPLATE template0 ENCODING 'MULE_INTERNAL' LC_COLLATE 'C' LC_CTYPE 'C'`),
			mend: sql(`DROP DATABASE "Mule 1"`), want: map[string][]string{"encodings": {`"Mule 1"`}},
		},
		{
			name: "line breaks in names", source: -18, target: 19,
			violate: sql("CREATE DATABASE \"two\nlines\"", "CREATE ROLE \"say\r\"\"x\"\"\""), mend: sql("DROP DATABASE \"two\nlines\"", "DROP ROLE \"say\r\"\"x\"\"\""),
			want: map[string][]string{"line-breaks-in-names": {"\"two\nlines\"", "\"say\r\"\"x\"\"\""}},
		},
		{
			name: "tablespace without a directory",
			violate: func(b *checkBed) {
				makeSpace(b)
				b.must(os.Rename(space(b), space(b)+"-away"))
			},
			mend: func(b *checkBed) {
				b.must(os.Rename(space(b)+"-away", space(b)))
				b.source.Exec(b, "postgres", `DROP TABLESPACE "My space"`)
				b.must(os.RemoveAll(space(b)))
			},
			want: map[string][]string{"tablespaces": nil},
		},
		{
			name: "directory of the target in a tablespace",
			violate: func(b *checkBed) {
				makeSpace(b)
				control, err := pgbin.PgControldata(b.Context(), b.as, b.call.NewBindir, b.call.NewPgdata)
				b.must(err)
				b.must(makeDir(filepath.Join(space(b), fmt.Sprintf("PG_%d_%d", b.initdb.Version.Major(), control.CatalogVersion)), b.as.As))
			},
			mend: func(b *checkBed) {
				b.source.Exec(b, "postgres", `DROP TABLESPACE "My space"`)
				b.must(os.RemoveAll(space(b)))
			},
			want: map[string][]string{"tablespace-leftovers": nil},
		},
		{
			name: "in-place tablespace", source: 15, target: -18,
			violate: func(b *checkBed) {
				conn := b.source.Connect(b, "My app")
				for _, statement := range []string{`SET allow_in_place_tablespaces = on`, `CREATE TABLESPACE near LOCATION ''`} {
					_, err := conn.Exec(b.Context(), statement)
					b.must(err)
				}
			},
			mend: sql(`DROP TABLESPACE near`),
			want: map[string][]string{"tablespaces": nil},
		},
		{
			name: "prepared transaction", violate: sql(`BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'x'`), mend: sql(`ROLLBACK PREPARED 'x'`),
			want: map[string][]string{"prepared-transactions": {"prepared transactions"}},
		},
		{
			name: "a database older than the cluster", target: 19,
			violate: sql(`CREATE DATABASE "Old one"`, `SET allow_system_table_mods = on; UPDATE pg_database SET datfrozenxid = '3' WHERE datname = 'Old one'`),
			mend:    sql(`DROP DATABASE "Old one"`),
			want:    map[string][]string{"oldest-transaction-ids": nil},
		},
	}
}

func complaintsOfReplication() []complaint {
	const slot = `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`
	const drop = `SELECT pg_drop_replication_slot('cdc')`
	const subscribe = `CREATE SUBSCRIPTION "My sub" CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)`
	unsubscribe := sql(`ALTER SUBSCRIPTION "My sub" SET (slot_name = NONE)`, `DROP SUBSCRIPTION "My sub"`)
	return []complaint{
		{
			name: "slot that is invalid", source: 17,
			violate: func(b *checkBed) {
				sql(slot, `ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`, `SELECT pg_reload_conf()`)(b)
				b.until(`SELECT current_setting('max_slot_wal_keep_size') = '1MB'`)
				sql(`SELECT txid_current()`, `SELECT pg_switch_wal()`, `SELECT txid_current()`, `SELECT pg_switch_wal()`, `SELECT txid_current()`, `SELECT pg_switch_wal()`, `CHECKPOINT`)(b)
				b.until(`SELECT invalidation_reason IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'cdc'`)
			},
			mend: sql(drop, `ALTER SYSTEM RESET max_slot_wal_keep_size`, `SELECT pg_reload_conf()`),
			want: map[string][]string{"slots-taken-over": {"cdc"}},
		},
		{
			name: "slot of a reserved name", source: 17, target: 19,
			violate: sql(`SELECT pg_create_logical_replication_slot('pg_conflict_detection', 'pgoutput')`), mend: sql(`SELECT pg_drop_replication_slot('pg_conflict_detection')`),
			want: map[string][]string{"slots-taken-over": {"pg_conflict_detection"}},
		},
		{
			name: "plugin that is not allowed", source: 17, violate: sql(slot), mend: sql(drop),
			with: newOptions("wal_level=logical", "max_replication_slots=20", "output_plugin_libraries=pgoutput"),
			want: map[string][]string{"target-slots": {"cdc"}},
		},
		{
			name: "too few slots", source: 17, violate: sql(slot), mend: sql(drop), with: newOptions("wal_level=logical", "max_replication_slots=0"),
			want: map[string][]string{"target-slots": nil},
		},
		{
			name: "WAL that is too low", source: 17, violate: sql(slot), mend: sql(drop), with: newOptions("wal_level=minimal", "max_wal_senders=0", "max_replication_slots=20"),
			want: map[string][]string{"target-slots": nil},
		},
		{
			name: "subscription without a position", source: 17,
			violate: sql(`CREATE TABLE "T x" (id int)`, subscribe, `SELECT pg_replication_origin_drop('pg_' || oid) FROM pg_subscription`,
				`SET allow_system_table_mods = on; INSERT INTO pg_subscription_rel SELECT oid, '"T x"'::regclass, 'd', NULL FROM pg_subscription`),
			mend: func(b *checkBed) { unsubscribe(b); sql(`DROP TABLE "T x"`)(b) },
			want: map[string][]string{"subscription-state": {`"My app"."My sub"`}},
		},
		{
			name: "too few origins", source: 17, target: 18, violate: sql(subscribe), mend: unsubscribe,
			with: newOptions("wal_level=logical", "max_active_replication_origins=0"),
			want: map[string][]string{"target-origins": nil},
		},
	}
}

func newOptions(settings ...string) func(*checkBed, *pgbin.PgUpgrade) {
	return func(_ *checkBed, call *pgbin.PgUpgrade) { call.NewOptions = pgbin.Options(settings...) }
}

// until waits for a condition of the source's.
func (b *checkBed) until(condition string) {
	b.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	conn := b.source.Connect(b, "My app")
	for done := false; !done; b.must(sleep(b.Context(), 20*time.Millisecond)) {
		b.must(conn.QueryRow(b.Context(), condition).Scan(&done))
		if time.Now().After(deadline) {
			b.Fatalf("waited 3 minutes for: %s", condition)
		}
	}
}

func complaintsOfTheCall() []complaint {
	otherTarget := func(change func(*pgbin.Initdb)) func(*checkBed, *pgbin.PgUpgrade) {
		return func(b *checkBed, call *pgbin.PgUpgrade) {
			initdb := b.initdb
			initdb.Pgdata = filepath.Join(b.dir, "other-target")
			change(&initdb)
			b.must(initdb.Run(b.Context(), b.as))
			call.NewPgdata = initdb.Pgdata
			b.Cleanup(func() { _ = os.RemoveAll(initdb.Pgdata) })
		}
	}
	spoilt := func(statement string) func(*checkBed, *pgbin.PgUpgrade) {
		return func(b *checkBed, call *pgbin.PgUpgrade) {
			otherTarget(func(*pgbin.Initdb) {})(b, call)
			b.inTarget(call, func(conn *pgx.Conn) {
				_, err := conn.Exec(b.Context(), statement)
				b.must(err)
			})
		}
	}
	return []complaint{
		{
			name: "not the install user", violate: sql(`CREATE ROLE "Other one" SUPERUSER LOGIN`), mend: sql(`DROP ROLE "Other one"`),
			with: func(_ *checkBed, call *pgbin.PgUpgrade) { call.Superuser = "Other one" },
			want: map[string][]string{"install-user": nil},
		},
		{
			name: "no such role", with: func(_ *checkBed, call *pgbin.PgUpgrade) { call.Superuser = "nobody there" },
			want: map[string][]string{"pg-upgrade-connection": nil},
		},
		{
			name: "one port for both", with: func(_ *checkBed, call *pgbin.PgUpgrade) { call.NewPort = call.OldPort },
			want: map[string][]string{"pg-upgrade-place": nil},
		},
		{
			name: "no place to write", with: func(_ *checkBed, call *pgbin.PgUpgrade) { call.Dir = "/" },
			want: map[string][]string{"pg-upgrade-place": nil},
		},
		{
			name: "programs of another version", with: func(_ *checkBed, call *pgbin.PgUpgrade) { call.OldBindir = call.NewBindir },
			want: map[string][]string{"target-programs": nil},
		},
		{
			name: "the wrong way round", source: 15,
			with: func(_ *checkBed, call *pgbin.PgUpgrade) {
				call.OldBindir, call.NewBindir, call.OldPgdata, call.NewPgdata = call.NewBindir, call.OldBindir, call.NewPgdata, call.OldPgdata
			},
			want: map[string][]string{"pg-upgrade-place": nil}, // the source runs
		},
		{
			name: "segments of another size", with: otherTarget(func(i *pgbin.Initdb) { i.WALSegmentSizeMB = 1 }),
			want: map[string][]string{"build": nil},
		},
		{
			name: "checksums", with: otherTarget(func(i *pgbin.Initdb) { i.DataChecksums = true }),
			want: map[string][]string{"build": nil},
		},
		{
			name: "encoding of the target", target: -15, with: otherTarget(func(i *pgbin.Initdb) { i.Encoding, i.LcCollate, i.LcCtype = "LATIN1", "C", "C" }),
			want: map[string][]string{"locales": nil},
		},
		{
			name: "role in the target", with: spoilt(`CREATE ROLE somebody`),
			want: map[string][]string{"target-empty": nil},
		},
		{
			name: "table in the target", with: spoilt(`CREATE TABLE t (id int)`),
			want: map[string][]string{"target-empty": nil},
		},
		{
			name: "links between file systems",
			with: func(b *checkBed, call *pgbin.PgUpgrade) {
				dir, err := os.MkdirTemp("/dev/shm", "pgleap-test-")
				if err != nil || sameFileSystem(dir, b.dir) {
					b.Skipf("there is no second file system at /dev/shm: %v", err)
				}
				b.Cleanup(func() { _ = os.RemoveAll(dir) })
				b.must(b.as.As.Chown(dir))
				otherTarget(func(i *pgbin.Initdb) { i.Pgdata = filepath.Join(dir, "target") })(b, call)
				call.Transfer = pgbin.TransferLink
			},
			want: map[string][]string{"transfer-method": nil},
		},
	}
}

// inTarget does something in a target that is no longer empty then.
func (b *checkBed) inTarget(call *pgbin.PgUpgrade, do func(*pgx.Conn)) {
	b.Helper()
	server := pgbin.PgCtl{Bindir: call.NewBindir, Pgdata: call.NewPgdata}
	options := pgbin.Options("listen_addresses=127.0.0.1", "unix_socket_directories="+b.dir, fmt.Sprintf("port=%d", call.NewPort))
	b.must(server.Start(b.Context(), b.as, filepath.Join(b.call.Dir, "log"), options, time.Minute))
	defer func() { b.must(server.Stop(context.WithoutCancel(b.Context()), b.as, pgbin.StopFast, time.Minute)) }()
	conn, err := pgx.Connect(b.Context(), fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", b.dir, call.NewPort, call.Superuser))
	b.must(err)
	defer conn.Close(b.Context()) //nolint:errcheck // nothing depends on it
	do(conn)
}

// complaintsOfTheSourceDown are those of a source that does not run.
func complaintsOfTheSourceDown() []complaint {
	signal := func(b *checkBed) string { return filepath.Join(b.source.Pgdata, "standby.signal") }
	return []complaint{
		{
			name: "a crash",
			violate: func(b *checkBed) {
				sql(`CHECKPOINT`)(b) // else recovery makes the tablespaces anew, whose directories are gone by now
				b.source.Kill(b)
				// Else pg_upgrade lets the server recover itself.
				_ = os.Remove(filepath.Join(b.source.Pgdata, "postmaster.pid"))
			},
			mend: func(b *checkBed) { b.source.Restart(b) },
			want: map[string][]string{"clean-shutdown": nil},
		},
		{
			name: "a standby",
			violate: func(b *checkBed) {
				b.source.Stop(b)
				b.must(os.WriteFile(signal(b), nil, 0o600))
				b.must(b.as.As.Chown(signal(b)))
				b.source.Restart(b)
				b.source.Stop(b)
			},
			mend: func(b *checkBed) {
				b.must(os.Remove(signal(b)))
				b.source.Restart(b)
			},
			want: map[string][]string{"clean-shutdown": nil},
		},
	}
}
