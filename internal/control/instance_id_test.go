package control

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestInstanceIDIsDerivedFromWhatTellsClustersApart(t *testing.T) {
	for _, test := range []struct {
		name, pgdata string
		port         int
		taken        []string
		want         string
	}{
		{name: "main", pgdata: "/var/lib/postgresql/15/main", want: "main"},
		{name: "Orders DB", pgdata: "/srv/x", want: "orders-db"},
		{pgdata: "/srv/orders", want: "orders"},
		{pgdata: "/srv/orders/15/data", want: "orders"},
		{pgdata: "/srv/orders/9.6/pgdata/", want: "orders"},
		{pgdata: "/data", want: "postgres"},
		{name: "2024", want: "postgres-2024"},
		{name: strings.Repeat("7", 80), want: "postgres-" + strings.Repeat("7", 54)},
		{pgdata: "/srv/données", want: "donn-es"},
		{name: "main", port: 5433, taken: []string{"main"}, want: "main-5433"},
		{name: "discover", port: 5433, want: "discover-5433"},
		{name: strings.Repeat("x", 80), port: 5433, taken: []string{strings.Repeat("x", 63)}, want: strings.Repeat("x", 58) + "-5433"},
	} {
		cluster := upgrade.Cluster{Name: test.name, Pgdata: test.pgdata, Port: test.port}
		got := deriveInstanceID(cluster, func(id string) bool { return slices.Contains(test.taken, id) })
		if got != test.want {
			t.Errorf("%q at %q: got %q, want %q", test.name, test.pgdata, got, test.want)
		}
		if err := checkInstanceID(got); err != nil {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func FuzzDerivedInstanceIDIsValid(f *testing.F) {
	f.Add("main", "/var/lib/postgresql/15/main", 5432, true)
	f.Add("", "//", 65535, false)
	f.Fuzz(func(t *testing.T, name, pgdata string, port int, taken bool) {
		cluster := upgrade.Cluster{Name: name, Pgdata: pgdata, Port: port & 0xffff}
		id := deriveInstanceID(cluster, func(string) bool { return taken })
		if err := checkInstanceID(id); err != nil {
			t.Errorf("%q from %q and %q: %v", id, name, pgdata, err)
		}
	})
}

func TestInstanceIDThatAUserChose(t *testing.T) {
	for id, valid := range map[string]bool{
		"orders": true, "0a": true, "1-2": true, "a-b-": true, strings.Repeat("a", 63): true,
		"": false, "0": false, "2147483648": false, "-a": false, "Orders": false, "a_b": false, "a/b": false, "discover": false, strings.Repeat("a", 64): false,
	} {
		if err := checkInstanceID(id); (err == nil) != valid {
			t.Errorf("%q: valid is %t, want %t (%v)", id, err == nil, valid, err)
		}
	}
}
