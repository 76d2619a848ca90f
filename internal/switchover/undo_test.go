package switchover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/pgtest"
)

// TestNotSwitching covers everything after which clients go on at the source, on one instance: each
// test leaves it as it found it.
func TestNotSwitching(t *testing.T) {
	t.Parallel()
	b := lay(t)
	t.Run("refused", func(t *testing.T) { refusals(t, b) })
	t.Run("deadline", func(t *testing.T) { deadline(t, b) })
	t.Run("somebody still writes", func(t *testing.T) { stillWriting(t, b) })
	t.Run("sequences appear", func(t *testing.T) { sequencesAppear(t, b) })
	t.Run("a view is replaced", func(t *testing.T) { viewReplaced(t, b) })
	t.Run("interrupted", func(t *testing.T) { interrupts(t, b) })
	t.Run("fence is still under way", func(t *testing.T) { fenceUnderWay(t, b) })
	t.Run("ended by somebody else before the pause", func(t *testing.T) { endedBeforePause(t, b) })
	t.Run("journal is out of reach", func(t *testing.T) { noJournal(t, b) })
	t.Run("and then it switches", func(t *testing.T) { turnWaits(t, b) })
}

// refusals are told while nobody waits.
func refusals(t *testing.T, b *bed) {
	both := func(t *testing.T, database, sql string) {
		b.source.Exec(t, database, sql)
		b.target.Exec(t, database, sql)
	}
	session := func(t *testing.T, dsn string) func() {
		conn, err := pgconn.Connect(t.Context(), dsn)
		must(t, "connect", err)
		return func() { must(t, "disconnect", conn.Close(context.WithoutCancel(t.Context()))) }
	}
	transaction := func(t *testing.T) func() {
		client := b.bouncer.Connect(t, "app", "app")
		tx, err := client.Begin(t.Context())
		must(t, "begin", err)
		_, err = tx.Exec(t.Context(), "SELECT 1")
		must(t, "stay in the transaction", err)
		watch := b.ours(t, b.source, "postgres")
		await(t, "the transaction to be old", func() bool {
			var old bool
			err := watch.QueryRow(t.Context(), `
				SELECT EXISTS (
					SELECT FROM pg_stat_activity
					WHERE usename = 'app' AND xact_start < clock_timestamp() - interval '2.1 s')`).Scan(&old)
			must(t, "look at transactions", err)
			return old
		})
		return func() { must(t, "roll back", tx.Rollback(context.WithoutCancel(t.Context()))) }
	}
	for _, c := range []struct {
		name    string
		violate func(t *testing.T) (mend func())
		want    []string
	}{
		{
			"a session goes around the endpoint",
			func(t *testing.T) func() { return session(t, b.source.DSN("app")) },
			[]string{"1 sessions do not come through the endpoint", "user postgres, database app", "--terminate-direct-clients"},
		},
		{
			"a walsender of a database takes SQL too",
			func(t *testing.T) func() { return session(t, b.source.DSN("app")+"&replication=database") },
			[]string{"1 sessions do not come through the endpoint", "user postgres, database app"},
		},
		{
			"a transaction is old", transaction,
			[]string{"a transaction has been open for", "longer than 2s", "let it end or terminate it"},
		},
		{
			"a transaction is prepared",
			func(t *testing.T) func() {
				b.source.Exec(t, "app", "BEGIN", "INSERT INTO entry (ref) VALUES ('prepared')", "PREPARE TRANSACTION 'x'")
				return func() { b.source.Exec(t, "app", "ROLLBACK PREPARED 'x'") }
			},
			[]string{"1 prepared transactions are open on the source"},
		},
		{
			"a table is on the source only",
			func(t *testing.T) func() {
				b.source.Exec(t, "shop", "CREATE TABLE late (id int PRIMARY KEY)")
				return func() { b.source.Exec(t, "shop", "DROP TABLE late") }
			},
			[]string{"(schema) changed since the upgrade began", "only on the source", "column public.late.id integer not null", "make the same change on the side that lacks it"},
		},
		{
			"a table is on both sides and not replicated",
			func(t *testing.T) func() {
				both(t, "shop", "CREATE TABLE late (id int PRIMARY KEY)")
				return func() { both(t, "shop", "DROP TABLE late") }
			},
			[]string{"1 tables of database shop are not replicated: public.late", "REFRESH PUBLICATION"},
		},
		{
			"a view of the target is another one",
			func(t *testing.T) func() {
				b.target.Exec(t, "shop", "CREATE OR REPLACE VIEW of_two AS SELECT id, ref FROM entry WHERE ref::varchar IN ('a', 'c')")
				return func() { b.target.Exec(t, "shop", viewOfTwo) }
			},
			[]string{"2 definitions (schema) changed", "only on the target: view public.of_two: SELECT", "'c'"},
		},
		{
			"a sequence has another step",
			func(t *testing.T) func() {
				b.source.Exec(t, "app", "ALTER SEQUENCE entry_id_seq INCREMENT 7")
				return func() { b.source.Exec(t, "app", "ALTER SEQUENCE entry_id_seq INCREMENT 1") }
			},
			[]string{"(schema) changed", "sequence public.entry_id_seq as bigint start 1 by 7"},
		},
		{
			"a role has another password",
			func(t *testing.T) func() {
				b.source.Exec(t, "postgres", "ALTER ROLE app PASSWORD 'changed'")
				return func() { b.source.Exec(t, "postgres", "ALTER ROLE app PASSWORD NULL") }
			},
			[]string{"(role or database) changed", "role app login"},
		},
		{
			"somebody may connect to a database",
			func(t *testing.T) func() {
				b.source.Exec(t, "postgres", "REVOKE CONNECT ON DATABASE shop FROM PUBLIC", "GRANT CONNECT ON DATABASE shop TO app WITH GRANT OPTION")
				return func() {
					both(t, "postgres", "REVOKE ALL ON DATABASE shop FROM app; GRANT CONNECT ON DATABASE shop TO PUBLIC")
				}
			},
			[]string{
				"(role or database) changed", "only on the source: privilege on database shop: CONNECT with grant option to app",
				"only on the target: privilege on database shop: CONNECT to public",
			},
		},
		{
			"a database has another owner",
			func(t *testing.T) func() {
				b.source.Exec(t, "postgres", "ALTER DATABASE shop OWNER TO app")
				return func() { b.source.Exec(t, "postgres", "ALTER DATABASE shop OWNER TO postgres") }
			},
			[]string{"(role or database) changed", "only on the source: database shop of app"},
		},
		{
			"a subscription is disabled",
			func(t *testing.T) func() {
				b.target.Exec(t, "shop", "ALTER SUBSCRIPTION pgleap_forward DISABLE")
				return func() { b.target.Exec(t, "shop", "ALTER SUBSCRIPTION pgleap_forward ENABLE") }
			},
			[]string{"the subscription of database shop is not working"},
		},
		{
			"a privilege was granted",
			func(t *testing.T) func() {
				b.source.Exec(t, "app", "GRANT SELECT ON entry TO PUBLIC")
				return func() { b.source.Exec(t, "app", "REVOKE SELECT ON entry FROM PUBLIC") }
			},
			[]string{"(schema) changed", "only on the source: privilege on table public.entry: SELECT to public"},
		},
		{
			"the endpoint leads elsewhere",
			func(t *testing.T) func() {
				b.source.Exec(t, "app", "SELECT setval('entry_id_seq', 4711)")
				b.lead(t, b.target)
				return func() {
					b.lead(t, b.source)
					var value int
					target := b.ours(t, b.target, "app")
					must(t, "read sequence", target.QueryRow(t.Context(), "SELECT last_value FROM public.entry_id_seq").Scan(&value))
					if value == 4711 {
						t.Error("a sequence was set on the target")
					}
				}
			},
			[]string{fmt.Sprintf("the endpoint leads to 127.0.0.1:%d, not to the source", b.target.Port)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			mend := c.violate(t)
			config := b.config(t)
			config.Plan.Options.SwitchoverTimeout = 4 * time.Second // what may pass is waited for
			config.OnStep = func(step string) {
				if !strings.HasPrefix(step, "ready") {
					t.Errorf("step %q began", step)
				}
			}
			outcome, err := Run(t.Context(), config)
			mend()
			must(t, "switch over", err)
			if outcome.Switched {
				t.Fatal("it switched")
			}
			for _, want := range c.want {
				if !strings.Contains(outcome.Reason, want) {
					t.Errorf("reason is %q, want %q in it", outcome.Reason, want)
				}
			}
			b.wantStage(t, config.Journal, StageNone)
			b.wantServing(t, b.source)
			b.synchronize(t)
		})
	}
}

const viewOfTwo = "CREATE OR REPLACE VIEW of_two AS SELECT id, ref FROM entry WHERE ref::varchar IN ('a', 'b')"

// viewReplaced: a definition changes after it was found alike. It was worded differently before, too.
func viewReplaced(t *testing.T, b *bed) {
	config := b.config(t)
	config.OnStep = func(step string) {
		if step == "pause" {
			b.source.Exec(t, "app", "CREATE OR REPLACE VIEW of_two AS SELECT id, ref FROM entry WHERE ref::varchar IN ('a', 'c')")
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	b.source.Exec(t, "app", viewOfTwo)
	if want := "view public.of_two: SELECT"; outcome.Switched || !strings.Contains(outcome.Reason, want) {
		t.Errorf("switched: %v, reason is %q, want %q in it", outcome.Switched, outcome.Reason, want)
	}
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// deadline: a transaction that stays open keeps the pause from completing.
func deadline(t *testing.T, b *bed) {
	client := b.bouncer.Connect(t, "app", "app")
	config := b.config(t)
	config.Plan.Options.SwitchoverTimeout = 6 * time.Second // the preparations have as long, on a busy machine too
	var tx pgx.Tx
	config.OnStep = func(step string) {
		if step != "pause" {
			return
		}
		var err error
		tx, err = client.Begin(t.Context())
		must(t, "begin", err)
		_, err = tx.Exec(t.Context(), "INSERT INTO entry (ref) VALUES ('open at the deadline')")
		must(t, "write", err)
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	for _, want := range []string{"the switchover was not done within 6s (switchoverTimeout)", "user app in database app", "let these transactions end"} {
		if !strings.Contains(outcome.Reason, want) {
			t.Errorf("reason is %q, want %q in it", outcome.Reason, want)
		}
	}
	if outcome.Switched || outcome.Pause > 15*time.Second { // the deadline counts from before the pause
		t.Errorf("switched: %v, pause: %s, want an undone one of some six seconds", outcome.Switched, outcome.Pause)
	}
	must(t, "commit what was open", tx.Commit(t.Context()))
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// turnWaits: the replication cannot be ended until a client has gone on at the target.
func turnWaits(t *testing.T, b *bed) {
	client, holder := b.bouncer.Connect(t, "app", "app"), b.ours(t, b.target, "app")
	config := b.config(t)
	var served sync.WaitGroup
	config.OnStep = func(step string) {
		if step != "turn" {
			return
		}
		_, err := holder.Exec(t.Context(), "BEGIN; COMMENT ON SUBSCRIPTION pgleap_forward IS 'locked'")
		must(t, "lock subscription", err)
		served.Go(func() {
			_, err := client.Exec(t.Context(), "INSERT INTO entry (ref) VALUES ('before the turn')")
			must(t, "write as a client", err)
			_, err = holder.Exec(t.Context(), "ROLLBACK")
			must(t, "unlock subscription", err)
		})
	}
	outcome, err := Run(t.Context(), config)
	served.Wait()
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	b.wantStage(t, config.Journal, StageDone)
	b.wantServing(t, b.target)
	var enabled bool
	must(t, "look at the subscription", b.ours(t, b.target, "app").QueryRow(t.Context(),
		"SELECT bool_or(subenabled) FROM pg_subscription WHERE subname = 'pgleap_forward'").Scan(&enabled))
	if enabled {
		t.Error("a subscription is still enabled")
	}
}

// stillWriting: a transaction that no fence ends, as that of a background worker, stays open. Nobody
// else takes an xid meanwhile, so the snapshot is always the same.
func stillWriting(t *testing.T, b *bed) {
	worker := b.ours(t, b.source, "app")
	config := b.config(t)
	config.Plan.Options.SwitchoverTimeout = 6 * time.Second // the preparations have as long, on a busy machine too
	config.OnStep = func(step string) {
		if step == "proof" { // after the marker: its xid is in no snapshot
			_, err := worker.Exec(t.Context(), "BEGIN; INSERT INTO public.entry (ref) VALUES ('of a worker')")
			must(t, "write", err)
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	_, err = worker.Exec(t.Context(), "ROLLBACK")
	must(t, "roll back", err)
	for _, want := range []string{"not done within 6s", "a transaction that writes stays open on the source", fmt.Sprint("pid ", worker.PgConn().PID())} {
		if !strings.Contains(outcome.Reason, want) {
			t.Errorf("reason is %q, want %q in it", outcome.Reason, want)
		}
	}
	if outcome.Switched {
		t.Error("it switched")
	}
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// sequencesAppear: a sequence is created on both sides when the schemas have been compared.
func sequencesAppear(t *testing.T, b *bed) {
	config := b.config(t)
	config.OnStep = func(step string) {
		if step == "pause" {
			ours(t, b, b.source, "CREATE SEQUENCE public.late")
			ours(t, b, b.target, "CREATE SEQUENCE public.late")
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	ours(t, b, b.source, "DROP SEQUENCE public.late")
	ours(t, b, b.target, "DROP SEQUENCE public.late")
	if want := "sequences were created meanwhile; try again"; outcome.Switched || !strings.Contains(outcome.Reason, want) {
		t.Errorf("switched: %v, reason: %q, want %q in it", outcome.Switched, outcome.Reason, want)
	}
	b.wantServing(t, b.source)
}

func ours(t *testing.T, b *bed, c *pgtest.Cluster, sql string) {
	t.Helper()
	conn := b.ours(t, c, "app")
	_, err := conn.Exec(t.Context(), sql)
	must(t, sql, err)
	must(t, "disconnect", conn.Close(t.Context()))
}

// interrupts: a cancel at any step before the commit point undoes everything.
func interrupts(t *testing.T, b *bed) {
	for _, at := range []string{"guard", "pause", "fence", "drain", "sequences", "proof", "snapshots"} {
		t.Run(at, func(t *testing.T) {
			ctx, interrupt := context.WithCancelCause(t.Context())
			defer interrupt(nil)
			config := b.config(t)
			config.OnStep = func(step string) {
				if step == at {
					interrupt(errors.New("canceled")) // as Temporal's client does
				}
			}
			config.StartGuard = func(ctx context.Context) (*endpoint.Guard, error) {
				config.OnStep("guard")
				return nil, context.Cause(ctx)
			}
			outcome, err := Run(ctx, config)
			must(t, "switch over", err)
			if outcome.Switched || outcome.Reason != errInterrupted.Error() {
				t.Errorf("switched: %v, reason: %q", outcome.Switched, outcome.Reason)
			}
			b.wantStage(t, config.Journal, StageUndone)
			b.wantServing(t, b.source)
		})
	}
}

// fenceUnderWay: the server is busy with a fence whose sender has given up. It must not go up after
// the way back has lifted it.
func fenceUnderWay(t *testing.T, b *bed) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	config := b.config(t)
	watch := b.ours(t, b.source, "postgres")
	released := make(chan error, 1)
	config.OnStep = func(step string) {
		if step != "fence" {
			return
		}
		blocker, err := pgx.Connect(t.Context(), b.source.DSN("postgres"))
		must(t, "connect", err)
		_, err = blocker.Exec(t.Context(), "BEGIN; ALTER ROLE direct CONNECTION LIMIT 50")
		must(t, "hold a role", err)
		go func() {
			defer blocker.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is rolled back, and ended
			if err := awaitCount(watch, 1, sessionSection); err != nil {
				released <- err
				return
			}
			interrupt()
			released <- awaitCount(watch, 0, sessionSection) // ended by the way back, not by us
		}()
	}
	outcome, err := Run(ctx, config)
	must(t, "switch over", err)
	must(t, "see the fence waiting and ended", <-released)
	if outcome.Switched || outcome.Reason != errInterrupted.Error() {
		t.Errorf("switched: %v, reason: %q", outcome.Switched, outcome.Reason)
	}
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// endedBeforePause: another process has taken this one for dead, and undone the attempt, right before this one holds
// the clients. Nobody else would let them go.
func endedBeforePause(t *testing.T, b *bed) {
	config := b.config(t)
	config.OnStep = func(step string) {
		if step == "pause" {
			_, err := Recover(t.Context(), config)
			must(t, "end it", err)
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	if outcome.Switched {
		t.Error("it switched")
	}
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
	b.wantSettings(t)
}

// wantSettings wants PgBouncer to go by its file, and nothing of ours to lie beside that.
func (b *bed) wantSettings(t *testing.T) {
	t.Helper()
	state, err := b.config(t).Endpoint.Describe(t.Context())
	must(t, "look at PgBouncer", err)
	if state.Paused() {
		t.Error("PgBouncer is paused")
	}
	must(t, "check PgBouncer", b.config(t).Endpoint.Check(t.Context()))
	left, err := filepath.Glob(filepath.Join(filepath.Dir(b.bouncer.IniPath), ".*pgleap-*"))
	must(t, "look for files", err)
	if len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// awaitCount waits until so many sessions of a name wait for a lock.
func awaitCount(watch *pgx.Conn, want int, application string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		var count int
		err := watch.QueryRow(ctx, `
			SELECT count(*) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Lock'`, application).Scan(&count)
		if err != nil {
			return fmt.Errorf("count sessions of %s: %w", application, err)
		}
		if count == want {
			return nil
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d sessions of %s wait, want %d: %w", count, application, want, err)
		}
	}
}

// noJournal: a journal that can be read but no longer written, as on a full disk, must not keep
// clients waiting.
func noJournal(t *testing.T, b *bed) {
	config := b.config(t)
	path := config.Journal.path
	config.OnStep = func(step string) {
		if step == "drain" {
			full(t, path)
		}
	}
	begun := time.Now()
	_, err := Run(t.Context(), config)
	if err == nil {
		t.Error("it says that all is well, but nothing was written")
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("clients waited up to %s", took)
	}
	b.wantServing(t, b.source)
	b.wantStage(t, config.Journal, StageIntent) // whoever finds it undoes what is undone
	refill(t, path)
	_, err = Recover(t.Context(), config)
	must(t, "recover", err)
	b.wantStage(t, config.Journal, StageUndone)
	b.wantServing(t, b.source)
}

// full makes a journal one that can be read but not written: it is not written through a link.
func full(t *testing.T, path string) {
	t.Helper()
	must(t, "rename", os.Rename(path, path+".real"))
	must(t, "link", os.Symlink(path+".real", path))
}

func refill(t *testing.T, path string) {
	t.Helper()
	must(t, "rename", os.Rename(path+".real", path))
}
