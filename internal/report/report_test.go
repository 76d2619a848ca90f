package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest/golden"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func many(format string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}

// blocked has a finding of each kind, and names as somebody might choose them who means no good.
func blocked() upgrade.Report {
	at := time.Date(2026, 3, 1, 11, 58, 30, 0, time.UTC)
	keys := make([]upgrade.RemedySQL, 0, upgrade.MaxObjects)
	for _, table := range many("public.t%d", upgrade.MaxObjects) {
		keys = append(keys, upgrade.RemedySQL{Database: "app", SQL: "ALTER TABLE " + table + " REPLICA IDENTITY FULL"})
	}
	return upgrade.Report{
		Number: 4, ID: "3d0f1c7e-3a39-4a4e-9a5f-0d6a3c0b7f55", Instance: "orders", Mode: upgrade.ZeroDowntime,
		Source: 150012, Target: 170011, Fingerprint: "f00d", CheckedAt: at, ValidUntil: at.Add(upgrade.ReportValidity),
		Findings: []upgrade.Finding{
			{
				Check: "replica-identity", Title: "Tables without a replica identity", Severity: upgrade.Blocker, Total: 120,
				Objects: many("app.public.t%d", upgrade.MaxObjects), RemedySQL: keys,
				Why:    "Updates and deletes name a row by its replica identity: by default, its primary key. A table that has none cannot be replicated, and with a publication it refuses updates and deletes altogether.",
				Remedy: "Give each a primary key, or:",
			},
			{
				Check: "function-settings", Title: "Settings of functions are unknown to the target", Severity: upgrade.Blocker, Total: 4,
				Objects: []string{
					`app.public."<script>alert(1)</script>"(integer) (a & b: unrecognized)`, "app.public.\"tick`s ``and`\"()",
					"app.public.\"red \x1b[31m\u202etxt\"()", "app.public.\"two\nlines  here\"()",
				},
				Why: "Parameters are removed between major versions: see pg_upgrade's *notes* and <b>this</b>.", Remedy: "Reset the setting [of the function].",
				RemedySQL: []upgrade.RemedySQL{
					{Database: "app", SQL: `ALTER ROUTINE public."<script>alert(1)</script>"(integer) RESET a`},
					{Database: "app", SQL: "ALTER ROUTINE public.\"tick```s\"()\n    RESET a;"},
					{Database: `"Die & das"`, SQL: `ALTER ROUTINE f() RESET a`},
				},
			},
			{
				Check: "unlogged-tables", Title: "Unlogged tables", Severity: upgrade.Blocker, Total: 1,
				Objects: []string{`app.public."it's"`}, Notes: []string{"8192 bytes"}, Acceptable: true, Why: "Their rows are not carried over.", Remedy: "Make them logged.",
			},
			{
				Check: "large-objects", Title: "Large objects", Severity: upgrade.Warning, Total: 1,
				Objects: []string{"app"}, Acceptable: true, Accepted: true, Why: "They are not carried over.", Remedy: "Copy them.",
			},
			{Check: "versions", Title: "PostgreSQL 15.12 is to become 17.11", Severity: upgrade.Info, Total: 1},
		},
		NotChecked: []string{"disk-space: measure the target's file system: permission denied", `database "a_b*c": connection refused`},
		Configuration: &upgrade.Configuration{
			Kept: 31,
			Changes: []upgrade.ConfigurationChange{
				{Kind: upgrade.ConfigurationDropped, Name: "old_snapshot_threshold", Where: "/etc/pg.conf:12", From: "60", Reason: "PostgreSQL 17 removed it"},
				{Kind: upgrade.ConfigurationRenamed, Name: "force_parallel_mode", Where: "role guest", From: "on", To: "debug_parallel_query = on"},
			},
			Diff: "--- /etc/pg.conf\n+++ /etc/pg.conf for the target\n@@ -12 +12,2 @@\n-old_snapshot_threshold = 60\n+# pgleap: removed\n",
		},
	}
}

func passed() upgrade.Report {
	r := blocked()
	r.Findings, r.NotChecked, r.Configuration = r.Findings[3:], nil, nil
	r.Estimate = &upgrade.Estimate{
		Disk: 12 << 30, Memory: 3 << 30, LeastMemory: 2 << 30, Pause: 35 * time.Millisecond, Total: 95 * time.Second,
		Phases: []upgrade.PhaseEstimate{{Phase: upgrade.PhaseBaseBackup, Duration: 80 * time.Second}, {Phase: upgrade.PhaseUpgrade, Duration: 15 * time.Second}},
		Ways: []upgrade.Way{
			{Mode: upgrade.InPlace, Transfer: upgrade.TransferLink, Disk: 80 << 20, Total: 30 * time.Second, Pause: 17 * time.Second},
			{Mode: upgrade.ZeroDowntime, Disk: 12 << 30, Total: 95 * time.Second, Pause: 35 * time.Millisecond},
		},
		Speed: upgrade.Speed{ReadRate: 1 << 30, WriteRate: 1 << 30},
	}
	return r
}

// unknown is the report of a server that nobody could look behind.
func unknown() upgrade.Report {
	r := blocked()
	r.Number, r.Instance = 0, "db.example.org:5432"
	r.Findings = r.Findings[4:]
	return r
}

// inPlace tells by which way files come to the target, and until when there is a way back.
func inPlace() upgrade.Report {
	r := passed()
	r.Mode, r.Findings = upgrade.InPlace, []upgrade.Finding{}
	r.Estimate.Disk, r.Estimate.Pause, r.Estimate.Total = 80<<20, 17*time.Second, 30*time.Second
	r.Estimate.Phases = []upgrade.PhaseEstimate{{Phase: upgrade.PhasePrepareTarget, Duration: 3 * time.Second}, {Phase: upgrade.PhaseUpgrade, Duration: 17 * time.Second}}
	r.Estimate.Transfer = &upgrade.ChosenTransfer{
		Transfer: upgrade.TransferLink,
		Why: "the file system cannot clone files (/srv/15 to /srv/```17.pgleap: operation not supported), but it can link them, " +
			"which takes no time and can be taken back until the target is started",
		WayBack: "source and target share their files: the source can be put back until the target is started for the first time; " +
			"from then on only a backup brings the source back",
	}
	return r
}

func TestFormats(t *testing.T) {
	endings := map[Format]string{Table: "txt", JSON: "json", Markdown: "md", HTML: "html"}
	for name, r := range map[string]upgrade.Report{"blocked": blocked(), "passed": passed(), "in_place": inPlace(), "not_complete": unknown()} {
		for _, format := range Formats() {
			golden.Compare(t, filepath.Join("testdata", name+"."+endings[format]), written(t, format, r, Style{}))
		}
	}
	color := written(t, Table, blocked(), Style{Color: true, Zone: time.FixedZone("CST", 8*3600)})
	golden.Compare(t, filepath.Join("testdata", "blocked_color.txt"), strings.ReplaceAll(color, "\x1b", "<ESC>"))
	golden.Compare(t, filepath.Join("testdata", "alibaba.txt"),
		Alibaba(blocked(), "zeroDownTimeUpgrade", "Fail")+"\n"+Alibaba(passed(), "zeroDownTimeUpgrade", "Warning"))
}

func written(t *testing.T, format Format, r upgrade.Report, style Style) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, format, r, style); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestUnknownFormat(t *testing.T) {
	if err := Write(&bytes.Buffer{}, "pdf", passed(), Style{}); err == nil {
		t.Error("no error")
	}
}

func TestFormatOf(t *testing.T) {
	for path, want := range map[string]Format{
		"report.html": HTML, "/tmp/R.HTM": HTML, "a.md": Markdown, "a.b.json": JSON, "a.txt": Table, "report": "", "a.pdf": "",
	} {
		if got := FormatOf(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// A page that is sent around needs nothing else, runs nothing, and shows a name as it is.
func TestPageIsSelfContained(t *testing.T) {
	page := written(t, HTML, blocked(), Style{})
	for what, pattern := range map[string]string{
		"a script": `(?i)<script`, "something from elsewhere": `(?i)(src|href)\s*=\s*["'](?:[a-z]+:)?//`, "an import": `@import|url\(`,
		"an event handler": `(?i)<[^>]* on[a-z]+=`,
	} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page has %s: %s", what, found)
		}
	}
	for _, want := range []string{
		`&lt;script&gt;alert(1)&lt;/script&gt;`, `a &amp; b: unrecognized`, `Die &amp; das`, `default-src &#39;none&#39;`, `and 20 more`,
	} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// Nothing that somebody names his tables becomes a command of the terminal.
func TestNamesAreNoCommands(t *testing.T) {
	for _, format := range []Format{Table, Markdown, HTML} {
		text := written(t, format, blocked(), Style{})
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }); i >= 0 {
			t.Errorf("%s has %q", format, text[i:min(len(text), i+10)])
		}
	}
}

// What is found is told whole to programs, and what is pasted is whole in every format that is sent around.
func TestNothingIsLeftOut(t *testing.T) {
	r := blocked()
	last := r.Findings[0].RemedySQL[upgrade.MaxObjects-1].SQL
	for _, format := range []Format{JSON, Markdown, HTML} {
		if text := written(t, format, r, Style{}); !strings.Contains(text, last) {
			t.Errorf("%s lacks %s", format, last)
		}
	}
}

func TestVerdict(t *testing.T) {
	infosOnly := passed()
	infosOnly.Findings = infosOnly.Findings[1:]
	for _, test := range []struct {
		name   string
		report upgrade.Report
		want   string
	}{
		{"blockers, and what could not be checked", blocked(), "Not passed: 3 blockers, 1 warning, 2 things not checked"},
		{"something could not be checked", unknown(), "Not complete: no blockers, no warnings, but 2 things could not be checked"},
		{"warnings", passed(), "Passed: no blockers, 1 warning"},
		{"nothing", infosOnly, "Passed: no blockers, no warnings"},
	} {
		t.Run(test.name, func(t *testing.T) {
			word, sentence := Verdict(test.report)
			if got := word + ": " + sentence; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if (word == "Passed") != test.report.Passed() {
				t.Errorf("%s, but passed is %t", word, test.report.Passed())
			}
		})
	}
}

// The section about pg_upgrade lists checks of what pg_upgrade says itself.
func TestPgUpgradeChecksAreThoseOfPrecheck(t *testing.T) {
	known := map[string]bool{"pg-upgrade": true}
	for _, check := range precheck.All() {
		known[check.ID] = known[check.ID] || len(check.PgUpgrade) > 0
	}
	for _, id := range pgUpgradeChecks() {
		if !known[id] {
			t.Errorf("check %s is listed, and is none of pg_upgrade's", id)
		}
	}
}

// The section about logical replication lists what only modes with it are checked for.
func TestReplicationChecksAreThoseOfPrecheck(t *testing.T) {
	listed := map[string]bool{}
	for _, id := range replicationChecks() {
		listed[id] = true
	}
	for _, check := range precheck.All() {
		if check.ID == "endpoint" {
			continue // is about zero-downtime upgrades, and not about replication
		}
		only := true
		for _, mode := range check.Modes {
			only = only && (mode == upgrade.ZeroDowntime || mode == upgrade.Logical)
		}
		if only != listed[check.ID] {
			t.Errorf("check %s: of replication only: %t, listed: %t", check.ID, only, listed[check.ID])
		}
		delete(listed, check.ID)
	}
	for id := range listed {
		t.Errorf("check %s is listed and does not exist", id)
	}
}
