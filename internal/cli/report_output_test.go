package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// saved is a server that has the report of a precheck.
func saved(t *testing.T, change func(*upgrade.Report)) {
	t.Helper()
	s := startServer(t)
	task := s.add(t, "orders")
	at := local(10, 0, 0)
	r := upgrade.Report{
		Number: task.Number, ID: task.ID, Instance: "orders", Mode: upgrade.ZeroDowntime, Source: 150012, Target: 170011,
		CheckedAt: at, ValidUntil: at.Add(upgrade.ReportValidity),
		Findings: []upgrade.Finding{{Check: "large-objects", Title: "Large <objects>", Severity: upgrade.Warning, Objects: []string{"app"}, Total: 1}},
	}
	change(&r)
	if err := s.record.SaveReport(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded})
}

func TestReportIsWrittenAgain(t *testing.T) {
	saved(t, func(*upgrade.Report) {})
	for output, want := range map[string]string{
		"table": "Passed: no blockers, 1 warning.", "json": `"passed": true`, "markdown": `### Large \<objects\>`, "html": "Large &lt;objects&gt;</h3>",
	} {
		if got := run(t, "precheck", "--report", "1", "--output", output); got.code != ExitOK || !strings.Contains(got.stdout, want) || strings.Contains(got.stdout, "\x1b") {
			t.Errorf("%s: ended with %d: %s%s", output, got.code, got.stdout, got.stderr)
		}
	}
	dir := t.TempDir()
	for name, want := range map[string]string{"r.html": "<!DOCTYPE html>", "r.md": "# Precheck of orders", "r.json": "{", "r.txt": "Report 1"} {
		file := filepath.Join(dir, name)
		got := run(t, "precheck", "--report", "1", "--file", file)
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: got %.40q, %v", name, text, err)
		}
		if want := "Passed: no blockers, 1 warning. The report is in " + file + ".\n"; got.code != ExitOK || got.stdout != want {
			t.Errorf("%s: ended with %d: %s%s", name, got.code, got.stdout, got.stderr)
		}
	}
}

// What a report comes to is the exit code.
func TestReportsExitCode(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*upgrade.Report)
		code   int
	}{
		{"a warning", func(*upgrade.Report) {}, ExitOK},
		{"a blocker", func(r *upgrade.Report) { r.Findings[0].Severity = upgrade.Blocker }, ExitFailed},
		{"something was not checked", func(r *upgrade.Report) { r.NotChecked = []string{"memory: no /proc"} }, ExitIncomplete},
		{"both", func(r *upgrade.Report) {
			r.Findings[0].Severity, r.NotChecked = upgrade.Blocker, []string{"memory: no /proc"}
		}, ExitFailed},
		{"valid no longer", func(r *upgrade.Report) { r.ValidUntil = time.Unix(0, 0) }, ExitOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			saved(t, test.change)
			got := run(t, "precheck", "--report", "1", "--output", "json")
			var document struct {
				Passed bool `json:"passed"`
			}
			if err := json.Unmarshal([]byte(got.stdout), &document); err != nil {
				t.Fatal(err)
			}
			if got.code != test.code || document.Passed != (test.code == ExitOK) {
				t.Errorf("ended with %d, passed: %t: %s", got.code, document.Passed, got.stderr)
			}
		})
	}
}

func TestPrecheckIsRefused(t *testing.T) {
	saved(t, func(*upgrade.Report) {})
	for want, args := range map[string][]string{
		"ID is missing":                        {"--to", "17"},
		"one argument too many":                {"orders", "--report", "1"},
		"does not tell the format":             {"--report", "1", "--file", "report"},
		"choose table, json, markdown or html": {"--report", "1", "--output", "pdf"},
		"the report cannot be written":         {"--report", "1", "--file", "/nosuch/report.html"},
		"report 9 does not exist":              {"--report", "9"},
		"--to VERSION is missing":              {"orders"},
		"--to and --report exclude each other": {"--report", "1", "--to", "17"},
	} {
		if got := run(t, append([]string{"precheck"}, args...)...); got.code != ExitRefused || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: ended with %d: %s", args, got.code, got.stderr)
		}
	}
}
