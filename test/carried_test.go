package test

import (
	"context"
	"testing"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

// What logical replication does not carry is carried nevertheless: changes of definitions, rows of a table
// without a key, the contents of a materialized view, the slot of another consumer.
func TestCarried(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	s.must(s.source.Exec(s.ctx, harness.Shop,
		"CREATE TABLE keyless (a int, b text)", "INSERT INTO keyless SELECT i, 'old' FROM generate_series(1, 10) i",
		"CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS rows FROM keyless",
		"SELECT pg_create_logical_replication_slot('captured', 'test_decoding')"))
	s.write()
	number := s.upgrade("--full-identity", "--allow-ddl")
	s.synchronized(number)
	s.must(s.source.Exec(s.ctx, harness.Shop,
		"UPDATE keyless SET b = 'new' WHERE a = 3", "DELETE FROM keyless WHERE a = 4",
		"REFRESH MATERIALIZED VIEW summary",
		"CREATE TABLE late (id int PRIMARY KEY)", "INSERT INTO late VALUES (1)",
		"ALTER TABLE late ADD COLUMN note text", "INSERT INTO late VALUES (2, 'two')"))
	s.synchronized(number)
	s.switchOver(0)
	task := s.serves(number)
	if task.Verification == nil || !task.Verification.Identical {
		t.Errorf("the verification came to %+v", task.Verification)
	}
	consumers := task.Switchover.Consumers
	if len(consumers) != 1 || consumers[0].Name != "captured" || consumers[0].OldEnd == "" || consumers[0].NewStart == "" {
		t.Errorf("the slots of others: %+v", consumers)
	}
	s.must(harness.Await(s.ctx, 20*time.Second, "the consumer's slot on the target", func(ctx context.Context) error {
		var plugin string
		return s.target().QueryRow(ctx, harness.Shop, "SELECT plugin FROM pg_replication_slots WHERE slot_name = 'captured'", &plugin)
	}))
	s.succeeds(number)
	for query, want := range map[string]string{
		"SELECT count(*)::text || count(*) FILTER (WHERE b = 'new') FROM keyless": "91",
		"SELECT rows::text FROM summary":                                          "9",
		"SELECT string_agg(id || coalesce(note, ''), ',' ORDER BY id) FROM late":  "1,2two",
		"SELECT relreplident::text FROM pg_class WHERE relname = 'keyless'":       "d",
	} {
		var got string
		s.must(s.target().QueryRow(s.ctx, harness.Shop, query, &got))
		if got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	s.told(number)
}
