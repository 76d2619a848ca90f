package onhost

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newInPlaceBed is a source, and the plan of its upgrade in place: the target takes over its port.
func newInPlaceBed(t *testing.T, transfer upgrade.Transfer, settings ...map[string]string) *upgradeBed {
	t.Helper()
	b := newUpgradeBed(t, settings...)
	b.planInPlace(transfer)
	return b
}

func (b *upgradeBed) planInPlace(transfer upgrade.Transfer) {
	b.Helper()
	b.plan.Mode, b.plan.Target.Port = upgrade.InPlace, b.plan.Source.Port
	b.plan.Options.Transfer = transfer
	b.source.Exec(b, "shop",
		`INSERT INTO ledger (account, delta, note, tags) SELECT 1 + g % 50, g % 7, jsonb_build_object('g', g), 'a=>1' FROM generate_series(1, 2000) g`,
		`INSERT INTO measured (day, value) SELECT '2024-01-01'::date + g % 600, g FROM generate_series(1, 2000) g`,
		`SELECT lo_from_bytea(0, '\x706c65617365')`)
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
	content := map[string][]string{"settings": b.settingsOfRoles(cluster)}
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
			b.changedSincePrepared()
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
			if _, err := b.worker.RetireCluster(t.Context(), b.plan.Source); err != nil {
				t.Errorf("retire the source: %v", err)
			}
			if transfer == upgrade.TransferCopy {
				b.wayBackByHand(before)
			}
		})
	}
}

// changedSincePrepared changes the source when its target was prepared. What pg_upgrade --check has not seen is refused
// before the outage; settings, and who may log in, are taken up, see targetInPlace.
func (b *upgradeBed) changedSincePrepared() {
	b.Helper()
	late := filepath.Join(filepath.Dir(b.source.Pgdata), "late")
	user, err := owner(b.plan)
	b.must(err)
	b.must(makeDir(late, user))
	for _, c := range []struct{ change, undo, want string }{
		{`CREATE TABLESPACE late LOCATION '` + late + `'`, `DROP TABLESPACE late`, "a tablespace was made"},
		{`ALTER SYSTEM SET shared_preload_libraries = 'auto_explain'`, `ALTER SYSTEM RESET shared_preload_libraries`, "what its server has to load"},
	} {
		b.source.Exec(b, "postgres", c.change)
		if result := b.outage(); result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, c.want) {
			b.Fatalf("after %s: %+v", c.change, result.Switchover)
		}
		b.source.Exec(b, "postgres", c.undo)
	}
	b.source.Exec(b, "postgres", `ALTER SYSTEM SET work_mem = '8MB'`)
	b.must(writeOwned(filepath.Join(b.source.Pgdata, "interns"), []byte("ann, bob\n"), user, 0o600))
	b.append(user, "pg_hba.conf", "local all @interns reject\n")
}

// targetInPlace looks at what the target must have beside the rows.
func (b *upgradeBed) targetInPlace() {
	b.Helper()
	for _, c := range []struct{ name, query, want string }{
		{"a setting that was changed when the target was prepared", `SHOW work_mem`, "8MB"},
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
	hba := strings.Replace(read(b.plan.Source.HBAFile), "local all @interns reject\n",
		"# pgleap: the names of the lists stand in the place of @file\nlocal all ann,bob reject\n#local all @interns reject\n", 1)
	if diff := cmp.Diff(hba, read(b.plan.Target.HBAFile)); diff != "" {
		b.Errorf("the target's pg_hba.conf is not the source's (-want +got):\n%s", diff)
	}
	if left := list(b.T, filepath.Dir(b.plan.Target.Pgdata)); slices.Contains(left, filepath.Base(b.plan.Workdir())) {
		b.Errorf("the upgrade's directory is left: %v", left)
	}
	if _, err := os.Stat(outputDir(b.plan)); !os.IsNotExist(err) {
		b.Errorf("pg_upgrade's output is left in the target: %v", err)
	}
}

// sourceCannotStart: nobody starts it by mistake, at boot for example.
func (b *upgradeBed) sourceCannotStart() {
	b.Helper()
	if _, err := os.Stat(controlFile(b.plan.Source.Pgdata)); !os.IsNotExist(err) {
		b.Errorf("the source can be started: %v", err)
	}
}

// wayBackByHand does what docs/in-place.md says of it. Neither cluster can be started where the other may be.
func (b *upgradeBed) wayBackByHand(before map[string][]string) {
	b.Helper()
	as, err := b.worker.caller(b.plan, "pg_ctl")
	b.must(err)
	target := pgbin.PgCtl{Bindir: b.plan.Target.Bindir, Pgdata: b.plan.Target.Pgdata}
	source := pgbin.PgCtl{Bindir: b.plan.Source.Bindir, Pgdata: b.plan.Source.Pgdata}
	log := filepath.Join(b.source.SocketDir, "log")
	b.must(target.Stop(b.Context(), as, pgbin.StopFast, time.Minute))
	if err := source.Start(b.Context(), as, log, "", time.Minute); err == nil {
		b.Fatal("the source could be started before its pg_control had its name")
	}
	b.must(os.Rename(controlFile(target.Pgdata), controlFile(target.Pgdata)+".old"))
	b.must(os.Rename(controlFile(source.Pgdata)+".old", controlFile(source.Pgdata)))
	if err := target.Start(b.Context(), as, log, "", time.Minute); err == nil {
		b.Fatal("the target could be started beside the source")
	}
	b.must(source.Start(b.Context(), as, log, "", time.Minute))
	if diff := cmp.Diff(before, b.content(b.plan.Source)); diff != "" {
		b.Errorf("content of the source (-before +after):\n%s", diff)
	}
	for _, what := range []string{"serves", "is down for a moment"} {
		if _, err := b.worker.RetireCluster(b.Context(), b.plan.Source); upgrade.CauseOf(err) != upgrade.CauseServing {
			b.Errorf("retire the source, which %s again: %v", what, err)
		}
		if what == "serves" {
			b.must(source.Stop(b.Context(), as, pgbin.StopFast, time.Minute))
		}
	}
}

// beforeOutage is what an upgrade in place that fails must leave as it was.
type beforeOutage struct {
	content map[string][]string
	state   map[string][]string
}

// prepared makes the target, and notes how the source was before.
func (b *upgradeBed) prepared() beforeOutage {
	b.Helper()
	before := beforeOutage{b.content(b.plan.Source), b.sourceState()}
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	return before
}

// isAsBefore looks whether the source serves as if nothing had happened, now and when the upgrade is discarded.
func (b *upgradeBed) isAsBefore(before beforeOutage) {
	b.Helper()
	if diff := cmp.Diff(before.content, b.content(b.plan.Source)); diff != "" {
		b.Errorf("content (-before +after):\n%s", diff)
	}
	withTarget := maps.Clone(before.state)
	delete(withTarget, "beside")
	b.unchanged(withTarget)
	b.source.Exec(b, "shop", `INSERT INTO keyless VALUES (1, 'it writes')`, `DELETE FROM keyless`, `VACUUM`)
	b.step("DiscardInPlace", b.worker.DiscardInPlace)
	b.unchanged(before.state)
	spaces, err := os.ReadDir(filepath.Join(filepath.Dir(b.plan.Source.Pgdata), "aside"))
	b.must(err)
	if len(spaces) != 1 {
		b.Errorf("the tablespace holds %v", spaces)
	}
}

// A view of what the target's catalogs have no more is seen by no check of pg_upgrade's. The failure
// costs an outage, and names the object.
func TestInPlaceFailsWithinPgUpgrade(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	b.source.Exec(t, "shop", `CREATE VIEW health AS SELECT checkpoints_timed FROM pg_stat_bgwriter`)
	before := b.prepared()
	result := b.upgradeInPlace()
	t.Logf("reason: %s", result.Switchover.Reason)
	if result.Switchover.Switched {
		t.Fatal("upgraded, though the target cannot take a view")
	}
	for _, part := range []string{
		"Restoring database schemas", `VIEW "public.health"`, "in database shop", `checkpoints_timed does not exist`,
		`CREATE VIEW "public"."health" AS`, "change or drop that object",
	} {
		if !strings.Contains(result.Switchover.Reason, part) {
			t.Errorf("the reason lacks %q", part)
		}
	}
	b.isAsBefore(before)
	b.dumpFails()
}

// dumpFails is the same for what pg_dump cannot read of the source: a view whose function is gone from the catalogs.
func (b *upgradeBed) dumpFails() {
	b.Helper()
	b.plan.Number++
	b.source.Exec(b, "Depot's", `CREATE FUNCTION gone() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE VIEW torn AS SELECT gone()`,
		`SET allow_system_table_mods = on; DELETE FROM pg_proc WHERE proname = 'gone'`)
	before := b.prepared()
	result := b.upgradeInPlace()
	b.Logf("reason: %s", result.Switchover.Reason)
	for _, part := range []string{
		"Creating dump of database schemas in database Depot's: cache lookup failed for function", "the statement was: SELECT", "pg_get_viewdef",
		"run that statement on the source",
	} {
		if result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, part) {
			b.Errorf("the reason lacks %q", part)
		}
	}
	b.isAsBefore(before)
}

// What pg_upgrade's check knows costs no outage: the source runs all the time.
func TestInPlaceWithMissingLibrary(t *testing.T) {
	b := newInPlaceBed(t, upgrade.TransferAuto)
	library := filepath.Join(filepath.Dir(b.plan.Source.Pgdata), "own.so")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(b.plan.Source.Bindir), "lib", "hstore.so"))
	if err != nil {
		t.Skip(err)
	}
	b.must(os.WriteFile(library, text, 0o644))
	b.source.Exec(t, "shop", `CREATE FUNCTION own(text) RETURNS int LANGUAGE c AS '`+library+`', 'hstore_in'`)
	pid := b.source.Pid()
	_, err = b.worker.PrepareInPlace(t.Context(), b.plan)
	if err == nil || !strings.Contains(err.Error(), library) || !strings.Contains(err.Error(), "in database shop") || !strings.Contains(err.Error(), "install the package") {
		t.Errorf("prepare: %v", err)
	}
	if now := b.source.Pid(); now != pid {
		t.Errorf("the source was restarted: its pid was %d and is %d", pid, now)
	}
	b.step("DiscardInPlace", b.worker.DiscardInPlace)
}

// A configuration with which the target does not start is found in the outage only if no program could
// tell before. The target has not written then: the source is put back.
func TestInPlaceWhenTheTargetDoesNotStart(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferLink)
	before := b.prepared()
	conf, err := os.OpenFile(filepath.Join(stagedDir(b.plan), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	b.must(err)
	_, err = conf.WriteString("listen_addresses = '192.0.2.1'\nunix_socket_directories = '/nowhere'\n")
	b.must(errors.Join(err, conf.Close()))
	result := b.upgradeInPlace()
	if result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, "start:") {
		t.Fatalf("outcome: %+v", result.Switchover)
	}
	t.Logf("reason: %s", result.Switchover.Reason)
	b.isAsBefore(before)
}

// Clients of the endpoint wait; they see no error, and their session goes on.
func TestInPlaceClientsWait(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	b.plan.Options.Statistics = upgrade.StatisticsBefore
	bouncer := b.adoptBouncer()
	b.prepared()
	client := bouncer.Connect(t, "postgres", "shop")
	done, stop := make(chan int, 1), make(chan struct{})
	go func() {
		served := 0
		for {
			select {
			case <-stop:
				done <- served
				return
			default:
			}
			if _, err := client.Exec(t.Context(), `INSERT INTO keyless VALUES (1, 'x')`); err != nil {
				t.Errorf("a client saw an error after %d statements: %v", served, err)
				done <- served
				return
			}
			served++
		}
	}()
	result := b.upgradeInPlace()
	if !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	close(stop)
	served := <-done
	if got := b.ask(b.plan.Target, "shop", `SELECT count(*)::text FROM keyless`)[0]; got != strconv.Itoa(served) {
		t.Errorf("the target has %s rows, the client was told of %d", got, served)
	}
	if version := b.through(bouncer, `SHOW server_version_num`); !strings.HasPrefix(version, strconv.Itoa(int(b.plan.Target.Version.Major()))) {
		t.Errorf("clients are on %s", version)
	}
	analyzed := func() string {
		return b.ask(b.plan.Target, "shop", `SELECT analyze_count::text FROM pg_stat_user_tables WHERE relname = 'account'`)[0]
	}
	b.must(with(t.Context(), b.worker.host.Login(b.plan.Target, "shop"), func(conn *pgx.Conn) error {
		return noneMissing(t.Context(), conn, "shop", nil)
	}))
	before := analyzed()
	if b.plan.Target.Version.Major() < 18 && before != "1" {
		t.Errorf("a table was analyzed %s times while clients waited", before)
	}
	b.do("AnalyzeInPlace", b.worker.AnalyzeInPlace)
	if after := analyzed(); after != before {
		t.Errorf("a table was analyzed %s times before clients went on, and %s times in the end", before, after)
	}
}

// A transaction that does not end keeps the outage from beginning. The source was never stopped.
func TestInPlaceBlockedByTransaction(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferAuto)
	b.plan.Options.SwitchoverTimeout = time.Second
	bouncer := b.adoptBouncer()
	before := b.prepared()
	client := bouncer.Connect(t, "postgres", "shop")
	b.exec(client, `BEGIN`)
	b.exec(client, `INSERT INTO keyless VALUES (1, 'open')`)
	pid := b.source.Pid()
	result := b.upgradeInPlace()
	if result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, "user postgres in database shop") {
		t.Errorf("outcome: %+v", result.Switchover)
	}
	if now := b.source.Pid(); now != pid {
		t.Errorf("the source was restarted: its pid was %d and is %d", pid, now)
	}
	b.exec(client, `ROLLBACK`)
	b.isAsBefore(before)
}

// adoptBouncer puts a PgBouncer before the source.
func (b *upgradeBed) adoptBouncer() *pgtest.Bouncer {
	b.Helper()
	bouncer := pgtest.PgBouncer(b, pgtest.Target{Name: "shop", Cluster: b.source}, pgtest.Target{Name: "postgres", Cluster: b.source})
	b.plan.Endpoint = upgrade.Endpoint{
		Driver: upgrade.PgBouncer, Listen: upgrade.Address{Host: "127.0.0.1", Port: bouncer.Port},
		Console: upgrade.Address{Host: "127.0.0.1", Port: bouncer.Port}, ConsoleUser: "pgbouncer", Ini: bouncer.IniPath,
	}
	return bouncer
}

// through asks through the endpoint.
func (b *upgradeBed) through(bouncer *pgtest.Bouncer, query string) string {
	b.Helper()
	var answer string
	b.must(bouncer.Connect(b, "postgres", "shop").QueryRow(b.Context(), query).Scan(&answer))
	return answer
}

// swapBed is an upgrade to a version that can swap.
func swapBed(t *testing.T) *upgradeBed {
	t.Helper()
	pgtest.Slow(t)
	t.Setenv("PGLEAP_TEST_VERSIONS", "17,18")
	return newInPlaceBed(t, upgrade.TransferSwap)
}

func TestInPlaceSwapIsConfirmed(t *testing.T) {
	b := swapBed(t)
	_, err := b.worker.PrepareInPlace(t.Context(), b.plan)
	if err == nil || !strings.Contains(err.Error(), "--accept transfer:swap") {
		t.Errorf("prepare: %v", err)
	}
}

func TestInPlaceSwap(t *testing.T) {
	b := swapBed(t)
	b.plan.Options.Accepted = []string{upgrade.AcceptSwap}
	before := b.prepared()
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	if diff := cmp.Diff(before.content, b.content(b.plan.Target)); diff != "" {
		t.Errorf("content (-source +target):\n%s", diff)
	}
	b.sourceCannotStart()
}

// Until the files are moved, swap can be taken back as every transfer.
func TestInPlaceSwapFailsBeforeItBegins(t *testing.T) {
	b := swapBed(t)
	b.plan.Options.Accepted = []string{upgrade.AcceptSwap}
	b.source.Exec(t, "shop", `CREATE VIEW health AS SELECT wal_write FROM pg_stat_wal`)
	before := b.prepared()
	if result := b.upgradeInPlace(); result.Switchover.Switched || !strings.Contains(result.Switchover.Reason, `VIEW "public.health"`) {
		t.Errorf("outcome: %+v", result.Switchover)
	}
	b.isAsBefore(before)
}

// The target is made with what the source's pg_control and catalogs say, whatever that is.
func TestInitdbLikeTheSource(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	if versions[0] < 15 {
		t.Skip("ICU is a database's provider since 15")
	}
	b := newInPlaceBed(t, upgrade.TransferAuto)
	b.source = pgtest.Start(t, versions[0], pgtest.Superuser("boss"),
		pgtest.InitdbArgs("--data-checksums", "--wal-segsize=4", "--locale-provider=icu", "--icu-locale=de", "--allow-group-access"))
	cluster, err := b.worker.host.Inspect(t.Context(), step.InspectArgs{Pgdata: b.source.Pgdata, Superuser: "boss"})
	b.must(err)
	b.plan.Source, b.plan.Target.Superuser, b.plan.Target.Port = cluster, "boss", cluster.Port
	b.plan.Target.SocketDir = cluster.SocketDir
	b.source.Exec(t, "postgres", `CREATE TABLE words AS SELECT 'Äpfel' AS word`)
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	as, err := b.worker.caller(b.plan, "pg_controldata")
	b.must(err)
	control, err := pgbin.PgControldata(t.Context(), as, b.plan.Target.Bindir, b.plan.Target.Pgdata)
	b.must(err)
	if !control.DataChecksums || control.WALSegmentSize != 4<<20 {
		t.Errorf("checksums %t, WAL segments of %d bytes", control.DataChecksums, control.WALSegmentSize)
	}
	info, err := os.Stat(b.plan.Target.Pgdata)
	b.must(err)
	if info.Mode().Perm() != 0o750 {
		t.Errorf("the data directory has mode %s", info.Mode())
	}
}

// A source that was started with options, by a directory that has its configuration and leads to its data, is
// put back with both; the target has the options in its configuration.
func TestInPlaceOfSourceWithOptions(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferLink)
	user, err := owner(b.plan)
	b.must(err)
	elsewhere := filepath.Join(filepath.Dir(b.source.Pgdata), "etc")
	b.must(makeDir(elsewhere, user))
	b.source.Stop(t)
	for _, file := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		b.must(os.Rename(filepath.Join(b.source.Pgdata, file), filepath.Join(elsewhere, file)))
	}
	conf := filepath.Join(elsewhere, "postgresql.conf")
	b.must(writeOwned(conf, []byte(read(conf)+"data_directory = '"+b.source.Pgdata+"'\n"), user, 0o600))
	as, err := b.worker.caller(b.plan, "pg_ctl")
	b.must(err)
	log := filepath.Join(elsewhere, "server.log")
	server := pgbin.PgCtl{Bindir: b.source.Bindir, Pgdata: elsewhere}
	b.must(server.Start(t.Context(), as, log, pgbin.Options("cluster_name=it's prod", "work_mem=5MB"), time.Minute))
	b.plan.Source, err = b.worker.host.Inspect(t.Context(), step.InspectArgs{Pgdata: b.source.Pgdata})
	b.must(err)
	start, err := b.worker.howStarted(t.Context(), b.plan, user)
	b.must(err)
	if start.Log != log {
		t.Errorf("the source writes to %q, want %q", start.Log, log)
	}
	before := b.prepared()
	staged := filepath.Join(stagedDir(b.plan), "postgresql.conf")
	good := read(staged)
	b.must(writeOwned(staged, []byte(good+"listen_addresses = '192.0.2.1'\nunix_socket_directories = '/nowhere'\n"), user, 0o600))
	if result := b.upgradeInPlace(); result.Switchover.Switched {
		t.Fatal("the target was started")
	}
	b.isAsBefore(before)
	for query, want := range map[string]string{`SHOW cluster_name`: "it's prod", `SHOW config_file`: conf} {
		if got := b.ask(b.plan.Source, "shop", query)[0]; got != want {
			t.Errorf("the source was put back, and %s is %s, want %s", query, got, want)
		}
	}
	b.plan.Number++ // once more, without what failed: its options name its configuration by now
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	if got := b.ask(b.plan.Target, "shop", `SELECT current_setting('cluster_name') || ', ' || current_setting('work_mem')`)[0]; got != "it's prod, 5MB" {
		t.Errorf("the target has %s", got)
	}
}

// A disk that fills up while files are copied costs an outage; the source is put back, and the room freed.
func TestInPlaceOnFullDisk(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferCopy)
	small := b.targetOnSmallDisk()
	before := b.prepared()
	b.fill(small, 10<<20)
	result := b.upgradeInPlace()
	t.Logf("reason: %s", result.Switchover.Reason)
	if result.Switchover.Switched {
		t.Fatal("upgraded, though the disk is full")
	}
	if !strings.Contains(result.Switchover.Reason, "No space left on device") {
		t.Errorf("the reason does not tell that the disk is full: %s", result.Switchover.Reason)
	}
	if result.Switchover.Pause > 110*time.Second { // pg_upgrade itself would wait for two minutes
		t.Errorf("nobody served for %s", result.Switchover.Pause)
	}
	b.isAsBefore(before)
}

// A disk that source and target share has no room for the source's start either, once it is full: the target goes first.
func TestInPlaceOnOneFullDisk(t *testing.T) {
	pgtest.Slow(t)
	above, err := os.MkdirTemp("/tmp", "pgleap-") // every user can reach it
	if err == nil {
		err = os.Chmod(above, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(above) })
	small := smallDisk(t, filepath.Join(above, "small"))
	b := newUpgradeBedOf(t, nil, pgtest.Dir(filepath.Join(small, "data")))
	b.planInPlace(upgrade.TransferCopy)
	before := b.prepared()
	b.dieInPlace(inPlaceDeath{At: "pg_upgrade: " + pgbin.PhaseTransfer, PgUpgrade: true, Agent: true})
	kept := filepath.Join(small, "kept") // the room of the target's pg_control, which is removed first, is somebody else's
	b.must(os.Link(controlFile(b.plan.Target.Pgdata), kept))
	free := b.fill(small, 0)
	path, err := b.worker.outagePath(b.plan)
	b.must(err)
	b.must(b.worker.recoverOutageOnce(t.Context(), path))
	free()
	b.must(os.Remove(kept))
	if b.stage() != outageUndone {
		t.Errorf("the journal says %q", b.stage())
	}
	b.isAsBefore(before)
}

// targetOnSmallDisk has the target made in a small file system.
func (b *upgradeBed) targetOnSmallDisk() (small string) {
	b.Helper()
	small = smallDisk(b.T, filepath.Join(filepath.Dir(b.source.Pgdata), "small"))
	target, err := b.worker.host.ChooseTarget(b.Context(), step.ChooseTargetArgs{
		Source: b.plan.Source, Major: b.plan.Target.Version.Major(), Pgdata: filepath.Join(small, "target"),
	})
	b.must(err)
	target.Port = b.plan.Source.Port
	b.plan.Target = target
	return small
}

// smallDisk mounts a small file system at a path.
func smallDisk(t *testing.T, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=400m,mode=0777"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	return path
}

// fill leaves little room in a file system, or none, and returns what frees it.
func (b *upgradeBed) fill(small string, left int64) (free func()) {
	b.Helper()
	space, err := freeSpace(small)
	b.must(err)
	path := filepath.Join(small, "filler")
	filler, err := os.Create(path)
	b.must(err)
	if _, err = io.CopyN(filler, zeros{}, space.Bytes-left); errors.Is(err, syscall.ENOSPC) {
		err = nil // somebody else has taken a part of it
	}
	b.must(errors.Join(err, filler.Close()))
	return func() { b.must(os.Remove(path)) }
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
