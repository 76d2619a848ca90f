package precheck

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestDependentUnits(t *testing.T) {
	units := []Dependent{
		{Unit: "exporter.service", Setting: "BindsTo=postgresql-15.service"},
		{Unit: "pgbouncer.service", Setting: "Requires=postgresql-15.service", IsEndpoint: true},
	}
	for mode, severity := range map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Blocker, upgrade.ZeroDowntime: "", upgrade.BlueGreen: ""} {
		f := &Facts{Plan: upgrade.Plan{Mode: mode}, Host: Host{Dependents: Known(units, nil)}}
		got, err := dependentUnits.Find(t.Context(), f, Session{})
		if err != nil {
			t.Fatal(err)
		}
		want := []Found{
			{Object: "exporter.service", Note: "BindsTo=postgresql-15.service"},
			{Object: "pgbouncer.service", Note: "Requires=postgresql-15.service; it is the PgBouncer of the endpoint", Severity: severity},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
	}
	for name, test := range map[string]struct {
		host  Host
		fails bool
	}{
		"mended":               {Host{}, false},
		"systemd has not told": {Host{Dependents: Known[[]Dependent](nil, errors.New("no answer"))}, true},
	} {
		got, err := dependentUnits.Find(t.Context(), &Facts{Host: test.host}, Session{})
		if len(got) > 0 || (err != nil) != test.fails {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}
