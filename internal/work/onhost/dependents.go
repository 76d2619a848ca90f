package onhost

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// dependents are the units that systemd stops with the source's.
func (w *Worker) dependents(ctx context.Context, plan upgrade.Plan) (units []precheck.Dependent, err error) {
	found, err := w.host.Dependents(ctx, plan.Source)
	for _, one := range found {
		units = append(units, precheck.Dependent{Unit: one.Unit, Setting: one.Setting, IsEndpoint: runsEndpoint(one, plan.Endpoint)})
	}
	return units, err
}

// runsEndpoint tells whether a unit runs the PgBouncer of an endpoint: by its configuration, if that is known.
func runsEndpoint(unit postmaster.Dependent, endpoint upgrade.Endpoint) bool {
	if endpoint.Driver != upgrade.PgBouncer || len(unit.Args) == 0 || filepath.Base(unit.Args[0]) != "pgbouncer" {
		return false
	}
	return endpoint.Ini == "" || slices.ContainsFunc(unit.Args[1:], func(arg string) bool {
		return arg == endpoint.Ini || filepath.Base(arg) == filepath.Base(endpoint.Ini) && !filepath.IsAbs(arg)
	})
}
