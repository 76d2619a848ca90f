package huawei

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// newHistory seeds a record in which there is one of everything: an instance whose last check had
// blockers and whose last upgrade runs, one that was never touched, and a former cluster.
func newHistory(t testing.TB) *bed {
	t.Helper()
	b := newBed(t)
	b.addInstance(t, "orders")
	b.addInstance(t, "untouched")
	begin := b.now.Add(-3 * time.Hour)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }

	passed := b.addTask(t, "orders", upgrade.TaskPrecheck, at(0))
	b.saveReport(t, passed.Number, func(r *upgrade.Report) { r.Findings, r.NotChecked, r.CheckedAt = r.Findings[1:], nil, at(1) })
	b.end(t, passed.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, at(1))

	done := b.addTask(t, "orders", upgrade.TaskUpgrade, at(10))
	b.end(t, done.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &upgrade.Switchover{
		Switched: true, StartedAt: at(20), EndedAt: at(20).Add(20 * time.Millisecond),
	}}, at(22))
	err := b.record.AddFormerCluster(t.Context(), catalog.FormerCluster{
		Number: done.Number, Instance: "orders", Since: at(20),
		Cluster: upgrade.Cluster{Host: "db1", Version: 130020, Port: 5431, Superuser: "postgres", Pgdata: "/srv/old"},
	})
	if err != nil {
		t.Fatal(err)
	}

	failed := b.addTask(t, "orders", upgrade.TaskUpgrade, at(30))
	b.end(t, failed.Number, upgrade.Outcome{
		Status: upgrade.StatusFailed, Reason: "the target's data directory /srv/17 is not empty",
		Switchover: &upgrade.Switchover{Reason: "the lag was too large", StartedAt: at(31), EndedAt: at(31).Add(time.Second)},
	}, at(33))

	blocked := b.addTask(t, "orders", upgrade.TaskPrecheck, at(60))
	b.saveReport(t, blocked.Number, func(*upgrade.Report) {})
	b.end(t, blocked.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, at(61))

	running := b.addTask(t, "orders", upgrade.TaskUpgrade, at(90))
	if err := b.record.EnterPhase(t.Context(), running.Number, upgrade.PhaseBaseBackup, at(91)); err != nil {
		t.Fatal(err)
	}
	err = b.record.SetProgress(t.Context(), running.Number, upgrade.Progress{Phase: upgrade.PhaseBaseBackup, Done: 1, Total: 2, At: at(92)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) saveReport(t testing.TB, number int64, change func(*upgrade.Report)) {
	t.Helper()
	r := aReport()
	change(&r)
	r.Number, r.ValidUntil = number, r.CheckedAt.Add(upgrade.ReportValidity)
	if err := b.record.SaveReport(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func TestAnswers(t *testing.T) {
	b := newHistory(t)
	b.control.targets = []upgrade.VersionNum{160010, 170011}
	b.control.task.ID = "3f1b5e0a-0000-4000-8000-000000000001"
	orders := uuid("orders") + "in03"
	for name, test := range map[string]struct{ method, path, body string }{
		"available-version":              {"GET", versionPath(orders, "available-version"), ""},
		"inspection":                     {"POST", versionPath(orders, "inspection"), `{"target_version":"17.11"}`},
		"status-check":                   {"GET", versionPath(orders, "status?action=check"), ""},
		"status-upgrade":                 {"GET", versionPath("orders", "status?action=upgrade"), ""},
		"inspection-histories":           {"GET", versionPath(orders, "inspection-histories"), ""},
		"inspection-histories-available": {"GET", versionPath(orders, "inspection-histories?is_available=true&target_version=17.2&sort_field=expiration_time"), ""},
		"inspection-histories-none":      {"GET", versionPath(orders, "inspection-histories?target_version=16"), ""},
		"upgrade-histories":              {"GET", versionPath(orders, "upgrade-histories?order=asc"), ""},
		"upgrade-histories-page":         {"GET", versionPath(orders, "upgrade-histories?offset=2&limit=5&sort_field=end_time"), ""},
		"upgrade":                        {"POST", versionPath(orders, "upgrade"), `{"target_version":"17","is_change_private_ip":true,"statistics_collection_mode":"after_change_private_ip"}`},
		"job-check":                      {"GET", "/jobs?id=" + b.ids[0], ""},
		"job-done":                       {"GET", "/jobs?id=" + strings.ToUpper(b.ids[1]), ""},
		"job-failed":                     {"GET", "/jobs?id=" + b.ids[2], ""},
		"job-running":                    {"GET", "/jobs?id=" + b.ids[4], ""},
		"instances":                      {"GET", "/instances?datastore_type=PostgreSQL", ""},
		"instances-none":                 {"GET", "/instances?vpc_id=x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := b.call(t, test.method, test.path, test.body)
			if w.Code != http.StatusOK || w.Header().Get("X-Request-Id") == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %d, %v", w.Code, w.Header())
			}
			golden(t, "answers/"+name, b.shown(t, w)+"\n")
		})
	}
	for name, path := range map[string]string{
		"status-check-chinese":         versionPath(orders, "status?action=check"),
		"inspection-histories-chinese": versionPath(orders, "inspection-histories"),
		"status-upgrade-chinese":       versionPath(orders, "status?action=upgrade"),
		"upgrade-histories-chinese":    versionPath(orders, "upgrade-histories?order=asc"),
		"job-failed-chinese":           "/jobs?id=" + b.ids[2],
	} {
		t.Run(name, func(t *testing.T) {
			w := b.call(t, "GET", path, "", func(r *http.Request) { r.Header.Set("X-Language", "zh-cn") })
			golden(t, "answers/"+name, b.shown(t, w)+"\n")
		})
	}
	want := []control.UpgradeRequest{
		{Instance: "orders", Target: 17, Mode: upgrade.BlueGreen},
		{
			Instance: "orders", Target: 17, Mode: upgrade.BlueGreen, RequireReport: true,
			Options: upgrade.Options{Statistics: upgrade.StatisticsAfter, Switch: upgrade.SwitchAuto},
		},
	}
	if b.control.asked[0].RequireReport { // subtests come in any order
		want[0], want[1] = want[1], want[0]
	}
	if diff := cmp.Diff(want, b.control.asked); diff != "" {
		t.Errorf("asked of control (-want +got):\n%s", diff)
	}
	if who := b.control.actors[0]; who.Name != "access key "+b.key || who.RequestID == "" {
		t.Errorf("asked by %+v", who)
	}
}

// An instance without an endpoint can only be cloned: a precheck for that asks for no endpoint.
func TestInspectionWithoutAnEndpoint(t *testing.T) {
	b := newBed(t)
	err := b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: "orders", UUID: uuid("orders"), CreatedAt: b.now, Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Port: 5432},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.control.task.ID = "3f1b5e0a-0000-4000-8000-000000000001"
	if w := b.call(t, "POST", versionPath("orders", "inspection"), `{"target_version":"17"}`); w.Code != http.StatusOK {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	want := []control.UpgradeRequest{{Instance: "orders", Target: 17, Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}}}
	if diff := cmp.Diff(want, b.control.asked); diff != "" {
		t.Errorf("asked of control (-want +got):\n%s", diff)
	}
}

// An upgrade that leaves the private IP address where it is makes a clone, and moves nobody.
func TestUpgradeThatMovesNobody(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	b.control.task.ID = "3f1b5e0a-0000-4000-8000-000000000001"
	w := b.call(t, "POST", versionPath("orders", "upgrade"), `{"target_version":"17","is_change_private_ip":false}`)
	if w.Code != http.StatusOK {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	want := []control.UpgradeRequest{{
		Instance: "orders", Target: 17, Mode: upgrade.BlueGreen, RequireReport: true,
		Options: upgrade.Options{Switch: upgrade.SwitchManual, CloneOnly: true},
	}}
	if diff := cmp.Diff(want, b.control.asked); diff != "" {
		t.Errorf("asked of control (-want +got):\n%s", diff)
	}
}

// A clone has an id as soon as there is one. Until then, and when it failed, the upgrade leads to no instance.
func TestTargetInstanceOfAClone(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	begin := func() upgrade.Task {
		task, err := b.record.CreateTask(t.Context(), upgrade.Task{
			Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150012, Target: 17, StartedAt: b.now,
			Plan: &upgrade.Plan{Instance: "orders", Mode: upgrade.BlueGreen, Options: upgrade.Options{CloneOnly: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	target := func(what, want string) {
		t.Helper()
		w := b.call(t, "GET", versionPath("orders", "upgrade-histories?limit=1"), "")
		var page upgradeHistories
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Reports) != 1 {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if r := page.Reports[0]; r.SourceInstance != uuid("orders")+"in03" || r.TargetInstance != want {
			t.Errorf("%s: from %q to %q, want %q", what, r.SourceInstance, r.TargetInstance, want)
		}
	}
	failed := begin()
	target("in the making", "")
	b.end(t, failed.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, b.now)
	target("failed", "")
	done := begin()
	id := upgrade.CloneID("orders", done.Number)
	clone := upgrade.Instance{ID: id, UUID: uuid(id), Cluster: upgrade.Cluster{Host: "db1", Version: 170011, Pgdata: "/srv/clone"}, CreatedAt: b.now}
	if err := b.record.AddClone(t.Context(), done.Number, clone); err != nil {
		t.Fatal(err)
	}
	b.end(t, done.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now)
	target("made", uuid(id)+"in03")
	if err := b.record.RemoveInstance(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	target("removed since", id)
}

func TestChecksAsTheyPass(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	status := func() (s taskStatus) {
		w := b.call(t, "GET", versionPath("orders", "status?action=check"), "")
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	task := b.addTask(t, "orders", upgrade.TaskPrecheck, b.now.Add(-time.Minute))
	if s := status(); s.Status != "running" || s.TargetVersion != "17.11" || s.CheckExpiration != "" {
		t.Errorf("running: %+v", s)
	}
	b.saveReport(t, task.Number, func(r *upgrade.Report) { r.Findings, r.NotChecked = nil, nil })
	if s := status(); s.Status != "running" || s.CheckExpiration != "" {
		t.Errorf("report saved, not ended: %+v", s)
	}
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now)
	s := status()
	if s.Status != "success" || s.CheckExpiration != "2026-03-08T11:58:30+0000" || s.StartTime != "2026-03-01T11:59:00+0000" ||
		!strings.Contains(s.Detail, "Check passed") {
		t.Errorf("passed: %+v", s)
	}
	task = b.addTask(t, "orders", upgrade.TaskPrecheck, b.now)
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "the agent was lost"}, b.now)
	if s := status(); s.Status != "failed" || s.CheckExpiration != "" || !strings.Contains(s.Detail, "he agent was lost") {
		t.Errorf("failed without a report: %+v", s)
	}
}

// Errors in both languages, each raised by its condition.
func TestErrors(t *testing.T) {
	b := newHistory(t)
	refused := func(cause upgrade.Cause) error {
		return &upgrade.Refused{Reason: "reason as control gives it", Remedy: "do this", Cause: cause}
	}
	const start = `{"target_version":"17","is_change_private_ip":true,"statistics_collection_mode":"before_change_private_ip"}`
	orders, inspection, change := uuid("orders")+"in03", versionPath("orders", "inspection"), versionPath("orders", "upgrade")
	for name, test := range map[string]struct {
		method, path, body string
		err                error // what control says
		want               string
	}{
		"unknown-api":            {"GET", "/nosuch", "", nil, "404 APIGW.0101"},
		"repeated-parameter":     {"GET", versionPath("orders", "status?action=check&action=check"), "", nil, "400 APIGW.0201"},
		"malformed-query":        {"GET", versionPath("orders", "status?action=%zz"), "", nil, "400 APIGW.0201"},
		"malformed-json":         {"POST", inspection, "{", nil, "400 APIGW.0201"},
		"instance-format":        {"GET", versionPath("Orders", "status?action=check"), "", nil, "400 DBS.280404"},
		"instance-format-suffix": {"GET", versionPath(strings.ToUpper(orders), "status?action=check"), "", nil, "400 DBS.280404"},
		"instance-absent":        {"GET", versionPath(uuid("nosuch")+"in03", "status?action=check"), "", nil, "404 DBS.200002"},
		"instance-absent-name":   {"GET", versionPath("nosuch", "status?action=check"), "", nil, "404 DBS.200002"},
		"former":                 {"GET", versionPath(formerID("orders-old-2"), "available-version"), "", nil, "400 DBS.200086"},
		"former-name":            {"POST", versionPath("orders-old-2", "upgrade"), start, nil, "400 DBS.200086"},
		"action-missing":         {"GET", versionPath("orders", "status"), "", nil, "400 DBS.280001"},
		"action-unknown":         {"GET", versionPath("orders", "status?action=rollback"), "", nil, "400 DBS.280001"},
		"never-checked":          {"GET", versionPath("untouched", "status?action=check"), "", nil, "400 DBS.200086"},
		"never-upgraded":         {"GET", versionPath("untouched", "status?action=upgrade"), "", nil, "400 DBS.200086"},
		"body-missing":           {"POST", inspection, "", nil, "400 DBS.200006"},
		"body-null":              {"POST", change, "null", nil, "400 DBS.200006"},
		"body-array":             {"POST", change, "[]", nil, "400 DBS.280001"},
		"version-missing":        {"POST", inspection, "{}", nil, "400 DBS.280001"},
		"version-number":         {"POST", inspection, `{"target_version":17}`, nil, "400 DBS.280001"},
		"version-odd":            {"POST", inspection, `{"target_version":"new"}`, nil, "400 DBS.280001"},
		"change-ip-text":         {"POST", change, `{"target_version":"17","is_change_private_ip":"true"}`, nil, "400 DBS.280001"},
		"statistics-missing":     {"POST", change, `{"target_version":"17","is_change_private_ip":true}`, nil, "400 DBS.280001"},
		"statistics-unknown":     {"POST", change, `{"target_version":"17","is_change_private_ip":true,"statistics_collection_mode":"x"}`, nil, "400 DBS.280001"},
		"limit":                  {"GET", versionPath("orders", "upgrade-histories?limit=101"), "", nil, "400 DBS.280001"},
		"offset":                 {"GET", versionPath("orders", "upgrade-histories?offset=x"), "", nil, "400 DBS.280001"},
		"order":                  {"GET", versionPath("orders", "upgrade-histories?order=up"), "", nil, "400 DBS.280001"},
		"sort-field":             {"GET", versionPath("orders", "upgrade-histories?sort_field=check_time"), "", nil, "400 DBS.280001"},
		"is-available":           {"GET", versionPath("orders", "inspection-histories?is_available=1"), "", nil, "400 DBS.280001"},
		"target-version-filter":  {"GET", versionPath("orders", "inspection-histories?target_version=x"), "", nil, "400 DBS.280001"},
		"job-id-missing":         {"GET", "/jobs", "", nil, "400 DBS.280001"},
		"job-absent":             {"GET", "/jobs?id=nosuch", "", nil, "400 DBS.200543"},
		"instances-type":         {"GET", "/instances?type=single", "", nil, "400 DBS.280001"},
		"instances-engine":       {"GET", "/instances?datastore_type=postgresql", "", nil, "400 DBS.280001"},
		"instances-limit":        {"GET", "/instances?limit=0", "", nil, "400 DBS.280001"},
		"mode-unavailable":       {"POST", change, start, refused(upgrade.CauseModeUnavailable), "400 DBS.200040"},
		"no-report":              {"POST", change, start, &control.Conflict{Reason: "no report", Cause: upgrade.CauseNoReport}, "409 DBS.200402"},
		"storage":                {"POST", change, start, &control.Conflict{Reason: "too little space", Cause: upgrade.CauseStorage}, "409 DBS.200316"},
		"running":                {"POST", inspection, start, &control.Conflict{Reason: "upgrade 5 of instance orders is running", Remedy: "wait until it has ended", Cause: upgrade.CauseRunning}, "409 DBS.200019"},
		"target":                 {"POST", inspection, start, refused(upgrade.CauseTarget), "400 DBS.200041"},
		"phase":                  {"POST", inspection, start, refused(upgrade.CausePhase), "400 DBS.200086"},
		"down":                   {"POST", inspection, start, refused(upgrade.CauseDown), "400 DBS.200086"},
		"not-postgres":           {"POST", inspection, start, refused(upgrade.CauseNotPostgres), "400 DBS.200040"},
		"option":                 {"POST", inspection, start, &control.Invalid{Reason: "odd", Cause: upgrade.CauseOption}, "400 DBS.280001"},
		"invalid":                {"POST", inspection, start, &control.Invalid{Reason: "odd"}, "400 DBS.280001"},
		"conflict":               {"POST", inspection, start, &control.Conflict{Reason: "not now"}, "409 DBS.200019"},
		"refused":                {"POST", inspection, start, refused(upgrade.CauseNone), "400 DBS.200086"},
		"gone-meanwhile":         {"POST", inspection, start, &upgrade.NotFound{Kind: "instance", Name: "orders"}, "404 DBS.200002"},
		"agent":                  {"POST", inspection, start, &control.Unavailable{Reason: "the agent of host db1 is not there", Cause: upgrade.CauseAgent}, "500 DBS.200005"},
		"unavailable":            {"POST", inspection, start, &control.Unavailable{Reason: "not ready"}, "500 DBS.200005"},
		"unknown-error":          {"POST", inspection, start, errors.New("dial tcp: secret-host refused"), "500 DBS.200005"},
	} {
		t.Run(name, func(t *testing.T) {
			b.control.err = test.err
			var text strings.Builder
			for _, language := range []string{"en-us", "zh-cn"} {
				w := b.call(t, test.method, test.path, test.body, func(r *http.Request) { r.Header.Set("X-Language", language) })
				b.now = b.now.Add(time.Second) // else the second POST would be a replay
				if got := codeOf(t, w); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if placeholder.MatchString(w.Body.String()) || strings.Contains(w.Body.String(), "secret-host") {
					t.Errorf("got %s", w.Body)
				}
				text.WriteString(b.shown(t, w) + "\n")
			}
			golden(t, "errors/"+name, text.String())
		})
	}
}

// Errors of the gateway, which come before anything is looked up.
func TestErrorsOfTheGateway(t *testing.T) {
	b := newBed(t)
	for name, change := range map[string]func(*http.Request){
		"no-credentials":    func(r *http.Request) { r.Header.Del("Authorization") },
		"bad-authorization": func(r *http.Request) { r.Header.Set("Authorization", algorithm) },
		"bad-algorithm":     func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") },
		"derived-key":       func(r *http.Request) { replaceKey(r, algorithm, derivedAlgorithm) },
		"not-signed":        func(r *http.Request) { replaceKey(r, "x-sdk-date", "x-language") },
		"header-missing":    func(r *http.Request) { replaceKey(r, "x-sdk-date", "x-sdk-date;x-none") },
		"bad-date":          func(r *http.Request) { r.Header.Set("X-Sdk-Date", "yesterday") },
		"skew":              func(r *http.Request) { r.Header.Set("X-Sdk-Date", "20260102T030405Z") },
		"unsigned-payload":  func(r *http.Request) { r.Header.Set("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD") },
		"other-payload":     func(r *http.Request) { r.Header.Set("X-Sdk-Content-Sha256", "0") },
		"bad-signature":     func(r *http.Request) { r.URL.RawQuery = "a=1" },
		"bad-token":         func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Auth-Token", "x") },
		"other-project":     func(r *http.Request) { r.Header.Set("X-Project-Id", "other") },
		"project-id":        func(r *http.Request) { r.URL.Path = "/v3/a b/instances"; b.sign(t, r, "") },
		"too-large":         func(r *http.Request) { r.Header.Set("X-Large", strings.Repeat("x", maxHeader)) },
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, language := range []string{"en-us", "zh-cn"} {
				w := b.call(t, "GET", "/instances", "", change, func(r *http.Request) { r.Header.Set("X-Language", language) })
				text.WriteString(b.shown(t, w) + "\n")
			}
			golden(t, "errors/"+name, text.String())
		})
	}
}

// Start <= private_ip_change_time <= end, whatever the clocks of the hosts said.
func TestTimesOfAnUpgradeAreInOrder(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	random := rand.New(rand.NewPCG(1, 2))
	at := func() time.Time { return b.now.Add(time.Duration(random.Int64N(int64(2 * time.Minute)))) }
	for range 200 {
		task := b.addTask(t, "orders", upgrade.TaskUpgrade, at())
		outcome := upgrade.Outcome{Status: []upgrade.Status{upgrade.StatusSucceeded, upgrade.StatusFailed, upgrade.StatusCancelled}[random.IntN(3)]}
		if random.IntN(4) > 0 {
			outcome.Switchover = &upgrade.Switchover{Switched: random.IntN(2) == 0, StartedAt: at(), EndedAt: at()}
		}
		b.end(t, task.Number, outcome, at())
	}
	seen := 0
	for offset := 0; ; offset += 100 {
		w := b.call(t, "GET", versionPath("orders", fmt.Sprintf("upgrade-histories?limit=100&offset=%d", offset)), "")
		var page upgradeHistories
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || page.Total != 200 {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if len(page.Reports) == 0 {
			break
		}
		for _, r := range page.Reports {
			seen++
			inOrder(t, r)
		}
	}
	if seen != 200 {
		t.Errorf("saw %d upgrades", seen)
	}
}

func inOrder(t *testing.T, r upgradeReport) {
	t.Helper()
	parse := func(text string) time.Time {
		at, err := time.Parse(wireTime, text)
		if err != nil || strings.HasSuffix(text, "Z") || strings.Count(text, ":") != 2 {
			t.Errorf("%q is not as the vendor writes times: %v", text, err)
		}
		return at
	}
	start, end := parse(r.StartTime), parse(r.EndTime)
	if end.Before(start) || r.PrivateIPChanged != (r.PrivateIPChangeTime != "") {
		t.Errorf("got %+v", r)
	}
	if r.PrivateIPChanged {
		if changed := parse(r.PrivateIPChangeTime); changed.Before(start) || changed.After(end) {
			t.Errorf("got %+v", r)
		}
	}
}

func TestHistoriesPageByPage(t *testing.T) {
	b := newHistory(t)
	ids := func(query string) (ids []string, total int) {
		w := b.call(t, "GET", versionPath("orders", "upgrade-histories?"+query), "")
		var page upgradeHistories
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Reports {
			ids = append(ids, r.ID)
		}
		return ids, page.Total
	}
	for query, want := range map[string][]string{
		"":                    {b.ids[4], b.ids[2], b.ids[1]},
		"order=ASC":           {b.ids[1], b.ids[2], b.ids[4]},
		"order=desc&limit=1":  {b.ids[4]},
		"limit=1&offset=1":    {b.ids[2]},
		"offset=3":            nil,
		"offset=2147483647":   nil,
		"sort_field=end_time": {b.ids[4], b.ids[2], b.ids[1]},
	} {
		got, total := ids(query)
		if diff := cmp.Diff(want, got); diff != "" || total != 3 {
			t.Errorf("%q: total %d (-want +got):\n%s", query, total, diff)
		}
	}
}

func TestInstanceList(t *testing.T) {
	b := newHistory(t)
	for query, want := range map[string]string{
		"":                                "3 orders orders-old-2 untouched",
		"?name=orders":                    "1 orders",
		"?name=*o":                        "3 orders orders-old-2 untouched",
		"?name=*old":                      "1 orders-old-2",
		"?name=*":                         "3 orders orders-old-2 untouched",
		"?name=order":                     "0",
		"?id=" + uuid("orders") + "in03":  "1 orders",
		"?id=" + formerID("orders-old-2"): "1 orders-old-2",
		"?id=nosuch":                      "0",
		"?limit=1":                        "3 orders",
		"?limit=1&offset=2":               "3 untouched",
		"?offset=9":                       "3",
		"?type=Single":                    "3 orders orders-old-2 untouched",
		"?type=Ha":                        "0",
		"?datastore_type=MySQL":           "0",
		"?subnet_id=x":                    "0",
		"?tags=a%3Db":                     "0",
		"?eps_id=0":                       "3 orders orders-old-2 untouched",
		"?eps_id=x":                       "0",
		"?group_type=flexus":              "0",
		"?group_type=&other=1":            "3 orders orders-old-2 untouched",
	} {
		var list instanceList
		w := b.call(t, "GET", "/instances"+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || list.Instances == nil {
			t.Fatalf("%s: %v: %s", query, err, w.Body)
		}
		got := fmt.Sprint(list.Total)
		for _, i := range list.Instances {
			got += " " + i.Name
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

func TestStatesOfAnInstance(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	state := func() string {
		var list instanceList
		if err := json.Unmarshal(b.call(t, "GET", "/instances", "").Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		return list.Instances[0].Status
	}
	enter := func(number int64, phase upgrade.Phase) {
		if err := b.record.EnterPhase(t.Context(), number, phase, b.now); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		if got := state(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check("ACTIVE")
	precheck := b.addTask(t, "orders", upgrade.TaskPrecheck, b.now)
	check("ACTIVE") // a check leaves the instance alone
	b.end(t, precheck.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now)
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	check("MODIFYING")
	enter(task.Number, upgrade.PhaseSwitchover)
	check("SWITCHOVER")
	enter(task.Number, upgrade.PhaseFinishing)
	check("MODIFYING")
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now)
	check("ACTIVE")
}

// A switchback that was refused has no times; the job has ended when clients went over.
func TestJobThatKeepsAWayBack(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	ended := func(after any) {
		t.Helper()
		text := b.call(t, "GET", "/jobs?id="+task.ID, "").Body.String()
		if !strings.Contains(text, `"status":"Completed"`) || !strings.Contains(text, `"ended":"2026-03-01T12:01:02+0000"`) {
			t.Errorf("after %+v: %s", after, text)
		}
	}
	if err := b.record.EnterPhase(t.Context(), task.Number, upgrade.PhaseFollowing, b.now.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	went := upgrade.Switchover{Switched: true, StartedAt: b.now.Add(time.Minute), EndedAt: b.now.Add(time.Minute + 2*time.Second)}
	for _, s := range []upgrade.Switchover{went, {Back: true, Reason: "source and target differ"}} {
		if err := b.record.SetSwitchover(t.Context(), task.Number, s); err != nil {
			t.Fatal(err)
		}
		ended(s)
	}
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &went}, b.now.Add(48*time.Hour))
	ended("the way back was given up")
}

// A switchover that a recovery has ended may have left no times: the end of the job is that of its task.
func TestJobWhoseSwitchoverHasNoTimes(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	if err := b.record.EnterPhase(t.Context(), task.Number, upgrade.PhaseFollowing, b.now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &upgrade.Switchover{Switched: true}}, b.now.Add(2*time.Minute))
	text := b.call(t, "GET", "/jobs?id="+task.ID, "").Body.String()
	if !strings.Contains(text, `"status":"Completed"`) || !strings.Contains(text, `"ended":"2026-03-01T12:02:00+0000"`) {
		t.Errorf("got %s", text)
	}
}

// An instance that gets the id of one that was removed has a history of its own; the other one's jobs are none of its.
func TestAnIDThatIsUsedAgain(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	task := b.addTask(t, "orders", upgrade.TaskUpgrade, b.now)
	b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "no"}, b.now)
	if err := b.record.RemoveInstance(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(24 * time.Hour)
	b.addInstance(t, "orders")
	if got := codeOf(t, b.call(t, "GET", versionPath("orders", "status?action=upgrade"), "")); got != "400 DBS.200086" {
		t.Errorf("the status of its last upgrade is %q, want that it had none", got)
	}
	if text := b.call(t, "GET", versionPath("orders", "upgrade-histories"), "").Body.String(); !strings.Contains(text, `"total_count":0`) {
		t.Errorf("its upgrades are %s", text)
	}
	if text := b.call(t, "GET", "/jobs?id="+task.ID, "").Body.String(); strings.Contains(text, uuid("orders")) || !strings.Contains(text, "Failed") {
		t.Errorf("the other one's job is %s", text)
	}
}

// Servers with one catalogue answer for each other's instances: 127.0.0.1 is where the caller's question went.
func TestInstanceOfAnotherHost(t *testing.T) {
	b := newBed(t)
	for id, endpoint := range map[string]upgrade.Endpoint{
		"far": {Driver: upgrade.PgBouncer, Listen: upgrade.Address{Host: "127.0.0.1", Port: 6432}}, "bare": {},
	} {
		err := b.record.AddInstance(t.Context(), upgrade.Instance{
			ID: id, Cluster: upgrade.Cluster{Host: "db2", Version: 150012, Pgdata: "/srv/" + id, Port: 5432}, Endpoint: endpoint,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text := b.call(t, "GET", "/instances", "").Body.String()
	if strings.Count(text, `"private_ips":["db2"]`) != 2 {
		t.Errorf("got %s", text)
	}
}

// An inspection expires a week after it, whenever its task has ended.
func TestInspectionsByTheirExpiration(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	for i, minutes := range []int{30, 20, 10} { // the first one was checked last
		task := b.addTask(t, "orders", upgrade.TaskPrecheck, b.now)
		b.saveReport(t, task.Number, func(r *upgrade.Report) { r.CheckedAt = b.now.Add(time.Duration(minutes) * time.Minute) })
		b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, b.now.Add(time.Duration(i)*time.Hour))
	}
	for query, want := range map[string][]string{
		"sort_field=expiration_time":           {b.ids[0], b.ids[1], b.ids[2]},
		"sort_field=expiration_time&order=ASC": {b.ids[2], b.ids[1], b.ids[0]},
		"sort_field=check_time":                {b.ids[2], b.ids[1], b.ids[0]},
	} {
		w := b.call(t, "GET", versionPath("orders", "inspection-histories?"+query), "")
		var page inspectionHistories
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range page.Reports {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
}

// Only an inspection for this API's own upgrade tells whether that is allowed.
func TestInspectionsForOtherModes(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	check := func(mode upgrade.Mode, minutes int, change func(*upgrade.Report)) {
		at := b.now.Add(time.Duration(minutes-60) * time.Minute)
		task := b.addTaskIn(t, "orders", upgrade.TaskPrecheck, mode, at)
		b.saveReport(t, task.Number, func(r *upgrade.Report) {
			r.Mode, r.CheckedAt = mode, at
			change(r)
		})
		b.end(t, task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, at)
	}
	passed := func(r *upgrade.Report) { r.Findings, r.NotChecked = r.Findings[1:], nil }
	blocked := func(*upgrade.Report) {}
	told := func(available int, status string) {
		t.Helper()
		list := b.call(t, "GET", versionPath("orders", "inspection-histories?is_available=true"), "").Body.String()
		if !strings.Contains(list, fmt.Sprintf(`"total_count":%d,`, available)) {
			t.Errorf("want %d available: %s", available, list)
		}
		if got := b.call(t, "GET", versionPath("orders", "status?action=check"), "").Body.String(); !strings.Contains(got, status) {
			t.Errorf("want %s: %s", status, got)
		}
	}
	check(upgrade.ZeroDowntime, 0, passed)
	told(0, "DBS.")
	check(upgrade.BlueGreen, 1, passed)
	told(1, `"status":"success"`)
	check(upgrade.ZeroDowntime, 2, blocked)
	told(1, `"status":"success"`)
	check(upgrade.BlueGreen, 3, blocked)
	told(1, `"status":"failed"`)
}

func TestPercent(t *testing.T) {
	progress := func(phase upgrade.Phase, done, total int64) *upgrade.Progress {
		return &upgrade.Progress{Phase: phase, Done: done, Total: total}
	}
	for name, test := range map[string]struct {
		task upgrade.Task
		want string
	}{
		"at the start":               {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhasePrecheck}, "0%"},
		"third phase of nine":        {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseBaseBackup}, "22%"},
		"half of it done":            {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseBaseBackup, Progress: progress(upgrade.PhaseBaseBackup, 1, 2)}, "27%"},
		"more than all of it":        {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseBaseBackup, Progress: progress(upgrade.PhaseBaseBackup, 9, 2)}, "33%"},
		"progress of another phase":  {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseBaseBackup, Progress: progress(upgrade.PhasePrepare, 1, 2)}, "22%"},
		"all but done":               {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseFinishing, Progress: progress(upgrade.PhaseFinishing, 2, 2)}, "99%"},
		"cleaning up":                {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: upgrade.PhaseCleanup, Phases: []upgrade.PhaseSpan{{Phase: upgrade.PhasePrecheck}, {Phase: upgrade.PhaseBaseBackup}, {Phase: upgrade.PhaseCleanup}}}, "22%"},
		"a phase that is not listed": {upgrade.Task{Kind: upgrade.TaskUpgrade, Phase: "copying"}, "0%"},
		"half of a precheck":         {upgrade.Task{Kind: upgrade.TaskPrecheck, Phase: upgrade.PhasePrecheck, Progress: progress(upgrade.PhasePrecheck, 5, 10)}, "50%"},
	} {
		if got := percent(test.task); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestZone(t *testing.T) {
	b := newHistory(t)
	b.Handler = New(b.control, Options{Region: "local", Zone: time.FixedZone("CST", 8*3600), Now: b.clock}, nil)
	w := b.call(t, "GET", versionPath("orders", "status?action=upgrade"), "")
	if !strings.Contains(w.Body.String(), `"start_time":"2026-03-01T18:30:00+0800"`) {
		t.Errorf("got %s", w.Body)
	}
}

func BenchmarkStatus(b *testing.B) {
	bed := newHistory(b)
	r := bed.signed(b, "GET", "/v3/"+testProject+versionPath(uuid("orders")+"in03", "status?action=upgrade"), "")
	for b.Loop() {
		w := httptest.NewRecorder()
		bed.ServeHTTP(w, r.Clone(b.Context()))
		if w.Code != http.StatusOK {
			b.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
}
