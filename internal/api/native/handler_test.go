package native

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const token = "correct-horse"

// testAPI is a running API over the real use cases and a real record, but without an engine: what is
// tested with it comes to its end before one is needed.
type testAPI struct {
	*httptest.Server

	record *catalog.Catalog
	use    *control.Control
	log    *bytes.Buffer
}

func start(t *testing.T) testAPI {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	var log bytes.Buffer
	sealer, err := secret.NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	use := control.New(control.Deps{Catalog: record, Host: "db1", Sealer: sealer})
	server := httptest.NewServer(New(use, token, slog.New(slog.NewTextHandler(&log, nil))))
	t.Cleanup(server.Close)
	return testAPI{server, record, use, &log}
}

// call makes a request as somebody who knows the token and returns status and body.
func (a testAPI) call(t *testing.T, method, path, body string, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for _, f := range change {
		f(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func (a testAPI) add(t *testing.T, id string) upgrade.Task {
	t.Helper()
	ctx := t.Context()
	err := a.record.AddInstance(ctx, upgrade.Instance{
		ID: id, Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/" + id, Port: 5432}, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	task, err := a.record.CreateTask(ctx, upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: id, Mode: upgrade.ZeroDowntime, Source: 150012, Target: 17, Phase: upgrade.PhasePrecheck,
	})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func TestWhoMayComeIn(t *testing.T) {
	a := start(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"token":                     {func(*http.Request) {}, http.StatusOK},
		"token, other case":         {header("Authorization", "bearer "+token), http.StatusOK},
		"no token":                  {header("Authorization", ""), http.StatusUnauthorized},
		"wrong token":               {header("Authorization", "Bearer correct-hors"), http.StatusUnauthorized},
		"longer token":              {header("Authorization", "Bearer "+token+"e"), http.StatusUnauthorized},
		"another scheme":            {header("Authorization", "Basic "+token), http.StatusUnauthorized},
		"localhost":                 {host("localhost:1234"), http.StatusOK},
		"localhost without port":    {host("LOCALHOST"), http.StatusOK},
		"IPv6 loopback":             {host("[::1]:1234"), http.StatusOK},
		"IPv6 loopback, no port":    {host("[::1]"), http.StatusOK},
		"name that was rebound":     {host("evil.example:1234"), http.StatusMisdirectedRequest},
		"loopback as a prefix":      {host("127.0.0.1.evil.example"), http.StatusMisdirectedRequest},
		"an address of the network": {host("192.0.2.1:1234"), http.StatusMisdirectedRequest},
	} {
		response, body := a.call(t, "GET", "/api/v1/instances", "", test.change)
		if response.StatusCode != test.want {
			t.Errorf("%s: got %s: %s", name, response.Status, body)
		}
	}
}

func TestWhomTheCallerMeans(t *testing.T) {
	for name, test := range map[string]struct {
		host, reached string
		encrypted     bool
		want          bool
	}{
		"address of the network":            {"192.0.2.1:8432", "192.0.2.1", false, true},
		"another address of the network":    {"192.0.2.2:8432", "192.0.2.1", false, false},
		"IPv6 address of the network":       {"[2001:db8::1]:8432", "2001:db8::1", false, true},
		"the address that all listen on":    {"0.0.0.0:8432", "127.0.0.1", false, true},
		"name":                              {"db1.example:8432", "192.0.2.1", false, false},
		"name, vouched for by certificate":  {"db1.example:8432", "192.0.2.1", true, true},
		"loopback in front of a forwarding": {"127.0.0.1:1234", "192.0.2.1", false, true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Host = test.host
		if test.encrypted {
			r.TLS = &tls.ConnectionState{}
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(test.reached), Port: 8432}))
		if got := meant(r); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestAnEmptyTokenOpensNothing(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/api/v1/instances", nil)
	r.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	New(nil, "", slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("got %d", w.Code)
	}
}

func TestAnswers(t *testing.T) {
	a := start(t)
	a.add(t, "orders")
	for _, test := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", "/api/v1/openapi.yaml", "", 200, "openapi: 3.0.3"},
		{"GET", "/api/v1/instances", "", 200, `[{"id":"orders","cluster":{"host":"db1"`},
		{"GET", "/api/v1/instances/orders", "", 200, `"pgdata":"/srv/orders"`},
		{"GET", "/api/v1/instances/nosuch", "", 404, "instance nosuch does not exist"},
		{"GET", "/api/v1/tasks?instance=orders", "", 200, `[{"number":1,`},
		{"GET", "/api/v1/tasks?status=failed", "", 200, `[]`},
		{"GET", "/api/v1/tasks?status=odd", "", 400, "is unknown"},
		{"GET", "/api/v1/tasks?limit=1001", "", 400, "out of range"},
		{"GET", "/api/v1/tasks?instance=nosuch", "", 404, "instance nosuch"},
		{"GET", "/api/v1/tasks/1", "", 200, `"status":"running"`},
		{"GET", "/api/v1/tasks/2", "", 404, "task 2 does not exist"},
		{"GET", "/api/v1/tasks/abc", "", 400, "number"},
		{"GET", "/api/v1/tasks/1/events", "", 200, `[]`},
		{"GET", "/api/v1/tasks/1/lag", "", 200, `[]`},
		{"GET", "/api/v1/tasks/2/lag", "", 404, "task 2 does not exist"},
		{"GET", "/api/v1/tasks/1/report", "", 404, "report 1 does not exist"},
		{"GET", "/api/v1/tasks/1/report?format=html", "", 404, "report 1 does not exist"},
		{"POST", "/api/v1/instances", "", 400, "the request has no body"},
		{"POST", "/api/v1/instances", "{", 400, "JSON"},
		{"POST", "/api/v1/instances", `{"id":"x"}`, 400, "the cluster is not named"},
		{"POST", "/api/v1/instances", `{"port":5432,"pgbouncer":"adopt"}`, 400, "PgBouncer to adopt"},
		{"POST", "/api/v1/instances", `{"port":"5432"}`, 400, "port"},
		{"POST", "/api/v1/instances", `{"id":"` + strings.Repeat("x", 2<<20) + `"}`, 400, "larger than 1048576 bytes"},
		{"POST", "/api/v1/instances/nosuch/upgrades", `{"target":17}`, 404, "instance nosuch"},
		{"POST", "/api/v1/instances/orders/upgrades", `{"target":15}`, 422, "cannot be upgraded to 15"},
		{"POST", "/api/v1/instances/orders/upgrades", `{"target":17,"mode":"logical"}`, 422, "not available yet"},
		{"POST", "/api/v1/instances/orders/upgrades", `{"target":17}`, 409, "upgrade 1 of instance orders is running"},
		{"POST", "/api/v1/instances/orders/prechecks", `{"target":17,"options":{"jobs":-1}}`, 400, "jobs"},
		{"POST", "/api/v1/instances/orders/switchover", `{"verb":"switch"}`, 409, `is in phase \"precheck\"`},
		{"POST", "/api/v1/instances/orders/switchover", `{"verb":"jump"}`, 400, "is unknown"},
		{"POST", "/api/v1/instances/orders/switchover", `{"verb":"switch","timeoutSeconds":9}`, 400, "switchoverTimeout 9s is out of range"},
		{"POST", "/api/v1/instances/orders/switchover", `{"verb":"switch","timeoutSeconds":30}`, 409, `is in phase \"precheck\"`},
		{"POST", "/api/v1/instances/orders/switchover", `{"verb":"switch","timeoutSeconds":18446744103}`, 400, "timeoutSeconds"},
		{"PUT", "/api/v1/instances/orders/window", `{"start":1320,"end":120}`, 200, `"window":{"start":1320,"end":120}`},
		{"PUT", "/api/v1/instances/orders/window", `{"start":1320,"end":1440}`, 400, "minutes after midnight"},
		{"PUT", "/api/v1/instances/orders/window", `{"start":-1,"end":0}`, 400, "minutes after midnight"},
		{"PUT", "/api/v1/instances/orders/window", `{}`, 400, "is empty"},
		{"PUT", "/api/v1/instances/nosuch/window", `{"start":1320,"end":120}`, 404, "instance nosuch does not exist"},
		{"GET", "/api/v1/instances/orders", "", 200, `"window":{"start":1320,"end":120}`},
		{"GET", "/api/v1/audit?limit=1", "", 200, `"what":"set window 22:00Z-02:00Z"`},
		{"GET", "/api/v1/audit?limit=1001", "", 400, "out of range"},
		{"GET", "/api/v1/calls", "", 200, `[]`},
		{"GET", "/api/v1/calls?limit=-1", "", 400, "out of range"},
		{"GET", "/api/v1/formers", "", 200, `[]`},
		{"GET", "/api/v1/formers/orders-old-1", "", 404, "former cluster of upgrade 1 does not exist"},
		{"GET", "/api/v1/formers/orders", "", 404, "former cluster orders does not exist"},
		{"POST", "/api/v1/formers/orders-old-1/retire", "", 404, "does not exist"},
		{"GET", "/api/v1/access-keys", "", 200, `[]`},
		{"POST", "/api/v1/access-keys", `{"account":"a b"}`, 400, "cannot be an account's name"},
		{"POST", "/api/v1/access-keys", `{"policy":{"Version":"2"}}`, 400, "the policy cannot be read"},
		{"POST", "/api/v1/access-keys", `{"policy":null}`, 400, "the policy cannot be read"},
		{"POST", "/api/v1/access-keys", `{"policy":"full"}`, 400, "the policy cannot be read"},
		{"POST", "/api/v1/access-keys/nosuch/disable", "", 404, "access key nosuch does not exist"},
		{"POST", "/api/v1/access-keys/nosuch/enable", "", 404, "access key nosuch does not exist"},
		{"POST", "/api/v1/access-keys/nosuch/rotate", "", 404, "access key nosuch does not exist"},
		{"DELETE", "/api/v1/instances/orders", "", 409, "is running"},
		{"GET", "/api/v1/nothing", "", 404, "there is no GET /api/v1/nothing"},
		{"POST", "/api/v1/tasks", "", 404, "there is no POST /api/v1/tasks"},
	} {
		response, body := a.call(t, test.method, test.path, test.body)
		if response.StatusCode != test.status || !strings.Contains(body, test.contains) {
			t.Errorf("%s %s: got %s: %.300s", test.method, test.path, response.Status, body)
		}
		if test.status >= 400 {
			wellFormed(t, test.method+" "+test.path, response, body)
		}
	}
}

// wellFormed checks problem details.
func wellFormed(t *testing.T, what string, response *http.Response, body string) {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(p.Status) || p.Status != response.StatusCode || p.Detail == "" ||
		p.RequestId == "" || p.RequestId != response.Header.Get("X-Request-Id") ||
		response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: these are no problem details: %s", what, body)
	}
}

func TestWhatFailsIsInTheLogAndNotInTheAnswer(t *testing.T) {
	a := start(t)
	a.record.Close()
	response, body := a.call(t, "GET", "/api/v1/instances", "")
	wellFormed(t, "closed record", response, body)
	if response.StatusCode != http.StatusInternalServerError || strings.Contains(body, "database") {
		t.Errorf("got %s: %s", response.Status, body)
	}
	id := response.Header.Get("X-Request-Id")
	response, body = a.call(t, "GET", "/api/v1/health", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "the catalogue cannot be read") {
		t.Errorf("health: got %s: %s", response.Status, body)
	}
	a.Close() // nobody writes to the log any more
	if log := a.log.String(); !strings.Contains(log, id) || !strings.Contains(log, "database is closed") {
		t.Errorf("the log does not have the cause of request %s: %s", id, log)
	}
}

func TestThePersonIsInTheRecord(t *testing.T) {
	a := start(t)
	for claimed, want := range map[string]string{"dba@example": "dba@example", "": "api", "a b\nc": "api", strings.Repeat("x", 65): "api"} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("Pgleap-User", claimed)
		if got := claimedName(r); got != want {
			t.Errorf("%q: got %q, want %q", claimed, got, want)
		}
	}
	response, _ := a.call(t, "DELETE", "/api/v1/instances/nosuch", "", func(r *http.Request) { r.Header.Set("Pgleap-User", "dba") })
	entries, err := a.record.AuditEntries(t.Context(), 1)
	if err != nil || len(entries) != 1 || entries[0].Who != "dba" || entries[0].RequestID != response.Header.Get("X-Request-Id") {
		t.Errorf("got %+v (%v)", entries, err)
	}
}

func TestStreamTellsATaskToItsEnd(t *testing.T) {
	a := start(t)
	task := a.add(t, "orders")
	say := func(key, text string) {
		err := a.record.AppendEvents(t.Context(), task.Number, key, []upgrade.Event{{At: time.Now(), Level: upgrade.LevelInfo, Phase: task.Phase, Text: text}})
		if err != nil {
			t.Error(err)
		}
	}
	say("1", "first")
	say("2", "second")
	reader := openStream(t, a, "/api/v1/tasks/1/stream", func(r *http.Request) { r.Header.Set("Last-Event-ID", "1") })
	reader.until("second", "first")
	reader.until(`"status":"running"`, "")
	if err := a.record.EnterPhase(t.Context(), task.Number, upgrade.PhaseBaseBackup, time.Now()); err != nil {
		t.Fatal(err)
	}
	reader.until(`"phase":"base backup"`, "")
	say("3", "third")
	if err := a.record.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusSucceeded}, time.Now()); err != nil {
		t.Fatal(err)
	}
	reader.until("third", "event: end")
	reader.until("event: end", "")
	reader.until(`"status":"succeeded"`, "")
	rest, err := io.ReadAll(reader)
	if err != nil || strings.Contains(string(rest), "event:") {
		t.Errorf("after the end: %q (%v)", rest, err)
	}
	if response, body := a.call(t, "GET", "/api/v1/tasks/9/stream", ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("unknown task: got %s: %s", response.Status, body)
	}
}
