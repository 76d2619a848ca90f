package huawei

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestWithoutAKeyThereIsNoDoor(t *testing.T) {
	b := newBed(t)
	if _, err := b.control.DisableAccessKey(t.Context(), control.Actor{}, b.key, true); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/instances", "/nosuch"} {
		w := b.call(t, "GET", path, "")
		if w.Code != http.StatusNotFound || w.Header().Get("X-Request-Id") != "" || strings.Contains(w.Body.String(), "APIGW") {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func TestWhoComesInBySignature(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	path := versionPath("orders", "upgrade-histories")
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"signed":                 {func(*http.Request) {}, ""},
		"no credentials":         {func(r *http.Request) { r.Header.Del("Authorization") }, "401 APIGW.0301"},
		"two signatures":         {func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, "401 APIGW.0301"},
		"unknown key":            {func(r *http.Request) { replaceKey(r, b.key, "NOSUCH") }, "401 APIGW.0301"},
		"derived key":            {func(r *http.Request) { replaceKey(r, algorithm, derivedAlgorithm) }, "401 APIGW.0301"},
		"bad token besides":      {set("X-Auth-Token", "nonsense"), ""},
		"another project":        {set("X-Project-Id", "other"), "403 DBS.200010"},
		"the same project":       {set("X-Project-Id", testProject), ""},
		"date in the past":       {set("X-Sdk-Date", b.now.Add(-16*time.Minute).Format(sdkDate)), "401 APIGW.0301"},
		"unsigned payload":       {set("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD"), "401 APIGW.0301"},
		"parameter twice":        {func(r *http.Request) { r.URL.RawQuery = "limit=1&limit=1" }, "400 APIGW.0201"},
		"parameter not signed":   {func(r *http.Request) { r.URL.RawQuery = "limit=1" }, "401 APIGW.0301"},
		"large header":           {set("X-Large", strings.Repeat("x", maxHeader)), "413 APIGW.0201"},
		"large body":             {func(r *http.Request) { r.Body = http.NoBody; r.Body = body(maxBody + 1) }, "413 APIGW.0201"},
		"body that was not told": {func(r *http.Request) { r.Body = body(1) }, "401 APIGW.0301"},
	} {
		w := b.call(t, "GET", path, "", test.change)
		if got := codeOf(t, w); got != test.want {
			t.Errorf("%s: got %q, want %q: %s", name, got, test.want, w.Body)
		}
	}
}

func replaceKey(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

func body(n int) *slowBody { return &slowBody{strings.NewReader(strings.Repeat(" ", n))} }

// slowBody is a body whose length is not announced.
type slowBody struct{ *strings.Reader }

func (*slowBody) Close() error { return nil }

// A captured request that changes something is worth nothing.
func TestPostIsNotReplayed(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	b.control.task.ID = "3f1b5e0a-0000-4000-8000-000000000001"
	const text = `{"target_version":"17"}` + "\n"
	captured := b.signed(t, "POST", "/v3/p1"+versionPath("orders", "inspection"), text)
	send := func(signature func(string) string) string {
		r := captured.Clone(t.Context())
		r.Body = &slowBody{strings.NewReader(text)}
		auth := r.Header.Get("Authorization")
		at := strings.LastIndex(auth, "=") + 1
		r.Header.Set("Authorization", auth[:at]+signature(auth[at:]))
		return codeOf(t, b.do(r))
	}
	same := func(s string) string { return s }
	if got := send(same); got != "" {
		t.Fatalf("first: got %q", got)
	}
	for name, change := range map[string]func(string) string{"again": same, "in capitals": strings.ToUpper} {
		if got := send(change); got != "401 APIGW.0301" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	b.now = b.now.Add(maxSkew)
	if got := send(same); got != "401 APIGW.0301" {
		t.Errorf("at the end of its time: got %q", got)
	}
	if len(b.control.asked) != 1 {
		t.Errorf("%d inspections were started", len(b.control.asked))
	}
	if len(b.control.strange) != 3 {
		t.Errorf("%d replays are recorded within bounds", len(b.control.strange))
	}
	get := b.signed(t, "GET", "/v3/p1"+versionPath("orders", "upgrade-histories"), "")
	for range 2 {
		if got := codeOf(t, b.do(get.Clone(t.Context()))); got != "" {
			t.Errorf("reading twice: got %q", got)
		}
	}
}

// A replay with a wrong signature must not use a client's own signature up.
func TestOnlyVerifiedSignaturesAreRemembered(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	b.control.task.ID = "3f1b5e0a-0000-4000-8000-000000000001"
	r := b.signed(t, "POST", "/v3/p1"+versionPath("orders", "inspection"), `{"target_version":"17"}`)
	tampered := r.Clone(t.Context())
	tampered.Body = &slowBody{strings.NewReader(`{"target_version":"18"}`)}
	if got := codeOf(t, b.do(tampered)); got != "401 APIGW.0301" {
		t.Errorf("another body: got %q", got)
	}
	if got := codeOf(t, b.do(r)); got != "" {
		t.Errorf("the client's own: got %q", got)
	}
}

func tokenBody(key, secret string) string {
	text, _ := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{
			"methods":  []string{"password"},
			"password": map[string]any{"user": map[string]any{"name": key, "password": secret, "domain": map[string]any{"name": "acme"}}},
		},
		"scope": map[string]any{"project": map[string]any{"name": "local"}},
	}})
	return string(text)
}

func (b *bed) post(t *testing.T, target, text string) *httptest.ResponseRecorder {
	t.Helper()
	return b.do(httptest.NewRequestWithContext(t.Context(), "POST", target, strings.NewReader(text)))
}

func TestTokens(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	use := func(token string) string {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v3/p1"+versionPath("orders", "upgrade-histories"), nil)
		r.Header.Set("X-Auth-Token", token)
		return codeOf(t, b.do(r))
	}
	for name, text := range map[string]string{
		"wrong secret": tokenBody(b.key, b.secret+"x"), "no secret": tokenBody(b.key, ""), "unknown key": tokenBody("NOSUCH", ""),
		"odd key": tokenBody("a\nb", "x"),
	} {
		if got := codeOf(t, b.post(t, "/v3/auth/tokens", text)); got != "401 APIGW.0301" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	w := b.post(t, "/v3/auth/tokens", tokenBody(b.key, b.secret))
	token := w.Header().Get("X-Subject-Token")
	if w.Code != http.StatusCreated || token == "" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	golden(t, "answers/token", b.shown(t, w)+"\n")
	issued := b.now
	for name, test := range map[string]struct {
		token string
		after time.Duration
		want  string
	}{
		"fresh": {token, 0, ""}, "after hours": {token, 23 * time.Hour, ""}, "after a day": {token, 24 * time.Hour, "401 APIGW.0301"},
		"changed": {token[:len(token)-2] + "AA", 0, "401 APIGW.0301"}, "none": {"", 0, "401 APIGW.0301"},
	} {
		b.now = issued.Add(test.after)
		if got := use(test.token); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	b.now = issued
	if _, _, err := b.control.RotateAccessKey(t.Context(), control.Actor{}, b.key); err != nil {
		t.Fatal(err)
	}
	if got := use(token); got != "401 APIGW.0301" {
		t.Errorf("after a rotation: got %q", got)
	}
}

func TestProjects(t *testing.T) {
	b := newBed(t)
	golden(t, "answers/projects", b.shown(t, b.do(b.signed(t, "GET", "/v3/projects?name=eu-west-0", "")))+"\n")
	for query, want := range map[string]string{"": "", "?name=a%20b": "400 DBS.280001", "?name=a&name=b": "400 APIGW.0201"} {
		if got := codeOf(t, b.do(b.signed(t, "GET", "/v3/projects"+query, ""))); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

func TestWhereThereIsNoAPI(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	for _, target := range []string{
		"GET /v3/", "GET /v3/p1", "GET /v3//instances", "GET /v3/p1/../instances", "GET /v3/p1/instances/", "DELETE /v3/p1/instances",
		"POST /v3/p1/instances/orders/major-version/status", "GET /v3/p1/instances/orders/major-version/upgrade",
		"POST /v3/p1/instances/orders/major-upgrade", "PUT /v3/p1/instances/orders/upgrade-version/precheck",
		"GET /v3/p1/major-version-feature", "GET /v3/auth/tokens", "GET /v3/%2e%2e/instances",
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := codeOf(t, b.do(b.signed(t, method, path, ""))); got != "404 APIGW.0101" {
			t.Errorf("%s: got %q", target, got)
		}
	}
}

const onlyOrders = `{"Version":"1","Statement":[
	{"Effect":"Allow","Action":"rds:instance:listAll","Resource":"acs:rds:local:acme:dbinstance/orders*"},
	{"Effect":"Allow","Action":"rds:instance:modify","Resource":"acs:rds:local:acme:dbinstance/orders"},
	{"Effect":"Deny","Action":"rds:instance:list","Resource":"acs:rds:*:*:dbinstance/orders-secret"}]}`

// What may not be seen looks like what does not exist.
func TestPermissions(t *testing.T) {
	b := newBed(t, onlyOrders)
	for _, id := range []string{"orders", "billing", "orders-secret"} {
		b.addInstance(t, id)
	}
	task := b.addTask(t, "billing", "upgrade", b.now)
	own := b.addTask(t, "orders", "upgrade", b.now)
	const changing = `{"target_version":"17","is_change_private_ip":false}`
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", versionPath("orders", "upgrade-histories"), "", ""},
		{"GET", versionPath(uuid("orders")+"in03", "upgrade-histories"), "", ""},
		{"POST", versionPath("orders", "upgrade"), changing, "409 DBS.200019"}, // allowed: it gets as far as the running one
		{"GET", versionPath("orders-secret", "upgrade-histories"), "", "403 APIGW.0302"},
		{"POST", versionPath("orders-secret", "upgrade"), changing, "403 APIGW.0302"},
		{"GET", versionPath("orders-x", "status?action=check"), "", "404 DBS.200002"},
		{"GET", versionPath("billing", "upgrade-histories"), "", "403 APIGW.0302"},
		{"GET", versionPath(uuid("billing")+"in03", "upgrade-histories"), "", "403 APIGW.0302"},
		{"GET", versionPath("nosuch", "upgrade-histories"), "", "403 APIGW.0302"},
		{"GET", versionPath(uuid("nosuch")+"in03", "upgrade-histories"), "", "403 APIGW.0302"},
		{"GET", "/jobs?id=" + own.ID, "", ""},
		{"GET", "/jobs?id=" + task.ID, "", "403 APIGW.0302"},
		{"GET", "/jobs?id=" + strings.Replace(task.ID, task.ID[:4], "0000", 1), "", "403 APIGW.0302"},
		{"GET", "/instances", "", ""},
	} {
		w := b.call(t, test.method, test.path, test.body)
		if got := codeOf(t, w); got != test.want {
			t.Errorf("%s %s: got %q, want %q: %s", test.method, test.path, got, test.want, w.Body)
		}
	}
	var list instanceList
	if err := json.Unmarshal(b.call(t, "GET", "/instances", "").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if list.Total != 1 || list.Instances[0].Name != "orders" {
		t.Errorf("got %+v, want orders alone", list)
	}
}

// Refusals of what exists and of what does not differ in what the caller wrote only.
func TestRefusalsDoNotTellWhatExists(t *testing.T) {
	b := newBed(t, onlyOrders)
	b.addInstance(t, "billing")
	refusal := func(id string) string {
		w := b.call(t, "GET", versionPath(id, "status?action=check"), "")
		return strings.NewReplacer(id, "ID", w.Header().Get("X-Request-Id"), "REQUEST").Replace(fmt.Sprint(w.Code, w.Body))
	}
	want := refusal("nosuch")
	for _, id := range []string{"billing", uuid("billing") + "in03", uuid("nosuch") + "in03", "billing-old-7"} {
		if diff := cmp.Diff(want, refusal(id)); diff != "" {
			t.Errorf("%s (-unknown +this):\n%s", id, diff)
		}
	}
}

func TestConditions(t *testing.T) {
	const policy = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:*","Resource":"*","Condition":{
		"IpAddress":{"acs:SourceIp":"192.0.2.0/24"},"Bool":{"acs:SecureTransport":"false"},
		"DateLessThan":{"acs:CurrentTime":"2026-04-01T00:00:00Z"}}}]}`
	b := newBed(t, policy)
	b.addInstance(t, "orders")
	ask := func(from string) string {
		return codeOf(t, b.call(t, "GET", versionPath("orders", "upgrade-histories"), "", func(r *http.Request) { r.RemoteAddr = from }))
	}
	if got := ask("192.0.2.7:40000"); got != "" {
		t.Errorf("from the network: got %q", got)
	}
	if got := ask("198.51.100.7:40000"); got != "403 APIGW.0302" {
		t.Errorf("from elsewhere: got %q", got)
	}
	b.now = b.now.AddDate(0, 2, 0)
	if got := ask("192.0.2.7:40000"); got != "403 APIGW.0302" {
		t.Errorf("too late: got %q", got)
	}
}

// throttled admits nobody.
type throttled struct{ *engineless }

func (throttled) Admit(string) error { return &control.Throttled{RetryAfter: 1500 * time.Millisecond} }

func TestThrottling(t *testing.T) {
	b := newBed(t)
	b.Handler = New(throttled{b.control}, Options{Region: "local", Now: b.clock}, nil)
	w := b.call(t, "GET", "/instances", "")
	if got := codeOf(t, w); got != "429 APIGW.0308" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("got %q, Retry-After %q", got, w.Header().Get("Retry-After"))
	}
	if len(b.control.strange) != 1 {
		t.Errorf("%d calls are recorded within bounds", len(b.control.strange))
	}
}

// blind cannot look anything up.
type blind struct{ *engineless }

func (blind) Instance(context.Context, string) (upgrade.Instance, error) {
	return upgrade.Instance{}, errors.New("the record burns")
}

// Who may not see an instance learns nothing of it, neither by the time nor by the failure of a look.
func TestNothingIsLookedUpWithoutPermission(t *testing.T) {
	b := newBed(t, `{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:*","Resource":"acs:rds:*:*:dbinstance/orders"}]}`)
	b.addInstance(t, "secret")
	b.Handler = New(blind{b.control}, Options{Region: "local", Now: b.clock}, nil)
	for id, want := range map[string]string{
		"secret": "403 APIGW.0302", "nosuch": "403 APIGW.0302", "orders-old-1": "403 APIGW.0302", "orders": "500 DBS.200005", "Not an id": "400 DBS.280404",
	} {
		if got := codeOf(t, b.call(t, "GET", versionPath(strings.ReplaceAll(id, " ", "%20"), "status?action=check"), "")); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}

// panicking has a fault.
type panicking struct{ *engineless }

func (panicking) Targets(context.Context, string) ([]upgrade.VersionNum, error) { panic("a fault") }

func TestAFaultIsAnsweredAndLogged(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	var log bytes.Buffer
	b.Handler = New(panicking{b.control}, Options{Region: "local", Now: b.clock}, slog.New(slog.NewTextHandler(&log, nil)))
	w := b.call(t, "GET", versionPath("orders", "available-version"), "")
	if got := codeOf(t, w); got != "500 DBS.200005" || strings.Contains(w.Body.String(), "a fault") {
		t.Errorf("got %q: %s", got, w.Body)
	}
	if !strings.Contains(log.String(), "a fault") || !strings.Contains(log.String(), w.Header().Get("X-Request-Id")) {
		t.Errorf("logged: %s", log.String())
	}
}

func TestEveryCallIsRecorded(t *testing.T) {
	b := newBed(t)
	b.addInstance(t, "orders")
	requests := []*httptest.ResponseRecorder{
		b.call(t, "GET", versionPath(uuid("orders")+"in03", "status?action=upgrade"), ""),
		b.call(t, "GET", versionPath("orders", "upgrade-histories"), ""),
		b.call(t, "GET", "/instances", "", func(r *http.Request) { replaceKey(r, "Signature=", "Signature=00") }),
		b.call(t, "GET", "/instances", "", func(r *http.Request) { r.Header.Del("Authorization") }),
		b.call(t, "GET", "/nosuch", ""),
		b.post(t, "/v3/auth/tokens", tokenBody(b.key, "guessed")),
		b.post(t, "/v3/auth/tokens", tokenBody(b.key, b.secret)),
	}
	calls, err := b.control.Calls(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range calls {
		got[c.RequestID] = strings.ReplaceAll(c.Who+"|"+c.What+"|"+c.Object+"|"+c.Result, b.key, "KEY")
		if strings.Contains(got[c.RequestID], b.secret) || strings.Contains(got[c.RequestID], "guessed") {
			t.Errorf("a secret is in the record: %s", got[c.RequestID])
		}
	}
	unauthenticated := "APIGW.0301 " + msgBadAuthorization.text(english)
	want := []string{
		"access key KEY|huawei ShowUpgradeDbMajorVersionStatus|orders|DBS.200086 " + msgNeverUpgraded.text(english, "id", uuid("orders")+"in03"),
		"access key KEY|huawei ListUpgradeHistories|orders|ok",
		"nobody|huawei ListInstances||" + unauthenticated,
		"nobody|huawei ListInstances||APIGW.0301 " + msgNoCredentials.text(english),
		"nobody|huawei unknown API||APIGW.0101 " + msgUnknownAPI.text(english, "method", "GET", "path", "/v3/"+testProject+"/nosuch"),
		"access key KEY (not verified)|huawei KeystoneCreateUserTokenByPassword||APIGW.0301 " + msgBadPassword.text(english),
		"access key KEY|huawei KeystoneCreateUserTokenByPassword||ok",
	}
	for i, w := range requests {
		if diff := cmp.Diff(want[i], got[w.Header().Get("X-Request-Id")]); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
	}
}
