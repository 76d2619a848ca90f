package aliyun

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// signedAt is when the requests of these tests are made, unless they say otherwise.
var signedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	testKey    = "TESTAK"
	testSecret = "TESTSK"
)

// fakeGate is a door with one key, one instance, and a memory.
type fakeGate struct {
	mu        sync.Mutex
	closed    bool
	callers   map[string]control.Caller
	nonces    map[string]time.Time
	late      bool // that a nonce was used is found out only while the request is answered
	admit     error
	admitted  int   // how often that was asked
	failure   error // of everything that asks the record
	tokens    map[control.Once][]byte
	busy      bool
	revisions map[string]int64
	calls     []control.Call
	strangers int // of the calls
}

func (g *fakeGate) HasAccessKeys(context.Context) (bool, error) { return !g.closed, nil }

func (g *fakeGate) Caller(_ context.Context, keyID string) (control.Caller, error) {
	if g.failure != nil {
		return control.Caller{}, g.failure
	}
	caller, ok := g.callers[keyID]
	if !ok {
		return caller, &upgrade.NotFound{Kind: "access key", Name: keyID}
	}
	return caller, nil
}

func (g *fakeGate) UseNonce(_ context.Context, keyID, nonce string, until time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, used := g.nonces[keyID+" "+nonce]; used {
		return &control.Replayed{}
	}
	g.nonces[keyID+" "+nonce] = until
	return nil
}

func (g *fakeGate) NoteNonce(ctx context.Context, keyID, nonce string, until time.Time) (func() error, error) {
	if err := g.UseNonce(ctx, keyID, nonce, until); err != nil {
		if g.late {
			return func() error { return err }, nil
		}
		return nil, err
	}
	return func() error { return nil }, nil
}

func (g *fakeGate) Admit(string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted++
	return g.admit
}

func (g *fakeGate) Once(ctx context.Context, o control.Once, do func(context.Context) ([]byte, error)) ([]byte, error) {
	if g.busy {
		return nil, &control.TokenBusy{}
	}
	for before, answer := range g.tokens {
		if before.Account == o.Account && before.Action == o.Action && before.Token == o.Token {
			if before.Digest != o.Digest {
				return nil, &control.TokenMismatch{}
			}
			return answer, nil
		}
	}
	answer, err := do(ctx)
	if err == nil {
		g.tokens[o] = answer
	}
	return answer, err
}

func (g *fakeGate) Revision(_ context.Context, instance string) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	revision, ok := g.revisions[instance]
	if !ok {
		return 0, &upgrade.NotFound{Kind: "instance", Name: instance}
	}
	return revision, nil
}

func (g *fakeGate) RecordStranger(c control.Call) {
	g.strangers++
	g.RecordCall(c)
}

func (g *fakeGate) RecordCall(c control.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, c)
}

// door is a server with operations of its own, and what it did.
type door struct {
	*fakeGate
	api *api
	ran int // operations
	now time.Time
}

func newDoor(t testing.TB, change ...func(*Options)) *door {
	t.Helper()
	d := &door{now: signedAt, fakeGate: &fakeGate{
		nonces: map[string]time.Time{}, tokens: map[control.Once][]byte{}, revisions: map[string]int64{"orders": 1},
		callers: map[string]control.Caller{testKey: {
			KeyID: testKey, Account: "1000", Secret: testSecret, Policy: authz.FullAccess(),
		}},
	}}
	o := Options{Region: "local", SignatureV1: true, EchoStringToSign: true, Now: func() time.Time { return d.now }}
	for _, f := range change {
		f(&o)
	}
	id := func(p lookup) string { return p.text("DBInstanceId") }
	do := func(_ context.Context, _ *api, c *call) (any, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ran++
		switch c.params.text("DBInstanceId") {
		case "panics":
			panic("at the disco")
		case "missing":
			return nil, fail("InvalidDBInstanceName.NotFound", "")
		}
		return struct {
			DBInstanceID string   `json:"DBInstanceId"`
			PageSize     string   `json:"PageSize,omitempty"`
			Ran          int      `json:"Ran"`
			Items        []string `json:"Items"`
		}{c.params.text("DBInstanceId"), c.params.text("PageSize"), d.ran, []string{"a", "<b>"}}, nil
	}
	d.api = newAPI(nil, d.fakeGate, o, slog.New(slog.DiscardHandler), []action{
		{name: "DescribeUpgradeMajorVersionTasks", object: id, required: []string{"DBInstanceId"}, reads: true, do: do},
		{name: "Cached", object: id, required: []string{"DBInstanceId"}, cached: true, do: do},
		{name: "WithToken", object: id, required: []string{"DBInstanceId"}, clientToken: true, do: do},
		{name: "SwitchOverMajorVersionUpgrade", object: id, unscoped: true, clientToken: true, do: do},
		{name: "DescribeRegions", unscoped: true, do: do},
	})
	return d
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
	code   string // of an error
	text   string // its message
}

func (d *door) send(t testing.TB, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	d.api.ServeHTTP(w, r)
	got := reply{status: w.Code, header: w.Result().Header, body: w.Body.String()}
	var told struct{ Code, Message string }
	read := json.Unmarshal
	if strings.HasPrefix(got.body, "<") {
		read = xml.Unmarshal
	}
	if err := read(w.Body.Bytes(), &told); err != nil && got.header.Get("X-Acs-Request-Id") != "" {
		t.Fatalf("answer cannot be read: %v\n%s", err, got.body)
	}
	got.code, got.text = told.Code, told.Message
	return got
}

func (d *door) wantCode(t testing.TB, what string, r *http.Request, status int, code string) reply {
	t.Helper()
	got := d.send(t, r)
	if got.status != status || got.code != code {
		t.Errorf("%s: got %d %s, want %d %s\n%s", what, got.status, got.code, status, code, got.body)
	}
	return got
}

func (d *door) wantOK(t testing.TB, what string, r *http.Request) reply {
	t.Helper()
	got := d.send(t, r)
	if got.status != http.StatusOK || got.code != "" {
		t.Errorf("%s: got %d %s, want 200\n%s", what, got.status, got.code, got.body)
	}
	return got
}

// v1 is a request with the first signature.
type v1 struct {
	method string
	path   string
	query  url.Values
	form   url.Values
	secret string
	header http.Header
}

// newV1 is a request for the upgrades of an instance.
func newV1() v1 {
	return v1{method: "POST", path: "/", secret: testSecret, form: url.Values{}, header: http.Header{}, query: url.Values{
		"Action": {"DescribeUpgradeMajorVersionTasks"}, "Version": {"2014-08-15"}, "Format": {"JSON"}, "AccessKeyId": {testKey},
		"SignatureMethod": {"HMAC-SHA1"}, "SignatureVersion": {"1.0"}, "SignatureNonce": {"n-1"}, "SignatureType": {""},
		"Timestamp": {"2026-01-02T03:04:05Z"}, "RegionId": {"cn-hangzhou"}, "DBInstanceId": {"orders"}, "PageSize": {"30"},
	}}
}

// set returns the request with other parameters in the query.
func (c v1) set(pairs ...string) v1 {
	c.query = maps.Clone(c.query)
	for i := 0; i < len(pairs); i += 2 {
		c.query[pairs[i]] = []string{pairs[i+1]}
	}
	return c
}

func (c v1) without(names ...string) v1 {
	c.query = maps.Clone(c.query)
	for _, name := range names {
		delete(c.query, name)
	}
	return c
}

// signed puts the signature into the query.
func (c v1) signed() v1 {
	var all []parameter
	for _, part := range []url.Values{c.query, c.form} {
		for name, values := range part {
			all = append(all, parameter{name: name, value: values[0]})
		}
	}
	slices.SortFunc(all, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return c.set("Signature", base64Of(signV1(c.secret, stringToSignV1(c.method, all))))
}

func (c v1) request() *http.Request {
	var body io.Reader
	if len(c.form) > 0 {
		body = strings.NewReader(c.form.Encode())
	}
	r := httptest.NewRequest(c.method, c.path+"?"+c.query.Encode(), body)
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, c.header)
	return r
}

// v3 is a request with the third signature.
type v3 struct {
	method, path, host string
	query              url.Values
	body               string
	header             map[string]string // names in lower case
	unsigned           []string          // headers that are sent, but not signed
	unsent             []string          // headers that are signed, but not sent
	keyID, secret      string
	signature          string // "": the right one
}

func newV3() v3 {
	return v3{
		method: "POST", path: "/", host: "127.0.0.1:8080", keyID: testKey, secret: testSecret,
		query: url.Values{"DBInstanceId": {"orders"}, "PageSize": {"30"}},
		header: map[string]string{
			"x-acs-action": "DescribeUpgradeMajorVersionTasks", "x-acs-version": "2014-08-15",
			"x-acs-date": "2026-01-02T03:04:05Z", "x-acs-signature-nonce": "n-1",
		},
	}
}

func (c v3) set(name, value string) v3 {
	c.header = maps.Clone(c.header)
	c.header[name] = value
	return c
}

func (c v3) ask(pairs ...string) v3 {
	c.query = maps.Clone(c.query)
	for i := 0; i < len(pairs); i += 2 {
		c.query[pairs[i]] = []string{pairs[i+1]}
	}
	return c
}

// withForm puts parameters into the body.
func (c v3) withForm(form url.Values) v3 {
	c.body = form.Encode()
	return c.set("content-type", "application/x-www-form-urlencoded")
}

func (c v3) request() *http.Request {
	r := httptest.NewRequest(c.method, c.path+"?"+c.query.Encode(), strings.NewReader(c.body))
	r.Host = c.host
	bodyHash := hexSHA256([]byte(c.body))
	if given, ok := c.header["x-acs-content-sha256"]; ok {
		bodyHash = given
	}
	r.Header.Set("X-Acs-Content-Sha256", bodyHash)
	names := []string{"host", "x-acs-content-sha256"}
	for name, value := range c.header {
		r.Header.Set(name, value)
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return slices.Contains(c.unsigned, name) })
	signedHeaders := strings.Join(names, ";")
	signature := c.signature
	if signature == "" {
		list, err := appendParameters(nil, r.URL.RawQuery, false)
		if err != nil {
			panic(err)
		}
		slices.SortStableFunc(list, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
		q := &request{http: r, sorted: list}
		signature = hexOf(signV3(c.secret, stringToSignV3(canonicalRequestV3(q, signedHeaders, c.host, bodyHash))))
	}
	r.Header.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+c.keyID+",SignedHeaders="+signedHeaders+",Signature="+signature)
	for _, name := range c.unsent {
		r.Header.Del(name)
	}
	return r
}
