package upgrade

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVersionNum(t *testing.T) {
	for _, c := range []struct {
		version VersionNum
		major   Major
		text    string
	}{{150018, 15, "15.18"}, {170011, 17, "17.11"}, {130000, 13, "13.0"}, {190000, 19, "19.0"}} {
		if c.version.Major() != c.major || c.version.String() != c.text {
			t.Errorf("%d: got %d, %s", int(c.version), c.version.Major(), c.version)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		address Address
		want    string
	}{
		{Address{"127.0.0.1", 5432}, "127.0.0.1:5432"},
		{Address{"::1", 5432}, "[::1]:5432"},
		{Address{"/var/run/postgresql", 5433}, "/var/run/postgresql/.s.PGSQL.5433"},
	} {
		if got := c.address.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestAddressAsOneConnectsToIt(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "db.example.com": "db.example.com", "": "127.0.0.1", "*": "127.0.0.1",
		"0.0.0.0": "127.0.0.1", "::": "::1", "/var/run/postgresql": "127.0.0.1",
	} {
		if got := (Address{Host: given, Port: 6432}).Reachable(); got.Host != want || got.Port != 6432 {
			t.Errorf("%q: got %s", given, got)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string // empty: valid
	}{
		{"the defaults", func(*Options) {}, ""},
		{"statistics after", func(o *Options) { o.Statistics = StatisticsAfter }, ""},
		{"statistics at some time", func(o *Options) { o.Statistics = "later" }, `statistics "later": choose "before" or "after"`},
		{"an automatic switch", func(o *Options) { o.Switch = SwitchAuto }, ""},
		{"a switch of another kind", func(o *Options) { o.Switch = "soon" }, `switch "soon": choose "manual" or "auto"`},
		{"the shortest timeout", func(o *Options) { o.SwitchoverTimeout = 10 * time.Second }, ""},
		{"the longest timeout", func(o *Options) { o.SwitchoverTimeout = time.Hour }, ""},
		{"too short a timeout", func(o *Options) { o.SwitchoverTimeout = 9 * time.Second }, "choose between 10s and 1h0m0s"},
		{"too long a timeout", func(o *Options) { o.SwitchoverTimeout = time.Hour + 1 }, "choose between 10s and 1h0m0s"},
		{"a negative timeout", func(o *Options) { o.SwitchoverTimeout = -1 }, "choose between 10s and 1h0m0s"},
		{"the least cap", func(o *Options) { o.MaxRetainedWAL = 64 << 20 }, ""},
		{"too small a cap", func(o *Options) { o.MaxRetainedWAL = 64<<20 - 1 }, "choose at least 64 MiB"},
		{"one job", func(o *Options) { o.Jobs = 1 }, ""},
		{"no jobs", func(o *Options) { o.Jobs = -1 }, "jobs -1: choose between 1 and 64"},
		{"too many jobs", func(o *Options) { o.Jobs = 65 }, "jobs 65: choose between 1 and 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := Options{}.WithDefaults()
			c.change(&options)
			err := options.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := (Options{}).Validate(); err == nil {
		t.Error("what was left open is valid without defaults")
	}
}

func TestWithDefaultsKeepsWhatIsSet(t *testing.T) {
	set := Options{Statistics: StatisticsAfter, Switch: SwitchAuto, SwitchoverTimeout: time.Minute, MaxRetainedWAL: 1 << 30, Jobs: 7, Accepted: []string{"a:b"}, TableGroups: 2, Transfer: TransferCopy}
	if diff := cmp.Diff(set, set.WithDefaults()); diff != "" {
		t.Errorf("(-set +got):\n%s", diff)
	}
}

func TestReportPassed(t *testing.T) {
	for _, c := range []struct {
		name   string
		report Report
		want   bool
	}{
		{"nothing found", Report{}, true},
		{"warnings", Report{Findings: []Finding{{Severity: Warning}, {Severity: Info}}}, true},
		{"a blocker that was accepted is a warning", Report{Findings: []Finding{{Severity: Warning, Accepted: true}}}, true},
		{"a blocker", Report{Findings: []Finding{{Severity: Info}, {Severity: Blocker}}}, false},
		{"a check that could not be carried out", Report{NotChecked: []string{"disk-space: no permission"}}, false},
	} {
		if got := c.report.Passed(); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

func TestStatusEnded(t *testing.T) {
	for status, want := range map[Status]bool{StatusRunning: false, StatusSucceeded: true, StatusFailed: true, StatusCancelled: true} {
		if got := status.Ended(); got != want {
			t.Errorf("%s: got %t", status, got)
		}
	}
}

func TestPhasesAreDistinct(t *testing.T) {
	seen := map[Phase]bool{}
	for _, phase := range append(Phases(), PhaseCleanup) {
		if phase == "" || seen[phase] {
			t.Errorf("phase %q twice, or empty", phase)
		}
		seen[phase] = true
	}
}

// Everything of an upgrade lies beside the target's data directory: on its file system, and out
// of what initdb wants empty.
func TestPlanPaths(t *testing.T) {
	plan := Plan{Target: Cluster{Pgdata: "/srv/pg/17/main"}}
	for got, want := range map[string]string{
		plan.Workdir():       "/srv/pg/17/main.pgleap",
		plan.ClonePgdata():   "/srv/pg/17/main.pgleap/clone",
		plan.Passfile():      "/srv/pg/17/main.pgleap/passfile",
		SlotName(4294967295): "pgleap_4294967295",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		refused Refused
		want    string
	}{
		{Refused{Reason: "port 5433 is taken", Remedy: "choose another"}, "port 5433 is taken; choose another"},
		{Refused{Reason: "port 5433 is taken"}, "port 5433 is taken"},
	} {
		if got := c.refused.Error(); got != c.want {
			t.Errorf("got %q", got)
		}
		if behaviour, ok := errors.AsType[interface {
			error
			NonRetryable() bool
		}](error(&c.refused)); !ok || !behaviour.NonRetryable() {
			t.Error("it may be tried again")
		}
	}
	if got := (&NotFound{Kind: "instance", Name: "shop"}).Error(); got != "instance shop does not exist" {
		t.Errorf("got %q", got)
	}
}

// A plan crosses from process to process, and from one release to the next.
func TestPlanSurvivesJSON(t *testing.T) {
	plan := Plan{
		Number: 7, ID: "u", Instance: "shop", Mode: ZeroDowntime,
		Source:   Cluster{Host: "h", Version: 150018, Pgdata: "/a", Port: 1, Manager: ManagerSystemd, Unit: "pg.service"},
		Target:   Cluster{Host: "h", Version: 170011, Pgdata: "/b", Port: 2, Manager: ManagerPgCtl},
		Endpoint: Endpoint{Driver: PgBouncer, Owned: true, Listen: Address{"127.0.0.1", 6432}},
		Options:  Options{Accepted: []string{"x:y"}, TerminateDirectClients: true}.WithDefaults(),
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var got Plan
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, got); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
}
