package onhost

import (
	"testing"

	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestRunsEndpoint(t *testing.T) {
	const ini = "/etc/pgbouncer/pgbouncer.ini"
	adopted := upgrade.Endpoint{Driver: upgrade.PgBouncer, Ini: ini}
	for name, test := range map[string]struct {
		args     []string
		endpoint upgrade.Endpoint
		want     bool
	}{
		"the endpoint's":              {[]string{"/usr/sbin/pgbouncer", ini}, adopted, true},
		"in its directory":            {[]string{"/usr/sbin/pgbouncer", "-q", "pgbouncer.ini"}, adopted, true},
		"of another file":             {[]string{"/usr/sbin/pgbouncer", "/etc/other/pgbouncer.ini"}, adopted, false},
		"another program":             {[]string{"/usr/bin/exporter", ini}, adopted, false},
		"a unit without a process":    {nil, adopted, false},
		"an instance without":         {[]string{"/usr/sbin/pgbouncer", ini}, upgrade.Endpoint{}, false},
		"its file is not known":       {[]string{"/usr/sbin/pgbouncer", ini}, upgrade.Endpoint{Driver: upgrade.PgBouncer}, true},
		"its file is not on the line": {[]string{"/usr/sbin/pgbouncer"}, adopted, false},
	} {
		if got := runsEndpoint(postmaster.Dependent{Unit: "p.service", Args: test.args}, test.endpoint); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
