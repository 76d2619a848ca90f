package aliyun

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bed is the operations on a record of their own. There is no engine: what is tested here comes
// to its end before one is needed.
type bed struct {
	*api
	t      *testing.T
	record *catalog.Catalog
}

func newBed(t *testing.T, options Options) *bed {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	c := control.New(control.Deps{Catalog: record, Host: "db1", Now: func() time.Time { return noon }})
	return &bed{
		api: newAPI(c, c, options, slog.New(slog.DiscardHandler), actions()), t: t, record: record,
	}
}

// do runs an operation as the frame does, once the caller is known.
func (b *bed) do(action string, p params) (any, error) {
	b.t.Helper()
	known := b.actions[action]
	if known == nil {
		b.t.Fatalf("there is no operation %s", action)
	}
	return known.do(b.t.Context(), b.api, &call{params: p, caller: control.Caller{KeyID: "LTAItest"}, requestID: "r1"})
}

// must runs an operation that is going to succeed.
func (b *bed) must(action string, p params) any {
	b.t.Helper()
	answer, err := b.do(action, p)
	if err != nil {
		b.t.Fatalf("%s: %v", action, err)
	}
	return answer
}

// refused runs an operation and returns the code that it refuses with.
func (b *bed) refused(action string, p params) (code, message string) {
	b.t.Helper()
	answer, err := b.do(action, p)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		b.t.Fatalf("%s: got %+v (%v), want a refusal", action, answer, err)
	}
	raised(b.t, e.Code)
	return e.Code, e.Message
}

// raised checks that the table of codes knows of a code that it is raised.
func raised(t *testing.T, code string) {
	t.Helper()
	if known, ok := errorCodes[code]; !ok || known.never != "" {
		t.Errorf("code %s is raised, and the table of codes says otherwise (%q)", code, known.never)
	}
}

// ok stops a test that could not be set up.
func (b *bed) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) addInstance(id string, version upgrade.VersionNum) {
	b.t.Helper()
	b.ok(b.record.AddInstance(b.t.Context(), upgrade.Instance{
		ID: id, CreatedAt: noon.Add(-time.Hour),
		Cluster: upgrade.Cluster{Host: "db1", Version: version, Pgdata: "/srv/" + id, Port: 5432},
		Endpoint: upgrade.Endpoint{
			Driver: upgrade.PgBouncer, Owned: true, Dir: "/srv/pgb", Listen: upgrade.Address{Host: "127.0.0.1", Port: 6432},
		},
	}))
}

// begin starts a task some minutes after noon.
func (b *bed) begin(instance string, kind upgrade.TaskKind, minutes int, source upgrade.VersionNum, target upgrade.Major) upgrade.Task {
	b.t.Helper()
	task, err := b.record.CreateTask(b.t.Context(), upgrade.Task{
		Kind: kind, Instance: instance, Mode: upgrade.ZeroDowntime, Source: source, Target: target,
		Phase: upgrade.PhasePrecheck, StartedAt: after(minutes),
		Plan: &upgrade.Plan{
			Instance: instance, Mode: upgrade.ZeroDowntime,
			Target:  upgrade.Cluster{Version: upgrade.VersionNum(target) * 10000, Port: 5433},
			Options: upgrade.Options{Statistics: upgrade.StatisticsAfter},
		},
	})
	b.ok(err)
	return task
}

func (b *bed) enter(task upgrade.Task, phase upgrade.Phase, minutes int) {
	b.t.Helper()
	b.ok(b.record.EnterPhase(b.t.Context(), task.Number, phase, after(minutes)))
}

func (b *bed) tell(task upgrade.Task, minutes int, text string) {
	b.t.Helper()
	b.ok(b.record.AppendEvents(b.t.Context(), task.Number, text, []upgrade.Event{
		{At: after(minutes), Level: upgrade.LevelInfo, Phase: task.Phase, Text: text},
	}))
}

func (b *bed) end(task upgrade.Task, minutes int, outcome upgrade.Outcome) {
	b.t.Helper()
	b.ok(b.record.EndTask(b.t.Context(), task.Number, outcome, after(minutes)))
}

func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// addFormer leaves the source of a successful upgrade behind.
func (b *bed) addFormer(instance string) (id string) {
	b.t.Helper()
	task := b.begin(instance, upgrade.TaskUpgrade, 0, 150018, 17)
	b.ok(b.record.AddFormerCluster(b.t.Context(), catalog.FormerCluster{
		Number: task.Number, Instance: instance, Since: after(8),
		Cluster: upgrade.Cluster{Host: "db1", Version: 150018, Pgdata: "/srv/before", Port: 5431},
	}))
	b.end(task, 9, upgrade.Outcome{Status: upgrade.StatusSucceeded})
	formers, err := b.control.Formers(b.t.Context())
	b.ok(err)
	return formers[len(formers)-1].ID
}

// refusal is a line of a table of requests that are refused.
type refusal struct {
	name   string
	params params
	code   string
	says   string // part of the message
}
