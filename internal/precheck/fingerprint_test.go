package precheck

import (
	"fmt"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestFingerprint(t *testing.T) {
	versions := pgtest.Versions(t)
	s := stage{source: pgtest.Start(t, versions[0])}
	s.target = s.source
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", shop)
	login := s.subject(t, upgrade.Options{}).Source
	take := func(target string) string {
		t.Helper()
		sum, err := Fingerprint(t.Context(), login, target)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := take("17.11")
	if again := take("17.11"); again != before {
		t.Errorf("taken twice: %s, then %s", before, again)
	}
	if other := take("17.12"); other == before {
		t.Error("the target's programs changed, the fingerprint did not")
	}
	for _, load := range []string{
		`UPDATE accounts SET balance = balance + 1`,
		`INSERT INTO history SELECT 1, 1 FROM generate_series(1, 1000)`,
		`VACUUM FULL accounts`, `ANALYZE`, `TRUNCATE history`, `SELECT nextval('ledger_id_seq')`,
		`REFRESH MATERIALIZED VIEW moods`, `CHECKPOINT`, `SELECT pg_stat_reset()`,
		`CREATE TEMP TABLE mine (id int PRIMARY KEY, name text)`,
		`CREATE ROLE pgleap SUPERUSER`, `CREATE SCHEMA pgleap`, `CREATE TABLE pgleap.marker (id int)`,
	} {
		s.source.Exec(t, "shop", load)
		if after := take("17.11"); after != before {
			t.Errorf("%s changed the fingerprint", load)
		}
	}
	for _, change := range []string{
		`CREATE TABLE t (id int)`, `ALTER TABLE t ADD name text`, `ALTER TABLE t ALTER id SET NOT NULL`,
		`ALTER TABLE t ADD UNIQUE (id)`, `ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key`, `ALTER TABLE t RENAME name TO title`,
		`ALTER TABLE t SET UNLOGGED`, `CREATE EXTENSION hstore`, `CREATE ROLE clerk`, `ALTER ROLE clerk SET work_mem = '8MB'`,
		`CREATE DATABASE other`, `ALTER DATABASE other SET work_mem = '8MB'`,
		`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `ALTER FUNCTION f() SET work_mem = '8MB'`,
		`ALTER SYSTEM SET jit = off`, `ALTER SYSTEM RESET jit`,
		`DROP TABLE t`,
	} {
		t.Run(fmt.Sprint(change), func(t *testing.T) {
			s.source.Exec(t, "shop", change)
			after := take("17.11")
			if after == before {
				t.Error("the fingerprint is the same")
			}
			before = after
		})
	}
}
