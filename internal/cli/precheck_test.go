package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A server that is not registered is checked without a server of ours.
func TestPrecheckOfAServer(t *testing.T) {
	t.Setenv("PGLEAP_STATE_DIR", t.TempDir())
	t.Setenv("PGLEAP_SERVER", "")
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	for _, test := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"a blocker", []string{"--dsn", source.DSN("postgres"), "--to", "30", "--mode", "in-place"}, ExitFailed, "a target of version 30 is not supported", "cannot be upgraded as it is"},
		{
			"nothing found, but not everything known",
			[]string{"--dsn", source.DSN("postgres"), "--to", "19", "--mode", "in-place", "--accept", "x:y", "--output", "json"},
			ExitIncomplete, `"passed": false`, "not everything could be checked",
		},
		{"nobody there", []string{"--dsn", "postgres://u:hidden@127.0.0.1:1/postgres", "--to", "19"}, ExitUnreachable, "", "the server cannot be checked: connect to 127.0.0.1:1"},
		{"unreadable", []string{"--dsn", "postgres://u:hidden@127.0.0.1:x/postgres", "--to", "19"}, ExitRefused, "", "cannot be read"},
		{"unknown mode", []string{"--dsn", source.DSN("postgres"), "--to", "19", "--mode", "fast"}, ExitRefused, "", `mode "fast" is unknown`},
		{"an instance too", []string{"orders", "--dsn", source.DSN("postgres"), "--to", "19"}, ExitRefused, "", "one argument too many"},
		{"a place for the target", []string{"--dsn", source.DSN("postgres"), "--to", "19", "--target-port", "1"}, ExitRefused, "", "--dsn and --target-port exclude each other"},
		{"programs, but no server", []string{"orders", "--target-bindir", "/x", "--to", "19"}, ExitRefused, "", "goes with --dsn only"},
		{"no programs", []string{"--dsn", source.DSN("postgres"), "--target-bindir", "/nosuch", "--to", "19"}, ExitRefused, "", "/nosuch has no programs of PostgreSQL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run(t, append([]string{"precheck"}, test.args...)...)
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("ended with %d: %s%s", got.code, got.stdout, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, "hidden") {
				t.Errorf("the password is told: %s%s", got.stdout, got.stderr)
			}
		})
	}
}

// A precheck is made for the options of the upgrade that is planned.
func TestPrecheckWithTheOptionsOfTheUpgrade(t *testing.T) {
	t.Setenv("PGLEAP_STATE_DIR", t.TempDir())
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	source.Exec(t, "postgres", "CREATE TABLE keyless (v int)")
	severity := func(options ...string) upgrade.Severity {
		t.Helper()
		got := run(t, append([]string{"precheck", "--dsn", source.DSN("postgres"), "--to", "19", "--output", "json"}, options...)...)
		var found upgrade.Report
		if err := json.Unmarshal([]byte(got.stdout), &found); err != nil {
			t.Fatalf("%v: %s%s", err, got.stdout, got.stderr)
		}
		for _, finding := range found.Findings {
			if finding.Check == "replica-identity" {
				return finding.Severity
			}
		}
		return ""
	}
	if got := severity(); got != upgrade.Blocker {
		t.Errorf("a table without a key is a %q", got)
	}
	if got := severity("--full-identity"); got == upgrade.Blocker {
		t.Error("a table without a key is a blocker of an upgrade that gives it an identity")
	}
}

// What pgx says in several lines is one sentence, and what it says of each attempt is told once.
func TestErrorsInOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"connect to h: no":                     "connect to h: no",
		"connect to h:\n\th: no\n\th: no":      "connect to h: h: no",
		"connect to h, i:\n\th: no\n\ti: full": "connect to h, i: h: no; i: full",
	} {
		if got := inOneLine(errors.New(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
