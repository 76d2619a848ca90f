package huawei

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
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

// bed is the facade over the real use cases and a real record, but without an engine: what would
// ask the host or start a workflow answers as the test says.
type bed struct {
	http.Handler

	record  *catalog.Catalog
	control *engineless
	key     string
	secret  string
	now     time.Time
	log     *bytes.Buffer
	ids     []string // of tasks, to be made alike in golden files
}

// engineless answers in place of the engine.
type engineless struct {
	*control.Control

	targets []upgrade.VersionNum
	task    upgrade.Task
	err     error
	strange []control.Call // of strangers
	asked   []control.UpgradeRequest
	actors  []control.Actor
}

func (e *engineless) RecordStranger(call control.Call) {
	e.strange = append(e.strange, call)
	e.Control.RecordStranger(call)
}

func (e *engineless) Targets(context.Context, string) ([]upgrade.VersionNum, error) {
	return e.targets, e.err
}

func (e *engineless) Precheck(_ context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error) {
	e.asked, e.actors = append(e.asked, req), append(e.actors, who)
	return e.task, e.err
}

// Upgrade is the real one, which refuses the mode before it asks anybody, unless the test says otherwise.
func (e *engineless) Upgrade(ctx context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error) {
	if e.err == nil && e.task.ID == "" {
		return e.Control.Upgrade(ctx, who, req)
	}
	e.asked, e.actors = append(e.asked, req), append(e.actors, who)
	return e.task, e.err
}

const testProject = "0123456789abcdef0123456789abcdef"

func newBed(t testing.TB, policy ...string) *bed {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	b := &bed{record: record, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	sealer, err := secret.NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	b.control = &engineless{Control: control.New(control.Deps{Catalog: record, Host: "db1", Sealer: sealer, Now: b.clock})}
	t.Cleanup(b.control.Close)
	b.Handler = New(b.control, Options{Region: "local", Now: b.clock}, slog.New(slog.NewTextHandler(b.log, nil)))
	wanted := control.NewAccessKey{Account: "acme", Description: "test"}
	if len(policy) > 0 {
		wanted.Policy = []byte(policy[0])
	}
	key, secret, err := b.control.CreateAccessKey(t.Context(), control.Actor{Name: "test"}, wanted)
	if err != nil {
		t.Fatal(err)
	}
	b.key, b.secret = key.ID, secret
	return b
}

func (b *bed) clock() time.Time { return b.now }

// uuid gives instances ids that are the same in every run.
func uuid(id string) string { return derived("test", id) }

// addInstance adds an instance as one that has been there for four hours.
func (b *bed) addInstance(t testing.TB, id string) {
	t.Helper()
	err := b.record.AddInstance(t.Context(), upgrade.Instance{
		ID: id, UUID: uuid(id), CreatedAt: b.now.Add(-4 * time.Hour),
		Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/" + id, Port: 5432, Superuser: "postgres"},
		Endpoint: upgrade.Endpoint{
			Driver: upgrade.PgBouncer, Owned: true, Listen: upgrade.Address{Host: "127.0.0.1", Port: 6432},
		},
		Window: &upgrade.Window{Start: 22*60 + 30, End: 2 * 60},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bed) addTask(t testing.TB, instance string, kind upgrade.TaskKind, started time.Time) upgrade.Task {
	t.Helper()
	mode := upgrade.ZeroDowntime
	if kind == upgrade.TaskPrecheck {
		mode = upgrade.BlueGreen // as this API starts them
	}
	return b.addTaskIn(t, instance, kind, mode, started)
}

func (b *bed) addTaskIn(t testing.TB, instance string, kind upgrade.TaskKind, mode upgrade.Mode, started time.Time) upgrade.Task {
	t.Helper()
	task, err := b.record.CreateTask(t.Context(), upgrade.Task{
		Kind: kind, Instance: instance, Mode: mode, Source: 150012, Target: 17,
		Phase: upgrade.PhasePrecheck, StartedAt: started,
		Plan: &upgrade.Plan{
			Instance: instance, Mode: mode, Target: upgrade.Cluster{Version: 170011},
			Options: upgrade.Options{Statistics: upgrade.StatisticsBefore},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ids = append(b.ids, task.ID)
	return task
}

func (b *bed) end(t testing.TB, number int64, outcome upgrade.Outcome, at time.Time) {
	t.Helper()
	if err := b.record.EndTask(t.Context(), number, outcome, at); err != nil {
		t.Fatal(err)
	}
}

// signed makes a signed request as the vendor's Go SDK does.
func (b *bed) signed(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	b.sign(t, r, body)
	return r
}

// sign signs anew, after a change.
func (b *bed) sign(t testing.TB, r *http.Request, body string) {
	t.Helper()
	r.Header.Set("X-Sdk-Date", b.now.Format(sdkDate))
	sum := sha256.Sum256([]byte(body))
	canonical, bad := canonicalRequest(r, r.URL.Query(), []string{"x-sdk-date"}, hex.EncodeToString(sum[:]))
	if bad != nil {
		t.Fatal(bad)
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Access=%s, SignedHeaders=x-sdk-date, Signature=%x",
		algorithm, b.key, sign(canonical, b.now.Format(sdkDate), b.secret)))
}

func (b *bed) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// call makes a signed call below the test's project.
func (b *bed) call(t testing.TB, method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := b.signed(t, method, "/v3/"+testProject+path, body)
	for _, f := range change {
		f(r)
	}
	return b.do(r)
}

// version is the path of an operation on an instance.
func versionPath(id, operation string) string {
	return "/instances/" + id + "/major-version/" + operation
}

// shown is an answer as golden files have it.
func (b *bed) shown(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var text bytes.Buffer
	if err := json.Indent(&text, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	s := text.String()
	for i, id := range b.ids {
		s = strings.ReplaceAll(s, id, fmt.Sprintf("TASK-%d", i+1))
	}
	s = strings.ReplaceAll(s, w.Header().Get("X-Request-Id"), "REQUEST")
	s = strings.ReplaceAll(s, b.key, "KEY")
	return fmt.Sprintf("%d\n%s", w.Code, s)
}

// codeOf reads the code of a refusal, or "" of an answer.
func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if e.Code != "" && (e.RequestID == "" || e.RequestID != w.Header().Get("X-Request-Id")) {
		t.Errorf("request id %q in the body, %q in the header", e.RequestID, w.Header().Get("X-Request-Id"))
	}
	if e.Code != "" {
		return fmt.Sprintf("%d %s", w.Code, e.Code)
	}
	return ""
}
