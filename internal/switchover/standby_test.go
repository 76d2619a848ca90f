package switchover

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

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
