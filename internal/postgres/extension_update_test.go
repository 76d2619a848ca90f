package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// An extension is updated after all that it requires, whoever was made first. The catalogs are told of requirements that
// these have not.
func TestExtensionUpdatesInOrder(t *testing.T) {
	versions := pgtest.Versions(t)
	c := pgtest.Start(t, versions[len(versions)-1])
	c.Exec(t, "postgres", `
		CREATE EXTENSION isn; CREATE EXTENSION ltree; CREATE EXTENSION hstore; CREATE EXTENSION citext;
		UPDATE pg_extension SET extversion = '0' WHERE extname <> 'plpgsql';
		INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
		SELECT 'pg_extension'::regclass, e.oid, 0, 'pg_extension'::regclass, r.oid, 0, 'n'
		FROM (VALUES ('isn', 'ltree'), ('ltree', 'hstore'), ('ltree', 'citext')) requires (extension, required)
		JOIN pg_extension e ON e.extname = extension JOIN pg_extension r ON r.extname = required`)
	conn := c.Connect(t, "postgres")
	names := func() (names []string) {
		t.Helper()
		updates, err := postgres.ExtensionUpdates(t.Context(), conn)
		must(t, "list updates", err)
		for _, u := range updates {
			names = append(names, u.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"hstore", "citext", "ltree", "isn"}, names()); diff != "" {
		t.Errorf("updates (-want +got):\n%s", diff)
	}
	c.Exec(t, "postgres", `
		INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
		SELECT 'pg_extension'::regclass, e.oid, 0, 'pg_extension'::regclass, r.oid, 0, 'n'
		FROM pg_extension e, pg_extension r WHERE e.extname = 'hstore' AND r.extname = 'isn'`)
	if got := names(); len(got) != 4 {
		t.Errorf("those that require each other are not all listed: %v", got)
	}
}
