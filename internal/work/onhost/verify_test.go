package onhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/temporal"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
	"github.com/pgleap/pgleap/internal/verify"
)

// TestHoldSnapshots is a process that holds snapshots. It does nothing unless it is started as one.
func TestHoldSnapshots(t *testing.T) {
	path := os.Args[len(os.Args)-1]
	if !isSnapshots(path) {
		t.Skip("only for a process of its own")
	}
	w := workerIn(filepath.Dir(filepath.Dir(filepath.Dir(path))), "", GuardCommand{}, slog.New(slog.DiscardHandler))
	if err := w.Guard(context.Background(), path); err != nil {
		t.Fatal(err)
	}
}

// verifyTables is how many tables there are, beside that of the large objects. Each of the four sessions that read them may end the one that
// it is at when it is told to stop; the others are then left.
const verifyTables = 9

// verifyBed is two clusters whose tables all differ in one row, and workers that compare them.
type verifyBed struct {
	*upgradeBed
	target *pgtest.Cluster
	dir    string
	files  files
}

func newVerifyBed(t *testing.T) *verifyBed {
	t.Helper()
	versions := pgtest.Versions(t)
	b := &verifyBed{upgradeBed: &upgradeBed{T: t}, dir: filepath.Join(t.TempDir(), "agent")}
	b.source, b.target = pgtest.Pair(t, versions[0], versions[len(versions)-1])
	b.plan = upgrade.Plan{
		Number: 7, ID: "00000000-0000-0000-0000-000000000007",
		Source: upgrade.Cluster{Port: b.source.Port, Pgdata: b.source.Pgdata}, Target: upgrade.Cluster{Port: b.target.Port, Pgdata: b.target.Pgdata},
	}
	for _, c := range []*pgtest.Cluster{b.source, b.target} {
		conn := c.Connect(t, "postgres")
		b.must(postgres.EnsureRole(t.Context(), conn, "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAA:AAAA"))
		// What ends a session that is idle in its transaction must not end those that hold snapshots.
		c.Exec(t, "postgres", "DROP SCHEMA public", "CREATE SCHEMA public", "ALTER ROLE pgleap SET idle_in_transaction_session_timeout = '1s'")
		for i := range verifyTables {
			c.Exec(t, "postgres", fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, v text)", i),
				fmt.Sprintf("INSERT INTO t%d SELECT g, 'v' FROM generate_series(1, 100) g", i))
		}
	}
	for i := range verifyTables {
		b.target.Exec(t, "postgres", fmt.Sprintf("UPDATE t%d SET v = 'other' WHERE id = %d", i, i+1))
	}
	var err error
	b.files, err = b.agent(time.Now).files(b.plan)
	b.must(err)
	return b
}

// agent starts an agent.
func (b *verifyBed) agent(now func() time.Time) *Worker {
	b.Helper()
	program, err := os.Executable()
	b.must(err)
	w := workerIn(b.dir, "", GuardCommand{Path: program, Args: []string{"-test.run=^TestHoldSnapshots$"}}, slog.New(slog.NewTextHandler(b.Output(), nil)))
	w.now = now
	b.must(w.RecoverSnapshots(b.Context()))
	return w
}

// keep is the end of an attempt to switch over.
func (b *verifyBed) keep(w *Worker, attempt int) {
	b.Helper()
	pair := verify.Pair{Database: "postgres", SourceSequences: []postgres.Sequence{}, TargetSequences: []postgres.Sequence{}}
	for side, conn := range map[*pgtest.Cluster]**pgx.Conn{b.source: &pair.Source, b.target: &pair.Target} {
		l := login(b.plan, upgrade.Cluster{Port: side.Port}).With(map[string]string{"application_name": upgrade.VerificationSession})
		var err error
		*conn, err = postgres.Connect(b.Context(), l.In("postgres"))
		b.must(err)
		b.must(postgres.BeginSnapshot(b.Context(), *conn))
	}
	w.keepSnapshots(b.Context(), b.plan, attempt, switchover.Snapshots{Pairs: []verify.Pair{pair}, TakenAt: time.Now()})
	if !run.Alive(b.files.pidfile(snapshotHolder)) || len(b.held()) != 2 {
		b.Fatalf("nobody holds the snapshots: %v", b.held())
	}
}

// die is what is left of an agent that was killed: its sockets are closed without a word.
func (b *verifyBed) die(w *Worker) {
	b.Helper()
	w.needed(b.files)
	for _, conn := range sessionsOf(w.snapshots.here[b.files.dir]) {
		b.must(conn.PgConn().Conn().Close())
	}
}

// verify carries out the step. Each line of progress is shown to see, which may end ctx.
func (b *verifyBed) verify(ctx context.Context, w *Worker, attempt int, see func(string)) (upgrade.Verification, error) {
	b.Helper()
	watch := &progress{beat: func(now upgrade.Progress) { see(now.Text) }}
	return w.Verify(context.WithValue(ctx, progressKey{}, watch), step.VerifyArgs{Plan: b.plan, Attempt: attempt})
}

// held lists the sessions of a verification.
func (b *verifyBed) held() (sessions []string) {
	b.Helper()
	for _, cluster := range []upgrade.Cluster{b.plan.Source, b.plan.Target} {
		for _, session := range b.ask(cluster, "postgres", "SELECT pid::text FROM pg_stat_activity WHERE application_name = $1", upgrade.VerificationSession) {
			sessions = append(sessions, fmt.Sprintf("port %d, pid %s", cluster.Port, session))
		}
	}
	return sessions
}

// nothingHeld wants no process, no session and no file to be left but the result.
func (b *verifyBed) nothingHeld() {
	b.Helper()
	b.until("no session of the verification is left", func() bool { return len(b.held()) == 0 })
	for _, name := range list(b.T, b.files.dir) {
		if name != string(noteVerified) && name != "transcripts" {
			b.Errorf("%s is left", name)
		}
	}
}

func ignore(string) {}

func TestVerifyGoesOnAfterRestart(t *testing.T) {
	pgtest.Slow(t)
	b := newVerifyBed(t)
	first := b.agent(time.Now)
	b.keep(first, 1)
	want, err := b.verify(t.Context(), first, 1, ignore)
	b.must(err)
	if want.Total != verifyTables || want.Tables != verifyTables+1 || len(want.NotCompared) > 0 || want.Problem != "" {
		t.Fatalf("without a restart it came to %+v", want)
	}
	b.nothingHeld()
	if again, err := b.verify(t.Context(), b.agent(time.Now), 1, ignore); err != nil || cmp.Diff(want, again) != "" {
		t.Errorf("asked again, it came to %+v, %v", again, err)
	}

	for i, graceful := range []bool{false, true} {
		b.interruptedVerification(2+i, graceful, want)
	}
	t.Run("cancelled", func(t *testing.T) { b.on(t).cancelledVerification(10) })
	t.Run("holder killed", func(t *testing.T) { b.on(t).holderKilled(11) })
	t.Run("sessions ended", func(t *testing.T) { b.on(t).sessionsEnded(12) })
	t.Run("too old", func(t *testing.T) { b.on(t).tooOld(13) })
	t.Run("without a note", func(t *testing.T) { b.on(t).withoutNote(14) })
	t.Run("late", func(t *testing.T) { b.on(t).late(16) })
	t.Run("bounded", func(t *testing.T) { b.on(t).bounded(18) })
	t.Run("dropped", func(t *testing.T) { b.on(t).dropped(15) })
}

// on is the bed in a subtest.
func (b *verifyBed) on(t *testing.T) *verifyBed {
	inner, outer := *b, *b.upgradeBed
	inner.upgradeBed, outer.T = &outer, t
	return &inner
}

// interruptedVerification ends an agent when some tables are compared, and lets another one go on. Clients
// go on, too.
func (b *verifyBed) interruptedVerification(attempt int, graceful bool, want upgrade.Verification) {
	b.Helper()
	killed := b.agent(time.Now)
	b.keep(killed, attempt)
	if !graceful {
		b.die(killed)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	_, err := b.verify(ctx, killed, attempt, func(text string) {
		if !strings.HasPrefix(text, "verification: 0 of") {
			cancel()
		}
	})
	if err == nil {
		b.Fatal("it was not interrupted")
	}
	if graceful {
		b.die(killed)
	}
	compared := strings.Count(read(filepath.Join(b.files.dir, string(noteCompared))), `"table":`)
	if compared == 0 || compared > verifyTables {
		b.Fatalf("%d tables were compared before the interruption", compared)
	}
	torn, err := os.OpenFile(filepath.Join(b.files.dir, string(noteCompared)), os.O_WRONLY|os.O_APPEND, 0)
	b.must(err)
	_, err = torn.WriteString(`{"database":"postgres","snaps`)
	b.must(err)
	b.must(torn.Close())
	b.target.Exec(b, "postgres", "UPDATE t3 SET v = 'since' WHERE id > 50", "ALTER TABLE t4 ADD COLUMN IF NOT EXISTS since int")

	var shown []string
	got, err := b.verify(b.Context(), b.agent(time.Now), attempt, func(text string) { shown = append(shown, text) })
	b.must(err)
	if want := fmt.Sprintf("verification: %d of %d tables", compared, verifyTables+1); !strings.HasPrefix(shown[0], want) {
		b.Errorf("progress begins with %q, want %q", shown[0], want)
	}
	if !got.StartedAt.Before(got.EndedAt) || got.StartedAt.IsZero() {
		b.Errorf("it ran from %s to %s", got.StartedAt, got.EndedAt)
	}
	got.StartedAt, got.EndedAt, got.Bytes = want.StartedAt, want.EndedAt, want.Bytes
	// They are in the order of the tables' sizes, and those change.
	slices.SortFunc(got.Differences, func(a, b upgrade.Difference) int { return strings.Compare(a.Object, b.Object) })
	slices.SortFunc(want.Differences, func(a, b upgrade.Difference) int { return strings.Compare(a.Object, b.Object) })
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("attempt %d (-uninterrupted +resumed):\n%s", attempt, diff)
	}
	b.nothingHeld()
	// The next attempt compares the same again.
	b.target.Exec(b, "postgres", "UPDATE t3 SET v = CASE id WHEN 4 THEN 'other' ELSE 'v' END", "ALTER TABLE t4 DROP COLUMN since")
}

// A user who asks for something else ends the verification for good.
func (b *verifyBed) cancelledVerification(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	ctx, cancel := context.WithCancelCause(b.Context())
	_, err := b.verify(ctx, w, attempt, func(text string) {
		if strings.HasPrefix(text, "verification:") {
			cancel(temporal.NewCanceledError())
		}
	})
	if err == nil {
		b.Error("it was not cancelled")
	}
	b.nothingHeld()
}

// gone wants it to be told that there is nothing to compare any more.
func (b *verifyBed) gone(attempt int) {
	b.Helper()
	v, err := b.verify(b.Context(), b.agent(time.Now), attempt, ignore)
	b.must(err)
	if !strings.HasPrefix(v.Problem, goneSnapshots) || v.Identical || v.Total > 0 {
		b.Errorf("it came to %+v", v)
	}
	b.nothingHeld()
}

func (b *verifyBed) holderKilled(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	b.die(w)
	pid, err := strconv.Atoi(strings.Fields(read(b.files.pidfile(snapshotHolder)))[0])
	b.must(err)
	b.must(syscall.Kill(pid, syscall.SIGKILL))
	b.until("the servers notice", func() bool { return len(b.held()) == 0 })
	b.gone(attempt)
}

// sessionsEnded is a server's restart, for those who hold snapshots.
func (b *verifyBed) sessionsEnded(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	b.die(w)
	b.source.Exec(b, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '"+upgrade.VerificationSession+"'")
	b.until("the source's session ends", func() bool { return len(b.held()) == 1 })
	b.gone(attempt)
}

// An agent that comes back late leaves nobody to hold what is too old.
func (b *verifyBed) tooOld(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	b.die(w)
	b.agent(func() time.Time { return time.Now().Add(verify.DefaultMaxAge) })
	b.nothingHeld()
}

// By the servers themselves snapshots are held no longer than any comparison lasts.
func (b *verifyBed) bounded(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	for _, conn := range sessionsOf(w.snapshots.here[b.files.dir]) {
		var timeout string
		b.must(conn.QueryRow(b.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&timeout))
		if timeout != "70min" {
			b.Errorf("the server ends an idle session after %s", timeout)
		}
	}
	b.must(w.endSnapshots(b.Context(), b.files))
	b.nothingHeld()
}

// TestNeed: while no agent lives, snapshots are held for some minutes, in case another one comes, and no longer.
func TestNeed(t *testing.T) {
	at := func(minutes time.Duration) time.Time { return time.Unix(0, 0).Add(minutes * time.Minute) }
	var n need
	for _, look := range []struct {
		name         string
		touched, now time.Time
		want         bool
	}{
		{"kept a moment ago", at(0), at(0), true},
		{"nobody lives", at(0), at(10), true},
		{"an agent has come", at(10), at(10), true},
		{"nobody lives again", at(10), at(19), true},
		{"its clock was set back", at(3), at(21), true},
		{"nobody lives any more", at(3), at(31), true},
		{"and none has come", at(3), at(32), false},
	} {
		if got := n.goesOn(look.touched, look.now); got != look.want {
			t.Errorf("%s: needed: %t, want %t", look.name, got, look.want)
		}
	}
}

// An agent that died before it could write down whom it has started leaves no orphan.
func (b *verifyBed) withoutNote(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	b.die(w)
	b.must(os.Remove(b.files.pidfile(snapshotHolder)))
	b.agent(time.Now)
	b.nothingHeld()
}

// A verification that comes late leaves what the next attempt has kept alone.
func (b *verifyBed) late(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt+1)
	v, err := b.verify(b.Context(), w, attempt, ignore)
	b.must(err)
	if !strings.HasPrefix(v.Problem, goneSnapshots) {
		b.Errorf("late, it came to %+v", v)
	}
	cancelled, cancel := context.WithCancel(b.Context())
	cancel()
	if _, err := b.verify(cancelled, w, attempt, ignore); err != nil {
		b.Logf("cut short: %v", err)
	}
	w.snapshots.mu.Lock()
	_, expires := w.snapshots.expiry[b.files.dir]
	w.snapshots.mu.Unlock()
	if len(b.held()) != 2 || !w.held(b.files) || !expires {
		b.Errorf("of the next attempt %v are held, and expire: %t", b.held(), expires)
	}
	v, err = b.verify(b.Context(), w, attempt+1, ignore)
	b.must(err)
	if v.Tables != verifyTables+1 || v.Problem != "" {
		b.Errorf("the next attempt came to %+v", v)
	}
	b.nothingHeld()
}

// The next attempt, and the end of the upgrade, drop what waits; what is asked for then is gone.
func (b *verifyBed) dropped(attempt int) {
	w := b.agent(time.Now)
	b.keep(w, attempt)
	b.die(w)
	next := b.agent(time.Now)
	b.must(next.dropVerification(b.Context(), b.plan))
	b.nothingHeld()
	b.gone(attempt)
}
