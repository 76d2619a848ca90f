package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// checkedHost is the host of the instance "orders", where all is as it was when reports saw "same".
func checkedHost(t *testing.T) (*Control, *host) {
	t.Helper()
	c := newControl(t)
	addInstance(t, c, "orders")
	h := &host{says: map[string]func() (any, error){
		step.Inspect: func() (any, error) {
			return upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/orders", Port: 5432}, nil
		},
		step.ChooseTarget: func() (any, error) {
			return upgrade.Cluster{Host: "db1", Version: 170006, Pgdata: "/srv/orders-17", Port: 5433}, nil
		},
		step.Fingerprint: func() (any, error) { return upgrade.Fingerprint{Sum: "same"}, nil },
	}}
	c.temporal = h
	return c, h
}

// checked records a report that passed, as it is changed, of a precheck that a request led to.
func checked(t *testing.T, c *Control, req UpgradeRequest, change func(*upgrade.Report)) {
	t.Helper()
	req.Instance, req.Target = "orders", 17
	task, err := c.Precheck(t.Context(), Actor{Name: "dba"}, req)
	if err != nil {
		t.Fatal(err)
	}
	report := upgrade.Report{
		Number: task.Number, ID: task.ID, Instance: "orders", Mode: task.Mode, Source: 150012, Target: 170006,
		Fingerprint: "same", CheckedAt: now, ValidUntil: now.Add(upgrade.ReportValidity),
	}
	if change != nil {
		change(&report)
	}
	if err := c.catalog.SaveReport(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if err := c.catalog.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, now); err != nil {
		t.Fatal(err)
	}
}

// relying starts an upgrade that wants a report.
func relying(t *testing.T, c *Control, req UpgradeRequest) (upgrade.Task, error) {
	t.Helper()
	req.Instance, req.Target, req.RequireReport = "orders", 17, true
	return c.Upgrade(t.Context(), Actor{Name: "dba"}, req)
}

// What a report found that is not current says nothing about an upgrade: the room may be there by now.
func TestOnlyACurrentReportTellsTheCause(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*upgrade.Report)
		cause  upgrade.Cause
		want   string
	}{
		"a current one": {func(*upgrade.Report) {}, upgrade.CauseStorage, "there is too little disk space"},
		"an expired one": {
			func(r *upgrade.Report) { r.ValidUntil = now.Add(-time.Second) }, upgrade.CauseNoReport, "Report 1 has expired",
		},
		"one of another source version": {
			func(r *upgrade.Report) { r.Source = 140010 }, upgrade.CauseNoReport, "Report 1 is of another source version",
		},
		"one that saw something else": {
			func(r *upgrade.Report) { r.Fingerprint = "other" }, upgrade.CauseNoReport, "What report 1 saw has changed since",
		},
	} {
		c, _ := checkedHost(t)
		checked(t, c, UpgradeRequest{}, func(r *upgrade.Report) {
			r.Findings = []upgrade.Finding{{Check: "disk-space", Severity: upgrade.Blocker, Objects: []string{"/srv"}, Total: 1}}
			test.change(r)
		})
		_, err := relying(t, c, UpgradeRequest{})
		if err == nil || upgrade.CauseOf(err) != test.cause || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, because of %q", name, err, upgrade.CauseOf(err))
		}
	}
}

// An upgrade that wants a report says why there is none, and how standbys get into one.
func TestUpgradeIsNotAllowed(t *testing.T) {
	plan := upgrade.Plan{Instance: "orders", Mode: upgrade.BlueGreen, Target: upgrade.Cluster{Version: 170006}}
	blocker := func(check string, objects ...string) upgrade.Finding {
		return upgrade.Finding{Check: check, Severity: upgrade.Blocker, Objects: objects}
	}
	standbys := blocker("standbys", "away", "far")
	for name, test := range map[string]struct {
		report upgrade.Report
		want   string
		cause  upgrade.Cause
	}{
		"no report": {
			upgrade.Report{}, "no valid report allows the upgrade of instance orders to 17 in mode blue-green. Note.; run a precheck", upgrade.CauseNoReport,
		},
		"standbys": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{{Severity: upgrade.Warning}, standbys}},
			"instance orders has standbys that pgleap does not make anew: away, far (report 7); once it is planned what becomes of them, accept each on the host: " +
				"pgleap precheck orders --to 17 --mode blue-green --accept standbys:NAME;", upgrade.CauseStandbys,
		},
		"disk space": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{blocker("disk-space", "inodes of the target's file system")}},
			"there is too little disk space to upgrade instance orders to 17 in mode blue-green: inodes of the target's file system (report 7); " +
				"make room", upgrade.CauseStorage,
		},
		"standbys among others": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{standbys, blocker("disk-space")}}, "no valid report", upgrade.CauseNoReport,
		},
		"standbys, and something that was not checked": {
			upgrade.Report{Number: 7, Findings: []upgrade.Finding{standbys}, NotChecked: []string{"memory"}}, "no valid report", upgrade.CauseNoReport,
		},
	} {
		err := notAllowed(plan, worth{report: test.report, note: "Note.", current: true})
		if !strings.HasPrefix(err.Error(), test.want) || upgrade.CauseOf(err) != test.cause {
			t.Errorf("%s: %v, because of %q", name, err, upgrade.CauseOf(err))
		}
	}
}

// An upgrade rests on a report that was asked all that it asks. It may ask for less.
func TestAnUpgradeRestsOnAReportOfItsOwnQuestions(t *testing.T) {
	t.Parallel()
	const gigabyte = 1 << 30
	request := func(mode upgrade.Mode, options upgrade.Options) UpgradeRequest {
		return UpgradeRequest{Mode: mode, Options: options}
	}
	both := func(options upgrade.Options) (of, by UpgradeRequest) {
		return request(upgrade.ZeroDowntime, options), request(upgrade.ZeroDowntime, upgrade.Options{})
	}
	type rests struct {
		of, by  UpgradeRequest
		instead string // empty: it does
	}
	tests := map[string]rests{
		"the same": {request(upgrade.InPlace, upgrade.Options{}), request(upgrade.InPlace, upgrade.Options{}), ""},
		"a switchover on a clone": {
			request(upgrade.BlueGreen, upgrade.Options{CloneOnly: true}), request(upgrade.BlueGreen, upgrade.Options{}), "a clone that nobody is moved to",
		},
		"a clone on a switchover": {request(upgrade.BlueGreen, upgrade.Options{}), request(upgrade.BlueGreen, upgrade.Options{CloneOnly: true}), ""},
		"another transfer": {
			request(upgrade.InPlace, upgrade.Options{Transfer: upgrade.TransferLink}), request(upgrade.InPlace, upgrade.Options{}), "another transfer of the files",
		},
		"what no check reads": {
			request(upgrade.ZeroDowntime, upgrade.Options{}),
			request(upgrade.ZeroDowntime, upgrade.Options{AllowDDL: true, Statistics: upgrade.StatisticsAfter, Jobs: 3, Switch: upgrade.SwitchAuto}), "",
		},
		"WAL in place": {
			request(upgrade.InPlace, upgrade.Options{MaxRetainedWAL: gigabyte}), request(upgrade.InPlace, upgrade.Options{}), "",
		},
	}
	for instead, options := range map[string]upgrade.Options{
		"a target that gets no standbys":             {SkipStandbys: true},
		"a clone that is copied from another server": {CloneFrom: "127.0.0.1:5434"},
		"an upgrade that is not rehearsed":           {SkipSchemaRehearsal: true},
		"tables that get REPLICA IDENTITY FULL":      {FullIdentity: true},
		"an upgrade without a way back":              {SkipSwitchback: true},
		"less WAL that the source may keep":          {MaxRetainedWAL: gigabyte},
		"fewer table groups":                         {},
		"a switchover that waits for no standbys":    {},
	} {
		of, by := both(options)
		switch instead {
		case "fewer table groups":
			by.Options.TableGroups = 2
		case "a switchover that waits for no standbys":
			by.Options.WaitForStandbys = true
		}
		tests[instead] = rests{of, by, instead}
		if options.CloneFrom == "" {
			tests["rather than "+instead] = rests{by, of, ""}
		}
	}
	for name, test := range tests {
		c, h := checkedHost(t)
		checked(t, c, test.of, nil)
		_, err := relying(t, c, test.by)
		switch {
		case test.instead == "" && (err != nil || len(h.started) != 2):
			t.Errorf("%s: %v", name, err)
		case test.instead != "":
			want := "Report 1 is for something else than this upgrade: " + test.instead + ". The precheck will tell anew.; " +
				"run a precheck for that version and mode again by this API"
			if err == nil || !strings.Contains(err.Error(), want) || upgrade.CauseOf(err) != upgrade.CauseNoReport {
				t.Errorf("%s: %v, because of %q", name, err, upgrade.CauseOf(err))
			}
		}
	}
}

// A precheck is good for a clone and then for a switchover: the upgrade to the clone leaves a report of its own, of a clone.
func TestAnUpgradeRestsOnAnEarlierReportThatWasAskedMore(t *testing.T) {
	t.Parallel()
	c, h := checkedHost(t)
	request := UpgradeRequest{Mode: upgrade.BlueGreen}
	checked(t, c, request, nil)
	checked(t, c, UpgradeRequest{Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}}, nil)
	task, err := relying(t, c, request)
	if err != nil || len(h.started) != 3 {
		t.Fatal(err)
	}
	events, err := c.Events(t.Context(), task.Number, 0, 0)
	if err != nil || events[0].Text != "Report 1 passed, and what it saw is unchanged." {
		t.Errorf("%+v, %v", events, err)
	}
}

// Room on one file system says nothing about another.
func TestAnUpgradeRestsOnAReportOfItsOwnPlace(t *testing.T) {
	t.Parallel()
	for place, rests := range map[string]bool{"/srv/orders-17-2": true, "/large/orders-17": false} {
		c, h := checkedHost(t)
		checked(t, c, UpgradeRequest{}, nil)
		h.says[step.ChooseTarget] = func() (any, error) { return upgrade.Cluster{Host: "db1", Version: 170006, Pgdata: place}, nil }
		_, err := relying(t, c, UpgradeRequest{})
		if told := err != nil && strings.Contains(err.Error(), "a target in another place"); told == rests || rests && err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
}

// What was accepted for a report is accepted by the upgrade that relies on it, and its log names it.
func TestAcceptedByAReport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ accepted, log []string }{
		{nil, []string{"Report 1 passed, and what it saw is unchanged."}},
		{
			[]string{"standbys:away", `unlogged-tables:shop.public."my cache"`},
			[]string{
				"Report 1 passed, and what it saw is unchanged.",
				`This upgrade has accepted what was accepted for report 1: standbys:away, unlogged-tables:shop.public."my cache".`,
			},
		},
	} {
		c, h := checkedHost(t)
		checked(t, c, UpgradeRequest{Options: upgrade.Options{Accepted: test.accepted}}, nil)
		task, err := relying(t, c, UpgradeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if plan := h.started[1].(upgrade.Plan); !slices.Equal(plan.Options.Accepted, test.accepted) {
			t.Errorf("accepted: %v, want %v", plan.Options.Accepted, test.accepted)
		}
		events, err := c.Events(t.Context(), task.Number, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		for _, event := range events {
			log = append(log, event.Text)
		}
		if diff := cmp.Diff(test.log, log); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	}
}

// Whoever upgrades is told exactly why the report does not hold any more.
func TestReportStillHolds(t *testing.T) {
	taken := func(level string) upgrade.Fingerprint {
		t.Helper()
		f, err := upgrade.NewFingerprint([]upgrade.Part{
			{Kind: upgrade.PartSetting, Name: "wal_level", Value: level}, {Kind: upgrade.PartExtension, Database: "shop", Name: "hstore", Value: "1.8"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	report := upgrade.Report{Number: 4, Fingerprint: taken("replica").Sum, Parts: taken("replica").Parts}
	old := report
	old.Parts = nil
	blocked := report
	blocked.NotChecked = []string{"memory"}
	for name, test := range map[string]struct {
		report upgrade.Report
		now    upgrade.Fingerprint
		want   string
		holds  bool
	}{
		"unchanged":           {report, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"an old one":          {old, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"changed":             {report, taken("logical"), "What report 4 saw has changed since: setting wal_level changed from replica to logical. The precheck will tell anew.", false},
		"blockers":            {blocked, taken("replica"), "Report 4 had blockers: the precheck will tell whether they are gone.", true},
		"blockers, changed":   {blocked, taken("logical"), "What report 4 saw has changed since: setting wal_level changed from replica to logical. The precheck will tell anew.", false},
		"changed, an old one": {old, taken("logical"), "What report 4 saw has changed since: what exactly is not known. The precheck will tell anew.", false},
	} {
		if note, holds := stillHolds(test.report, test.now); note != test.want || holds != test.holds {
			t.Errorf("%s: got %t: %s", name, holds, note)
		}
	}
}
