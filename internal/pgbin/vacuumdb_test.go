package pgbin

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestVacuumdb(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		cluster := pgtest.Start(t, major)
		cluster.CreateDatabase(t, `two "words`)
		// A limit of the user's must not stop it.
		cluster.Exec(t, "postgres", "alter role postgres set statement_timeout = '1ms'", "create table t as select generate_series(1, 1000) g")
		as, _ := callerFor(t, cluster)
		vacuumdb := Vacuumdb{
			Bindir: cluster.Bindir, Version: versionOf(t, as, cluster.Bindir), Analyze: AnalyzeOnly, Jobs: 2,
			At: upgrade.Address{Host: cluster.SocketDir, Port: cluster.Port}, User: cluster.Superuser,
		}
		var databases []string
		if err := vacuumdb.Run(t.Context(), as, func(database, _ string) { databases = append(databases, database) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"postgres", "template1", `two "words`}, databases); diff != "" {
			t.Errorf("databases of %d (-want +got):\n%s", major, diff)
		}
		stages := map[string]int{}
		vacuumdb.Analyze = AnalyzeInStages
		if err := vacuumdb.Run(t.Context(), as, func(_, stage string) { stages[stage]++ }); err != nil {
			t.Fatal(err)
		}
		if len(stages) != 3 {
			t.Errorf("stages of %d: %v", major, stages)
		}
		vacuumdb.Analyze = AnalyzeMissing
		if err := vacuumdb.Run(t.Context(), as, nil); (err == nil) != (major >= 18) {
			t.Errorf("missing statistics with %d: %v", major, err)
		}
	}
}
