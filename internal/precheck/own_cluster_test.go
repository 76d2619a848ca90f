package precheck

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// objectsBy runs checks and returns what each found; everything could be checked.
func objectsBy(t *testing.T, subject Subject, checks ...Check) map[string][]string {
	t.Helper()
	report, err := run(t.Context(), checks, subject, time.Now())
	if err != nil || len(report.NotChecked) > 0 {
		t.Fatal(err, report.NotChecked)
	}
	objects := map[string][]string{}
	for _, f := range report.Findings {
		objects[f.Check] = append(objects[f.Check], f.Objects...)
	}
	return objects
}

func expectObjects(t *testing.T, when string, want, got map[string][]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestSourceWithOtherPlansAndTargets(t *testing.T) {
	pgtest.Slow(t)
	s := pair(t)
	t.Run("what the plan and the host say", s.testPlanAndHost)
	t.Run("what the kernel says", s.testHost)
	t.Run("a target of another build", s.testBuild)
	t.Run("extensions that cannot be made", s.testExtensionScripts)
	t.Run("other rules of sorting", s.testSameRules)
	t.Run("other time zones", s.testTimeZones)
}

// testPlanAndHost: what the plan says, or the host has, is judged with what a real server tells; the remedy is another
// plan or host.
func (s stage) testPlanAndHost(t *testing.T) {
	subject := s.subject(t, upgrade.Options{})
	target := subject.Plan.Target.Version
	var source int
	if err := s.source.Connect(t, "postgres").QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&source); err != nil {
		t.Fatal(err)
	}
	checks := []Check{versions, targetMinor, endpoint}
	subject.Plan.Target.Version = upgrade.VersionNum(source)
	subject.Plan.Endpoint = upgrade.Endpoint{}
	both := fmt.Sprintf("%[1]s to %[1]s (the target is not newer)", upgrade.VersionNum(source))
	expectObjects(t, "found", map[string][]string{"versions": {both}, "endpoint": {"shop"}}, objectsBy(t, subject, checks...))

	subject.Plan.Target.Version = 170004
	if source < 170004 {
		expectObjects(t, "an old minor release", map[string][]string{"target-minor": {"17.4 (17.5 or later is needed)"}}, objectsBy(t, subject, targetMinor))
	}
	mended := s.subject(t, upgrade.Options{})
	mended.Plan.Target.Version = target
	expectObjects(t, "mended", map[string][]string{}, objectsBy(t, mended, checks...))

	// The source itself is of an old minor release, or it is not.
	want := map[string][]string{}
	if first := decodesWell(upgrade.VersionNum(source).Major()); upgrade.VersionNum(source) < first {
		want["source-minor"] = []string{fmt.Sprintf("%s (%s or later is advised)", upgrade.VersionNum(source), first)}
	}
	expectObjects(t, "source", want, objectsBy(t, mended, sourceMinor))
}

// testHost: what the kernel says of the host, judged with the settings of a real server, and the host that is mended.
func (s stage) testHost(t *testing.T) {
	checks := []Check{accessControl, clock}
	subject := s.subject(t, upgrade.Options{})
	subject.Plan.Mode = upgrade.InPlace
	expectObjects(t, "nothing is wrong", map[string][]string{}, objectsBy(t, subject, checks...))
	expectObjects(t, "WAL is not archived", map[string][]string{"last-backup": {"base backup"}}, objectsBy(t, subject, lastBackup))
	expectObjects(t, "the source stays", map[string][]string{}, objectsBy(t, s.subject(t, upgrade.Options{}), lastBackup))
	subject.Host.AccessControl = Known(AccessControl{
		Module: "SELinux", Enforcing: true, Confines: "postgresql_t", SourceType: "postgresql_db_t", TargetType: "default_t", TargetDir: "/it's here",
	}, nil)
	subject.Host.ClockAdrift = Known(true, nil)
	report, err := run(t.Context(), checks, subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range report.Findings {
		found[f.Check] = string(f.Severity) + ": " + strings.Join(f.Objects, ", ")
		if f.Acceptable {
			found[f.Check] += ": " + strings.Join(f.Notes, ", ")
		}
	}
	for check, begins := range map[string]string{
		"access-control": `warning: /it's here: of type default_t, the source's data directory is of type postgresql_db_t: ` +
			`semanage fcontext -a -t postgresql_db_t '/it'\''s here(/.*)?'; restorecon -Rv '/it'\''s here'`,
		"clock": "info: clock of the host",
	} {
		if !strings.HasPrefix(found[check], begins) {
			t.Errorf("%s: got %s, want %s", check, found[check], begins)
		}
	}
	for name, fine := range map[string]Host{
		"a source that has no more":        {OpenFiles: Known(OpenFiles{Source: 512, Target: 512}, nil)},
		"as many as the server opens":      {OpenFiles: Known(OpenFiles{Source: 524288, Target: 1000}, nil)},
		"SELinux only notes":               {AccessControl: Known(AccessControl{Module: "SELinux", Confines: "postgresql_t", SourceType: "a", TargetType: "b"}, nil)},
		"the source is not confined":       {AccessControl: Known(AccessControl{Module: "SELinux", Enforcing: true, Confines: "unconfined_service_t", SourceType: "a", TargetType: "b"}, nil)},
		"the place has the right label":    {AccessControl: Known(AccessControl{Module: "SELinux", Enforcing: true, Confines: "postgresql_t", SourceType: "a", TargetType: "a"}, nil)},
		"AppArmor leaves the source alone": {AccessControl: Known(AccessControl{Module: "AppArmor", Confines: "unconfined"}, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			subject := s.subject(t, upgrade.Options{})
			subject.Host.OpenFiles, subject.Host.AccessControl = fine.OpenFiles, fine.AccessControl
			expectObjects(t, "found", map[string][]string{}, objectsBy(t, subject, openFiles, accessControl))
		})
	}
}

// testTimeZones: the target is started where two files of the operating system are other ones, which nobody else sees.
func (s stage) testTimeZones(t *testing.T) {
	const missing, moved = "Africa/Monrovia", "Africa/Ndjamena"
	look := func() (seen []string) {
		t.Helper()
		for _, object := range objectsBy(t, s.subject(t, upgrade.Options{}), timeZones)[timeZones.ID] {
			if strings.HasPrefix(object, missing) || strings.HasPrefix(object, moved) {
				seen = append(seen, object)
			}
		}
		return seen
	}
	if seen := look(); len(seen) > 0 {
		t.Fatalf("the servers' own files differ: %q", seen)
	}
	s.target.Stop(t)
	start := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", `
		cd /usr/share/zoneinfo
		mount --bind /dev/null "$1"
		mount --bind Asia/Tokyo "$2"
		cd /
		exec setpriv --reuid "$3" --regid "$3" --clear-groups "$4/pg_ctl" start --wait --silent --pgdata "$5" --log /dev/null`,
		"sh", missing, moved, s.target.Owner, s.target.Bindir, s.target.Pgdata)
	output, err := start.CombinedOutput()
	defer s.target.Restart(t)
	if err != nil {
		t.Skipf("cannot mount files for one server: %v\n%s", err, output)
	}
	want := []string{missing + " (missing)", moved + " (now 01:00:00 on the source, 09:00:00 on the target)"}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	s.target.Restart(t) // with the same files
	if seen := look(); len(seen) > 0 {
		t.Errorf("mended: still found %q", seen)
	}
}

// testBuild: a target that was built, or made, in another way, and the target that the remedy names.
func (s stage) testBuild(t *testing.T) {
	odd := stage{s.source, pgtest.Start(t, s.target.Major, pgtest.InitdbArgs("--wal-segsize=1", "--data-checksums"))}
	expectObjects(t, "found", map[string][]string{
		"build": {"wal_segment_size = 16777216 (the target has 1048576)", "data_checksums = off (the target has on)"},
	}, objectsBy(t, odd.subject(t, upgrade.Options{}), build))
	expectObjects(t, "built alike", map[string][]string{}, objectsBy(t, s.subject(t, upgrade.Options{}), build))
}

// testExtensionScripts: the target has the extension's files, but not the place that its script wants.
func (s stage) testExtensionScripts(t *testing.T) {
	s.source.CreateDatabase(t, "My shop")
	s.source.Exec(t, "My shop", `CREATE EXTENSION hstore`)
	s.target.Exec(t, "postgres", `CREATE TYPE public.hstore AS (a int)`)
	subject := s.subject(t, upgrade.Options{})
	expectObjects(t, "found", map[string][]string{
		"extension-scripts": {`"My shop".hstore (type "hstore" already exists)`},
	}, objectsBy(t, subject, extensionScripts))
	s.target.Exec(t, "postgres", `DROP TYPE public.hstore`)
	expectObjects(t, "mended", map[string][]string{}, objectsBy(t, subject, extensionScripts))
}

// testSameRules: the target's library is another one, or is taken for one, until it is taken for that of the source.
func (s stage) testSameRules(t *testing.T) {
	s.source.CreateDatabase(t, "sorted")
	s.source.Exec(t, "sorted", `CREATE TABLE t (name text COLLATE "en-x-icu")`, `CREATE INDEX `+oddName+` ON t (name)`)
	var version, ofTarget string
	const actual = `SELECT pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'en-x-icu'`
	if err := s.source.Connect(t, "sorted").QueryRow(t.Context(), actual).Scan(&version); err != nil {
		t.Fatal(err)
	}
	if err := s.target.Connect(t, "postgres").QueryRow(t.Context(), actual).Scan(&ofTarget); err != nil {
		t.Fatal(err)
	}
	look := func() map[string][]string {
		t.Helper()
		got := objectsBy(t, s.subject(t, upgrade.Options{}), collationVersions, collationIndexes)
		for check, objects := range got {
			got[check] = slices.DeleteFunc(objects, func(o string) bool { return !strings.HasPrefix(o, "sorted.") })
		}
		return got
	}
	differ := map[string][]string{
		"collation-versions": {`sorted.pg_catalog."en-x-icu"`}, "collation-indexes": {`sorted.public.` + oddName + ` (index of public.t)`},
	}
	if version != ofTarget { // the servers' own libraries, as 15's and 17's of Debian
		expectObjects(t, "found", differ, look())
	}
	// The probes are copies of template0.
	s.target.Exec(t, "postgres", `ALTER DATABASE template0 ALLOW_CONNECTIONS true`)
	conn := connect(t, s.target, "template0")
	execute(t, conn, `ALTER FUNCTION pg_catalog.pg_collation_actual_version(oid) RENAME TO pg_collation_actual_version_real`)
	tell := func(version string) {
		t.Helper()
		execute(t, conn, `CREATE OR REPLACE FUNCTION pg_catalog.pg_collation_actual_version(oid) RETURNS text LANGUAGE sql AS `+quoteLiteral("SELECT "+quoteLiteral(version)+"::text"))
	}
	tell("0.1")
	conn.Close(t.Context()) // who is connected keeps others from copying
	expectObjects(t, "found", differ, look())
	conn = connect(t, s.target, "template0")
	tell(version)
	conn.Close(t.Context())
	expectObjects(t, "with the same library", map[string][]string{}, look())
}

// Before 15 a database has no version of its own: that of the library is asked for.
func TestVersionOfTheRulesBefore15(t *testing.T) {
	old := pgtest.Versions(t)[0]
	if old >= 15 {
		t.Skipf("%d is the oldest version under test: databases have a version there", old)
	}
	c := pgtest.Start(t, old)
	c.Exec(t, "postgres", `ALTER DATABASE template0 ALLOW_CONNECTIONS true`)
	conn := connect(t, c, "template0") // which the probe is a copy of
	execute(t, conn, `ALTER FUNCTION pg_catalog.pg_collation_actual_version(oid) RENAME TO pg_collation_actual_version_real`)
	execute(t, conn, `CREATE FUNCTION pg_catalog.pg_collation_actual_version(oid) RETURNS text LANGUAGE sql AS $$ SELECT '0.1'::text $$`)
	conn.Close(t.Context())
	f, err := gather(t.Context(), c.Connect(t, "postgres"), stage{c, c}.subject(t, upgrade.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(t.Context())
	p, err := f.probe(t.Context(), f.Databases[0])
	if err != nil || p.version != "0.1" {
		t.Errorf("got version %q, %v", p.version, err)
	}
}

// What the source is started with, and what takes a restart to mend.
func TestServerThatIsTuned(t *testing.T) {
	pgtest.Slow(t)
	versions := pgtest.Versions(t)
	// A library of ours passes for pg_cron's: it does no harm.
	libraries, err := os.MkdirTemp("/tmp", "pgleap-libraries-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(libraries) })
	if err := os.Chmod(libraries, 0o755); err != nil {
		t.Fatal(err)
	}
	target := pgtest.Start(t, versions[len(versions)-1])
	first := pgtest.Start(t, versions[0])
	var real string
	if err := first.Connect(t, "postgres").QueryRow(t.Context(), `SELECT setting || '/auto_explain.so' FROM pg_config WHERE name = 'PKGLIBDIR'`).Scan(&real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(libraries, "pg_cron.so")); err != nil {
		t.Fatal(err)
	}
	first.Exec(t, "postgres", `ALTER SYSTEM SET dynamic_library_path = '`+libraries+`:$libdir'`, `ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', 'pg_cron'`,
		`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`)
	first.Restart(t)
	s := stage{first, target}
	checks := []Check{backgroundExtensions, preloadedLibraries, dataChecksums}
	expectObjects(t, "found", map[string][]string{
		"background-extensions": {"pg_cron"}, "preloaded-libraries": {"pg_cron (shared_preload_libraries)"},
		"data-checksums": {"data_checksums = off"},
	}, objectsBy(t, s.subject(t, upgrade.Options{}), checks...))

	s.source.Exec(t, "postgres", `ALTER SYSTEM SET shared_preload_libraries = 'auto_explain'`)
	s.source.Stop(t)
	s.asOwner(t, "pg_checksums", "--enable", "--no-sync", "-D", s.source.Pgdata)
	s.source.Restart(t)
	expectObjects(t, "mended", map[string][]string{}, objectsBy(t, s.subject(t, upgrade.Options{}), checks...))
	t.Run("a slot that is lost", s.testLostSlot)
	t.Run("a standby", s.testStandby)
}

// testLostSlot: a slot that has lost the WAL it needs is of use to nobody.
func (s stage) testLostSlot(t *testing.T) {
	s.source.Exec(t, "postgres", `SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')`)
	for range 3 {
		s.source.Exec(t, "postgres", `SELECT pg_current_xact_id()`, `SELECT pg_switch_wal()`)
	}
	s.source.Exec(t, "postgres", `CHECKPOINT`)
	until(t, s.source, `SELECT wal_status = 'lost' FROM pg_replication_slots`)
	s.mendsAsPrinted(t, foreignConsumers, upgrade.InPlace, "logical slot cdc")
}

// testStandby: a standby becomes a source when it is promoted.
func (s stage) testStandby(t *testing.T) {
	s.source.Stop(t)
	writeAs(t, s.source.Pgdata+"/PG_VERSION", s.source.Pgdata+"/standby.signal")
	s.source.Restart(t)
	subject := s.subject(t, upgrade.Options{})
	expectObjects(t, "found", map[string][]string{"recovery": {"pg_is_in_recovery()"}}, objectsBy(t, subject, recovery))
	s.source.Exec(t, "postgres", `SELECT pg_promote()`)
	expectObjects(t, "promoted", map[string][]string{}, objectsBy(t, subject, recovery))
}

// asOwner runs a program of the source's version as the cluster's owner, as a DBA would.
func (s stage) asOwner(t *testing.T, program string, args ...string) {
	t.Helper()
	path := filepath.Join(s.source.Bindir, program)
	cmd := exec.CommandContext(t.Context(), path, args...)
	if os.Geteuid() == 0 {
		cmd = exec.CommandContext(t.Context(), "setpriv", append([]string{"--reuid", s.source.Owner, "--regid", s.source.Owner, "--clear-groups", path}, args...)...)
	}
	cmd.Dir = "/"
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, output)
	}
}

// Transactions are not used up one by one: pg_resetwal says that they have been.
func TestServerNearWraparound(t *testing.T) {
	pgtest.Slow(t)
	s := pair(t, pgtest.Config(map[string]string{"autovacuum": "off", "autovacuum_freeze_max_age": "2000000000"}))
	s.source.CreateDatabase(t, "My shop")
	s.source.Stop(t)
	const next = 1_200_000_000
	// A segment of pg_xact holds 32 pages of 8192 bytes with four transactions each; the new one's is not there yet.
	segment := filepath.Join(s.source.Pgdata, "pg_xact", fmt.Sprintf("%04X", next/(32*8192*4)))
	writeAs(t, filepath.Join(s.source.Pgdata, "PG_VERSION"), segment)
	if err := os.Truncate(segment, 32*8192); err != nil {
		t.Fatal(err)
	}
	s.asOwner(t, "pg_resetwal", "-f", "-x", fmt.Sprint(next), "-D", s.source.Pgdata)
	s.source.Restart(t)
	check := xidAge(1_000_000_000, 1_800_000_000)
	databases := func(objects map[string][]string) (names []string) {
		for _, object := range objects[check.ID] {
			name, age, ok := strings.Cut(object, " (age ")
			if !ok || len(age) != len("1199999999)") {
				t.Errorf("got %s", object)
			}
			names = append(names, name)
		}
		return names
	}
	subject := s.subject(t, upgrade.Options{})
	all := []string{`"My shop"`, "postgres", "template0", "template1"}
	if diff := cmp.Diff(all, databases(objectsBy(t, subject, check))); diff != "" {
		t.Fatalf("found (-want +got):\n%s", diff)
	}
	if blocked := objectsBy(t, subject, xidAge(1, 1)); len(blocked[check.ID]) != 4 {
		t.Errorf("with lower limits: got %v", blocked)
	}
	s.source.Exec(t, "postgres", `ALTER DATABASE template0 ALLOW_CONNECTIONS true`)
	report, err := run(t.Context(), []Check{check}, subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, remedy := range report.Findings[0].RemedySQL {
		s.source.Exec(t, remedy.Database, remedy.SQL)
	}
	expectObjects(t, "mended", map[string][]string{}, objectsBy(t, subject, check))
}

// Until 13.17 and its like a partition that is detached loses part of its foreign key.
func TestForeignKeyThatAnOldMinorReleaseBreaks(t *testing.T) {
	pgtest.Slow(t)
	s := pair(t)
	if s.source.Major > 13 {
		t.Skipf("PostgreSQL %d here has the fix", s.source.Major)
	}
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)`,
		`CREATE TABLE "R x" (id int CONSTRAINT "a ""key" REFERENCES p) PARTITION BY RANGE (id)`, `CREATE TABLE "R 1" PARTITION OF "R x" FOR VALUES FROM (0) TO (9)`,
		`ALTER TABLE "R x" DETACH PARTITION "R 1"`)
	subject := s.subject(t, upgrade.Options{})
	found := objectsBy(t, subject, partitionForeignKeys)
	if len(found) == 0 {
		t.Skip("this minor release has the fix")
	}
	s.mendsAsPrinted(t, partitionForeignKeys, upgrade.InPlace, `shop.public."R 1"."a ""key"`)
	if err := tryStatement(t, s, `INSERT INTO "R 1" VALUES (5)`); err == nil {
		t.Error("the foreign key is not enforced")
	}
}

func tryStatement(t *testing.T, s stage, sql string) error {
	t.Helper()
	_, err := s.source.Connect(t, "shop").Exec(t.Context(), sql)
	return err
}

// The limit is the server's: a row that is found cannot be decoded.
func TestRowsThatAreTooLongAreNotSent(t *testing.T) {
	pgtest.Slow(t)
	s := pair(t)
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", `CREATE TABLE photo (id int PRIMARY KEY, p bytea)`,
		`CREATE PUBLICATION photos FOR TABLE photo`, `SELECT pg_create_logical_replication_slot('photos', 'pgoutput')`,
		`INSERT INTO photo SELECT 1, convert_to(repeat('x', 540000000), 'UTF8')`, `VACUUM photo`)
	const decode = `SELECT sum(length(data)) FROM pg_logical_slot_get_binary_changes('photos', NULL, NULL, 'proto_version', '1', 'publication_names', 'photos')`
	subject := s.subject(t, upgrade.Options{})
	expectObjects(t, "found", map[string][]string{"large-values": {"shop.public.photo"}}, objectsBy(t, subject, largeValues(maxAlloc)))
	if err := tryStatement(t, s, decode); err == nil || !strings.Contains(err.Error(), "invalid memory alloc request size") {
		t.Errorf("it is decoded, with error %v", err)
	}
	s.source.Exec(t, "shop", `DELETE FROM photo`)
	expectObjects(t, "mended", map[string][]string{}, objectsBy(t, subject, largeValues(maxAlloc)))
}
