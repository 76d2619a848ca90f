package onhost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// keepBed is an agent that keeps a PgBouncer, and may be asked to switch it at the same time.
type keepBed struct {
	*testing.T
	w       *Worker
	own     pgbouncer.Own
	attempt *switchover.Journal
	outage  *outage
}

func newKeepBed(t *testing.T) *keepBed {
	t.Helper()
	b := &keepBed{T: t, w: &Worker{dir: t.TempDir(), now: time.Now}}
	b.own = pgbouncer.Own{Dir: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
	b.must(os.WriteFile(filepath.Join(b.own.Dir, "console.pgpass"), []byte("*:*:*:pgleap_console:secret\n"), 0o600))
	b.must(os.MkdirAll(b.w.journalDir(), 0o700))
	b.attempt = switchover.OpenJournal(filepath.Join(b.w.journalDir(), "1-u-1.journal"), time.Now)
	path, err := b.w.outagePath(upgrade.Plan{Number: 2, ID: "u"})
	b.must(err)
	journal, err := openOutage(t.Context(), path, time.Now)
	b.must(err)
	t.Cleanup(journal.close)
	b.outage = &outage{Worker: b.w, journal: journal}
	return b
}

func (b *keepBed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *keepBed) refresh(ctx context.Context) error {
	return b.w.reloadUsers(ctx, b.own, []pgbouncer.User{{Name: "app", Secret: "md5x"}})
}

// refreshed tells whether PgBouncer has got its new users.
func (b *keepBed) refreshed() bool {
	text, _ := os.ReadFile(filepath.Join(b.own.Dir, "userlist.txt"))
	return strings.Contains(string(text), "app")
}

// TestUsersAreRefreshedBesideSwitches is about one that begins when the keeper has looked and has read the roles.
func TestUsersAreRefreshedBesideSwitches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		begin func(b *keepBed) error
		want  bool
	}{
		{"nobody switches", func(*keepBed) error { return nil }, true},
		{"a switchover has begun", func(b *keepBed) error { return b.attempt.Begin(b.Context(), switchover.Intent{}) }, false},
		{"an outage has begun", func(b *keepBed) error { return b.outage.begin(b.Context()) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newKeepBed(t)
			b.must(test.begin(b))
			b.must(b.refresh(t.Context()))
			if got := b.refreshed(); got != test.want {
				t.Errorf("refreshed: %v, want %v", got, test.want)
			}
		})
	}
}

// TestNoneBeginsWhileUsersAreRefreshed: whoever has to wait is told so at once here, for its time is over.
func TestNoneBeginsWhileUsersAreRefreshed(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(b *keepBed, ctx context.Context) error{
		"a switchover": func(b *keepBed, ctx context.Context) error { return b.attempt.Begin(ctx, switchover.Intent{}) },
		"an outage":    func(b *keepBed, ctx context.Context) error { return b.outage.begin(ctx) },
		"a refresh":    (*keepBed).refresh,
	} {
		t.Run(name, func(t *testing.T) {
			b := newKeepBed(t)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			b.must(b.w.whileNoneBegins(t.Context(), func() error {
				if err := begin(b, over); err == nil {
					t.Error("it did not wait")
				}
				return nil
			}))
			if b.w.switching() || b.w.upgradingInPlace() || b.refreshed() {
				t.Error("it has begun all the same")
			}
			b.must(begin(b, t.Context()))
		})
	}
}
