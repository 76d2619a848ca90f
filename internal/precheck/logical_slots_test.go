package precheck

import (
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A slot needs its plugin on the target, and the target's leave to load it.
func TestSlotsNeedTheirPlugins(t *testing.T) {
	s := pair(t)
	var library string
	conn := s.source.Connect(t, "postgres")
	err := conn.QueryRow(t.Context(), `SELECT setting || '/test_decoding' FROM pg_config WHERE name = 'PKGLIBDIR'`).Scan(&library)
	if err != nil {
		t.Fatal(err)
	}
	allow(t, s.source, library, "test_decoding")
	s.source.Exec(t, "postgres",
		`SELECT pg_create_logical_replication_slot('usual', 'test_decoding')`,
		`SELECT pg_create_logical_replication_slot('own', '`+library+`')`)
	look := func(accepted ...string) upgrade.Report {
		t.Helper()
		report, err := run(t.Context(), []Check{logicalSlots}, s.subject(t, upgrade.Options{Accepted: accepted}), time.Now())
		if err != nil || len(report.NotChecked) > 0 {
			t.Fatal(err, report.NotChecked)
		}
		return report
	}
	report := look()
	if len(report.Findings) != 2 || report.Passed() {
		t.Fatalf("got %+v", report.Findings)
	}
	blocker, warning := report.Findings[0], report.Findings[1]
	if blocker.Objects[0] != "own" || !strings.Contains(blocker.Notes[0], "inactive, the target does not have the plugin") {
		t.Errorf("got %+v", blocker)
	}
	if warning.Objects[0] != "usual" || !strings.Contains(warning.Notes[0], "database postgres, plugin test_decoding, inactive") {
		t.Errorf("got %+v", warning)
	}
	if report := look("logical-slots:own"); !report.Passed() {
		t.Errorf("accepted, but not passed: %+v", report.Findings)
	}
	if allow(t, s.target, "pgoutput") && !allow(t, s.source, library, "test_decoding") { // else the source's setting is carried over
		if note := look().Findings[1].Notes[0]; !strings.Contains(note, "add the plugin to output_plugin_libraries") {
			t.Errorf("got %s", note)
		}
	}
}

// allow lets a server load output plugins, if it has the setting for it: minors of August 2026 and later.
func allow(t *testing.T, c *pgtest.Cluster, plugins ...string) (has bool) {
	t.Helper()
	conn := c.Connect(t, "postgres")
	read := func() string {
		var list *string
		if err := conn.QueryRow(t.Context(), `SELECT current_setting('output_plugin_libraries', true)`).Scan(&list); err != nil {
			t.Fatal(err)
		}
		if has = list != nil; !has {
			return ""
		}
		return *list
	}
	want := strings.Join(plugins, ", ")
	if read(); !has {
		return false
	}
	if _, err := conn.Exec(t.Context(), `ALTER SYSTEM SET output_plugin_libraries = '`+strings.Join(plugins, "', '")+`'`); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); strings.ReplaceAll(read(), `"`, "") != want; {
		if _, err := conn.Exec(t.Context(), `SELECT pg_reload_conf()`); err != nil || time.Now().After(deadline) {
			t.Fatalf("output_plugin_libraries is %s: %v", read(), err)
		}
	}
	return true
}
