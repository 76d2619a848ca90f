// Package catalogtest says what the record promises, on whichever engine it is kept.
package catalogtest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Run checks every promise. open returns an empty record, which is closed when its test ends.
func Run(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	for _, promises := range []struct {
		of  string
		run func(t *testing.T, open func(t *testing.T) *catalog.Catalog)
	}{
		{"instances", instances},
		{"what upgrades leave", aftermath},
		{"revisions", revisions},
		{"tasks", tasks},
		{"phases", phases},
		{"upgrades that go on", reopened},
		{"events", events},
		{"lag", lag},
		{"reports", reports},
		{"comparisons", comparisons},
		{"history", history},
		{"former clusters", formerClusters},
		{"access keys", accessKeys},
		{"API calls", apiCalls},
		{"client tokens", clientTokens},
		{"audit", audit},
		{"settings", settings},
		{"at once", atOnce},
	} {
		t.Run(promises.of, func(t *testing.T) { promises.run(t, open) })
	}
}

// noon is when every story here begins. Its nanoseconds and its zone are not kept.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))

// kept is noon as it is read back.
var kept = time.Date(2026, 3, 1, 11, 0, 0, 123456000, time.UTC)

func after(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func keptAfter(seconds int) time.Time { return kept.Add(time.Duration(seconds) * time.Second) }

func orders() upgrade.Instance {
	return upgrade.Instance{
		ID: "orders",
		Cluster: upgrade.Cluster{
			Host: "db1", Name: "main", Version: 150018, Bindir: "/usr/lib/postgresql/15/bin", Pgdata: "/data/orders",
			Port: 5432, Owner: "postgres", Superuser: "postgres", Manager: upgrade.ManagerPgCtl,
		},
		Endpoint: upgrade.Endpoint{
			Driver: upgrade.PgBouncer, Owned: true, Listen: upgrade.Address{Host: "127.0.0.1", Port: 6432},
		},
		CreatedAt: kept,
		UUID:      "0123456789abcdef0123456789abcdef",
	}
}

// another is an instance beside orders. It gets its UUID when it is added.
func another(id string) upgrade.Instance {
	in := orders()
	in.ID, in.UUID, in.Cluster.Pgdata = id, "", "/data/"+id
	return in
}

func withInstances(t *testing.T, c *catalog.Catalog, all ...upgrade.Instance) *catalog.Catalog {
	t.Helper()
	for _, in := range all {
		must(t, c.AddInstance(t.Context(), in))
	}
	return c
}

func anUpgrade(instance string) upgrade.Task {
	return upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: instance, Mode: upgrade.ZeroDowntime,
		Source: 150018, Target: 17, StartedAt: noon, RequestedBy: "token cli",
	}
}

func aPrecheck(instance string) upgrade.Task {
	task := anUpgrade(instance)
	task.Kind = upgrade.TaskPrecheck
	return task
}

func created(t *testing.T, c *catalog.Catalog, task upgrade.Task) upgrade.Task {
	t.Helper()
	task, err := c.CreateTask(t.Context(), task)
	must(t, err)
	return task
}

func ended(t *testing.T, c *catalog.Catalog, number int64, status upgrade.Status) {
	t.Helper()
	must(t, c.EndTask(t.Context(), number, upgrade.Outcome{Status: status}, after(3600)))
}

func taskNow(t *testing.T, c *catalog.Catalog, number int64) upgrade.Task {
	t.Helper()
	task, err := c.Task(t.Context(), number)
	must(t, err)
	return task
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what was read with what was to be read. An empty list is not told from none.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refused checks that the user is told so, what is the matter and what to do.
func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	refusal, ok := errors.AsType[*upgrade.Refused](err)
	if !ok {
		t.Errorf("got error %v, want a refusal", err)
		return
	}
	if refusal.Remedy == "" {
		t.Errorf("%q does not say what to do", refusal)
	}
	for _, part := range says {
		if !strings.Contains(refusal.Error(), part) {
			t.Errorf("%q does not say %q", refusal, part)
		}
	}
}

func missing(t *testing.T, err error, kind string) {
	t.Helper()
	absent, ok := errors.AsType[*upgrade.NotFound](err)
	if !ok || absent.Kind != kind {
		t.Errorf("got error %v, want that there is no such %s", err, kind)
	}
}
