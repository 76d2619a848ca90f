package precheck

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// report runs one check on what the source's files say now.
func (s stage) report(t *testing.T, check Check) upgrade.Report {
	t.Helper()
	report, err := run(t.Context(), []Check{check}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil || len(report.NotChecked) > 0 {
		t.Fatal(err, report.NotChecked)
	}
	return report
}

// objectsOf lists the objects of all findings that are more than infos, and applies their SQL if told so.
func (s stage) objectsOf(t *testing.T, report upgrade.Report, apply bool) (objects []string) {
	t.Helper()
	return s.objects(t, apply, slices.DeleteFunc(slices.Clone(report.Findings), func(f upgrade.Finding) bool {
		return f.Severity == upgrade.Info
	}))
}

func (s stage) objects(t *testing.T, apply bool, findings []upgrade.Finding) (objects []string) {
	t.Helper()
	for _, f := range findings {
		objects = append(objects, f.Objects...)
		for _, remedy := range f.RemedySQL {
			if apply {
				s.source.Exec(t, remedy.Database, remedy.SQL)
			}
		}
	}
	if apply {
		s.source.Exec(t, "postgres", `SELECT pg_reload_conf()`)
	}
	return objects
}

func (s stage) autoConf() string { return filepath.Join(s.source.Pgdata, "postgresql.auto.conf") }

func TestConfiguration(t *testing.T) {
	for _, s := range stages(t) {
		t.Run(fmt.Sprintf("%d to %d", s.source.Major, s.target.Major), func(t *testing.T) {
			t.Run("dropped", s.testDropped)
			t.Run("invalid", s.testInvalid)
			t.Run("complaints", s.testComplaints)
			t.Run("defaults", s.testDefaults)
			t.Run("roles", s.testRoles)
		})
	}
}

// testDropped: what ALTER SYSTEM wrote and the target does not know is told, with a diff, until it is
// reset as printed.
func (s stage) testDropped(t *testing.T) {
	settings := map[string]string{"operator_precedence_warning": "on", "old_snapshot_threshold": "60", "escape_string_warning": "off"}
	known := s.configuration(t).Known
	name := ""
	for candidate := range settings {
		var knows bool
		err := s.source.Connect(t, "postgres").QueryRow(t.Context(), `SELECT count(*) = 1 FROM pg_settings WHERE name = $1`, candidate).Scan(&knows)
		if err != nil {
			t.Fatal(err)
		}
		if knows && !known(candidate) {
			name = candidate
		}
	}
	if name == "" {
		t.Skipf("no setting of %d is gone in %d", s.source.Major, s.target.Major)
	}
	defer s.source.Exec(t, "postgres", `ALTER SYSTEM RESET ALL`)
	s.source.Exec(t, "postgres", fmt.Sprintf(`ALTER SYSTEM SET %s = %s`, name, settings[name]))
	report := s.report(t, configuration)
	place := s.autoConf() + ":3"
	objects := s.objectsOf(t, report, false)
	if len(objects) != 1 || !strings.HasPrefix(objects[0], name+" (dropped, "+place+": PostgreSQL ") {
		t.Fatalf("got %q", objects)
	}
	if report.Findings[0].Severity != upgrade.Warning {
		t.Errorf("a %s", report.Findings[0].Severity)
	}
	i := slices.IndexFunc(report.Configuration.Changes, func(c upgrade.ConfigurationChange) bool { return c.Name == name })
	change := report.Configuration.Changes[i]
	change.Reason = ""
	want := upgrade.ConfigurationChange{Kind: upgrade.ConfigurationDropped, Name: name, Where: place, From: settings[name]}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	if line := fmt.Sprintf("@@ -3 +3,2 @@\n-%s = %s\n+# pgleap: ", name, settings[name]); !strings.Contains(report.Configuration.Diff, line) {
		t.Errorf("the diff lacks %q:\n%s", line, report.Configuration.Diff)
	}
	s.objectsOf(t, report, true)
	if left := s.objectsOf(t, s.report(t, configuration), false); len(left) > 0 {
		t.Errorf("after the remedy: still found %q", left)
	}
}

// testInvalid: somebody wrote a value into the file that no server takes, and has not reloaded it yet.
func (s stage) testInvalid(t *testing.T) {
	text, err := os.ReadFile(s.autoConf())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.autoConf(), append(text, "work_mem = '1kB'\nmy.own = 'x'\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	defer s.source.Exec(t, "postgres", `ALTER SYSTEM RESET ALL`)
	report := s.report(t, configurationInvalid)
	want := []string{fmt.Sprintf("work_mem (%s:3: 1kB: it takes only 64kB to 2147483647kB)", s.autoConf())}
	if got := s.objectsOf(t, report, false); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if report.Passed() {
		t.Error("the report passes")
	}
	s.objectsOf(t, report, true)
	if left := s.objectsOf(t, s.report(t, configurationInvalid), false); len(left) > 0 {
		t.Errorf("after the remedy: still found %q", left)
	}
}

// testComplaints: what the target's programs said is told of the setting it is about, once, and without
// values that may be secrets.
func (s stage) testComplaints(t *testing.T) {
	s.source.Exec(t, "postgres", `ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', 'no_such_library'`)
	defer s.source.Exec(t, "postgres", `ALTER SYSTEM RESET ALL`)
	subject := s.subject(t, upgrade.Options{})
	subject.Host.Configuration.Value.Complaints = []string{
		`could not access file "no_such_library": No such file or directory`,
		`invalid value for parameter "TimeZone": "Nowhere"`,
		`invalid value for parameter "my.own": "hunter2"`,
		`could not load /etc/pg_hba.conf`,
	}
	report, err := run(t.Context(), []Check{configurationInvalid}, subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	zone, ok := subject.Host.Configuration.Value.Tree.Get("timezone")
	if !ok {
		t.Fatal("initdb has written no timezone")
	}
	want := []string{
		fmt.Sprintf(`shared_preload_libraries (%s:3: could not access file "no_such_library": No such file or directory)`, s.autoConf()),
		fmt.Sprintf(`TimeZone (%s: invalid value for parameter "TimeZone": "Nowhere")`, zone.Place()),
		"my.own (the target refuses its value)",
		"start of the target (could not load /etc/pg_hba.conf)",
	}
	if diff := cmp.Diff(want, s.objectsOf(t, report, false)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if sql := report.Findings[0].RemedySQL; len(sql) != 1 || sql[0].SQL != "ALTER SYSTEM RESET shared_preload_libraries" {
		t.Errorf("remedy: got %v", sql)
	}
}

// testDefaults: each default that differs can be kept with the SQL as printed.
func (s stage) testDefaults(t *testing.T) {
	defer s.source.Exec(t, "postgres", `ALTER SYSTEM RESET ALL`)
	var want []string
	for _, changed := range []struct {
		since int
		text  string
	}{
		{14, "checkpoint_completion_target (0.5 becomes 0.9: "},
		{14, "password_encryption (md5 becomes scram-sha-256: "},
		{15, "hash_mem_multiplier (1 becomes 2: "},
		{18, "effective_io_concurrency (1 becomes 16: "},
		{18, "io_method (new, worker: "},
		{19, "jit (on becomes off: "},
		{19, "default_toast_compression (pglz becomes lz4: "},
		{19, "max_locks_per_transaction (64 becomes 128: "},
	} {
		if s.source.Major < changed.since && changed.since <= s.target.Major {
			if changed.since == 19 && strings.HasPrefix(changed.text, "default_toast") && s.source.Major < 14 {
				continue // 13 has no such setting
			}
			want = append(want, changed.text)
		}
	}
	report := s.report(t, defaults)
	found := s.objects(t, true, report.Findings)
	for _, prefix := range want {
		if !slices.ContainsFunc(found, func(o string) bool { return strings.HasPrefix(o, prefix) }) {
			t.Errorf("%q is not told: %q", prefix, found)
		}
	}
	if len(want) == 0 && len(found) > 0 {
		t.Errorf("nothing has changed, but found %q", found)
	}
	for _, f := range report.Findings {
		if f.Severity == upgrade.Blocker {
			t.Errorf("a default blocks: %v", f.Objects)
		}
	}
	for _, object := range s.objects(t, false, s.report(t, defaults).Findings) {
		if !strings.Contains(object, "(new, ") {
			t.Errorf("after the remedy: still found %s", object)
		}
	}
}

// testRoles: what the target refuses of a role is in the report, with what it would be called there.
func (s stage) testRoles(t *testing.T) {
	if s.source.Major >= 16 || s.target.Major < 16 {
		t.Skip("force_parallel_mode was renamed in 16")
	}
	s.source.Exec(t, "postgres", `CREATE ROLE guest; ALTER ROLE guest SET force_parallel_mode = on`)
	defer s.source.Exec(t, "postgres", `DROP ROLE guest`)
	report := s.report(t, roleSettings)
	i := slices.IndexFunc(report.Configuration.Changes, func(c upgrade.ConfigurationChange) bool { return c.Where == "role guest" })
	if i < 0 {
		t.Fatalf("not in the report: %+v", report.Configuration.Changes)
	}
	want := upgrade.ConfigurationChange{
		Kind: upgrade.ConfigurationRenamed, Name: "force_parallel_mode", Where: "role guest", From: "on", To: "debug_parallel_query = on",
		Reason: `unrecognized configuration parameter "force_parallel_mode"`,
	}
	if diff := cmp.Diff(want, report.Configuration.Changes[i]); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
}

// TestConfigurationOutOfReach: without the files nothing is taken for granted.
func TestConfigurationOutOfReach(t *testing.T) {
	s := pair(t)
	subject := s.subject(t, upgrade.Options{})
	subject.Host.Configuration = Measured[Configuration]{}
	report, err := run(t.Context(), []Check{configuration, configurationInvalid, defaults}, subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed() || len(report.NotChecked) != 3 || report.Configuration != nil {
		t.Errorf("got %+v", report)
	}
}

func TestShortened(t *testing.T) {
	line := strings.Repeat("+", 999) + "\n"
	for _, test := range []struct {
		diff string
		want string
	}{
		{line, line},
		{strings.Repeat(line, 100), strings.Repeat(line, 65) + "# the rest is left out\n"},
	} {
		if got := shortened(test.diff); got != test.want {
			t.Errorf("%d bytes became %d, want %d", len(test.diff), len(got), len(test.want))
		}
	}
}
