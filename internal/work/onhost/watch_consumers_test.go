package onhost

import (
	"maps"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The user is told of a slot at half and at most of the cap and when the disk is nearly full, of each once.
func TestConsumersAreToldOfOnce(t *testing.T) {
	const gib = 1 << 30
	plan := upgrade.Plan{Target: upgrade.Cluster{Port: 5433}, Options: upgrade.Options{MaxRetainedWAL: 10 * gib}}
	var c consumerWatch
	for _, step := range []struct {
		name  string
		slots map[string]int64
		free  int64 // of 100 GiB
		want  []string
	}{
		{"nobody", nil, 50 * gib, nil},
		{"little", map[string]int64{"lake": 4 * gib}, 50 * gib, nil},
		{"half", map[string]int64{"lake": 6 * gib}, 50 * gib, []string{
			"port 5433, which clients have left, keeps 6144 MiB of WAL for slot lake of database shop, beside the 10240 MiB",
		}},
		{"half, still", map[string]int64{"lake": 7 * gib, "audit": gib}, 50 * gib, nil},
		{"most, and another", map[string]int64{"lake": 9 * gib, "audit": 9 * gib}, 50 * gib, []string{"slot audit", "slot lake"}},
		{"a full disk", map[string]int64{"lake": 9 * gib, "new": 1 << 20}, 4 * gib, []string{"4096 MiB of 102400 MiB are left"}},
		{"a full disk, still", map[string]int64{"lake": 11 * gib}, 3 * gib, nil},
		{"read", map[string]int64{"lake": gib}, 50 * gib, nil},
		{"half again", map[string]int64{"lake": 6 * gib}, 50 * gib, []string{"slot lake"}},
		{"a full disk that others fill", map[string]int64{"lake": ourShare}, gib, nil},
	} {
		var slots []postgres.IdleConsumer
		for _, name := range []string{"audit", "lake", "new"} {
			if retained, there := step.slots[name]; there {
				slots = append(slots, postgres.IdleConsumer{Name: name, Database: "shop", Retained: retained})
			}
		}
		c.judge(plan, slots, step.free, 100*gib)
		if len(c.warnings) != len(step.want) {
			t.Errorf("%s: told %q, want %q", step.name, c.warnings, step.want)
			continue
		}
		for i, want := range step.want {
			if !strings.Contains(c.warnings[i], want) || !strings.Contains(c.warnings[i], "SELECT pg_drop_replication_slot('") {
				t.Errorf("%s: told %q, want %q", step.name, c.warnings[i], want)
			}
		}
		for name := range step.slots {
			if !strings.Contains(c.shown, "slot "+name+" of somebody else keeps") {
				t.Errorf("%s: shown %q", step.name, c.shown)
			}
		}
	}
}

// The WAL of a consumer that nobody reads any more is measured, and what is told to be done helps.
func TestAbandonedConsumer(t *testing.T) {
	versions := pgtest.Versions(t)
	old := pgtest.Start(t, versions[0])
	conn := old.Connect(t, "postgres")
	if err := postgres.EnsureRole(t.Context(), conn, "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAA:AAAA"); err != nil {
		t.Fatal(err)
	}
	old.Exec(t, "postgres",
		"SELECT pg_create_logical_replication_slot('lake', 'test_decoding')",
		"SELECT pg_create_logical_replication_slot('pgleap_5', 'pgoutput')",
		"SELECT pg_create_physical_replication_slot('standby', true)",
		"CREATE TABLE written AS SELECT generate_series(1, 20000) AS i")
	plan := upgrade.Plan{
		Target:  upgrade.Cluster{Port: old.Port, Pgdata: old.Pgdata},
		Options: upgrade.Options{MaxRetainedWAL: 1 << 20},
	}
	c := consumerWatch{}
	if shown := c.look(t.Context(), plan); !strings.Contains(shown, "slot lake of somebody else keeps") || strings.Count(shown, "slot ") != 1 {
		t.Errorf("shown %q", shown)
	}
	if len(c.warnings) != 1 || !maps.Equal(c.told, map[string]int{"lake": keepsHalf | keepsMost}) {
		t.Fatalf("told %q, %v", c.warnings, c.told)
	}
	_, statement, _ := strings.Cut(c.warnings[0], "run there: ")
	old.Exec(t, "postgres", statement)
	c = consumerWatch{told: c.told}
	if shown := c.look(t.Context(), plan); shown != "" || len(c.warnings) > 0 || len(c.told) > 0 {
		t.Errorf("after it was dropped: shown %q, told %q, %v", shown, c.warnings, c.told)
	}
}
