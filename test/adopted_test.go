package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/test/harness"
)

// A PgBouncer that its user set up is switched as it is: of its configuration nothing changes but where
// the instance's databases are. The upgrade switches by itself, and collects its statistics afterwards.
func TestAdoptedPgBouncer(t *testing.T) {
	from, to := versions(t)
	var pooler *harness.PgBouncer
	s := newScene(t, from, to, func(s *scene) []string {
		var err error
		pooler, err = s.place.NewPgBouncer(s.ctx, s.source)
		s.must(err)
		return []string{
			"--pgbouncer", "adopt", "--console", fmt.Sprintf("%s:%d", pooler.Dir, pooler.Port),
			"--console-user", pooler.User, "--console-passfile", pooler.Passfile, "--ini", pooler.Ini,
		}
	})
	if got := s.instance.Endpoint; got.Owned || got.Listen.Port != pooler.Port {
		t.Errorf("the endpoint is %+v, want the PgBouncer on port %d, adopted", got, pooler.Port)
	}
	before, err := os.ReadFile(pooler.Ini)
	s.must(err)
	s.write()
	task := s.succeeds(s.upgrade("--statistics", "after", "--switch", "auto"))

	after, err := os.ReadFile(pooler.Ini)
	s.must(err)
	want := strings.ReplaceAll(string(before), fmt.Sprintf("port=%d", s.source.Port), fmt.Sprintf("port=%d", task.Plan.Target.Port))
	if diff := cmp.Diff(want, string(after)); diff != "" {
		t.Errorf("PgBouncer's configuration (-want +got):\n%s", diff)
	}
	var analysed int
	s.must(s.target().QueryRow(s.ctx, "bank", `
		SELECT count(*) FROM pg_stats WHERE schemaname = 'ledger' AND tablename IN ('entries', 'postings') AND attname = 'ref'`, &analysed))
	if analysed != 2 {
		t.Errorf("%d of 2 tables have statistics, the partitioned parent among them", analysed)
	}
	if result := s.server.CLI(s.ctx, "instance", "remove", id); result.Code != 0 {
		t.Errorf("pgleap instance remove: exit code %d: %s", result.Code, result.Stderr)
	}
	if len(s.place.Processes("pgbouncer")) != 1 {
		t.Error("the user's PgBouncer does not run any more")
	}
}
