package switchover

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestOneSince(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                bool
	}{
		{"only one", "750:750:", "751:751:", true},
		{"none: it was not counted", "750:750:", "750:750:", false},
		{"another one ended meanwhile", "750:750:", "752:752:", false},
		{"another one is in progress", "750:750:", "750:752:750", false},
		{"one was in progress before", "749:750:749", "751:751:", false},
		{"beyond 32 bits", "4294967295:4294967295:", "4294967296:4294967296:", true},
		{"no snapshot", "", "751:751:", false},
	} {
		if got := oneSince(c.before, c.after); got != c.want {
			t.Errorf("%s: from %q to %q: got %t, want %t", c.name, c.before, c.after, got, c.want)
		}
	}
}

// Where the source stands still, everything is on its disk. What is written after that counts if there
// is somebody who can write without a client: an apply worker here.
func TestStandstill(t *testing.T) {
	t.Parallel()
	b := lay(t)
	for _, c := range []struct {
		name    string
		cluster *pgtest.Cluster
		alone   bool // with autovacuum
	}{
		{"nobody writes without a client", b.source, true},
		{"an apply worker writes", b.target, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &standbySection{section: section{Config: b.config(t), control: b.ours(t, c.cluster, "postgres")}}
			c.cluster.Exec(t, "app", "SET synchronous_commit = off", "SELECT pg_current_xact_id()")
			before, err := postgres.InsertLSN(t.Context(), s.control)
			must(t, "read LSN", err)
			must(t, "find the standstill", s.standStillAt(t.Context()))
			if s.standstill.LSN < before || s.outcome.SourceLSN != s.standstill.LSN.String() {
				t.Errorf("it stands still at %s (%s), after LSN %s", s.standstill.LSN, s.outcome.SourceLSN, before)
			}
			c.cluster.Exec(t, "app", "SELECT pg_current_xact_id()")
			err = s.proveStandby(t.Context())
			if c.alone {
				must(t, "prove the standstill", err)
				return
			}
			if _, refused := errors.AsType[*upgrade.Refused](err); !refused || !strings.Contains(err.Error(), "something was written to the source") {
				t.Errorf("got %v", err)
			}
		})
	}
}
