package pgbin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLsclusters(t *testing.T) {
	const text = `9.6 old  5431 down                  postgres  /var/lib/postgresql/9.6/old /var/log/postgresql/postgresql-9.6-old.log
15  main 5432 online                postgres  /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log
17  main 5433 online,recovery       postgres  /srv/two words/17           /var/log/postgresql/postgresql-17-main.log
18  x    <unknown> down,binaries_missing <unknown> <unknown>              <unknown>
`
	want := []DebianCluster{
		{15, "main", 5432, []string{"online"}, "postgres", "/var/lib/postgresql/15/main", "/var/log/postgresql/postgresql-15-main.log"},
		{17, "main", 5433, []string{"online", "recovery"}, "postgres", "/srv/two words/17", "/var/log/postgresql/postgresql-17-main.log"},
		{18, "x", 0, []string{"down", "binaries_missing"}, "", "", ""},
	}
	got, err := parseLsclusters(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseLsclusters("Ver Cluster Port Status Owner Data directory Log file\n"); err == nil {
		t.Error("a header is taken for a cluster")
	}
}

func FuzzParseLsclusters(f *testing.F) {
	f.Add("15  main 5432 online postgres /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log")
	f.Fuzz(func(t *testing.T, text string) {
		clusters, _ := parseLsclusters(text)
		for _, c := range clusters {
			if c.Major <= 0 && c.Name == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}
