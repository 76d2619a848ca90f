package postgres

import (
	"fmt"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestDatabasesAndSettingsOfEveryVersion(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			c.Exec(t, "postgres", `CREATE DATABASE "Shop's" CONNECTION LIMIT 5`)
			conn := c.Connect(t, "postgres")
			databases, err := Databases(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			byName := map[string]Database{}
			for _, d := range databases {
				byName[d.Name] = d
			}
			shop := byName["Shop's"]
			if shop.Ident != `"Shop's"` || shop.ConnectionLimit != 5 || !shop.Connectable() || shop.Encoding != "UTF8" || shop.Provider != "libc" || shop.Collate != "C.UTF-8" {
				t.Errorf("got %+v", shop)
			}
			if template := byName["template0"]; template.Connectable() || !template.IsTemplate || len(databases) != 4 {
				t.Errorf("template0: got %+v, of %d databases", template, len(databases))
			}
			settings, err := ReadSettings(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			version, err := settings.Int("server_version_num")
			if err != nil || upgrade.VersionNum(version).Major() != upgrade.Major(major) || settings.Text("wal_level") != "logical" {
				t.Errorf("got version %d, wal_level %s, %v", version, settings.Text("wal_level"), err)
			}
		})
	}
}
