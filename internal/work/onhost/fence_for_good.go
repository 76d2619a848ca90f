package onhost

import (
	"context"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// FenceForGood bars everybody but pgleap's role from the source by pg_hba.conf too: a role that is
// created or altered there by mistake still cannot write to it. The source is kept.
func (w *Worker) FenceForGood(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	user, err := owner(plan)
	if err != nil {
		return step.Done{}, err
	}
	lines, err := ourHBALines()
	if err != nil {
		return step.Done{}, err
	}
	everybody := []pgconf.Token{pgconf.Keyword("all")}
	for _, l := range []pgconf.HBALine{
		{Type: "local", Databases: everybody, Users: everybody, Method: "reject"},
		{Type: "host", Databases: everybody, Users: everybody, Address: pgconf.Keyword("all"), Method: "reject"},
	} {
		line, err := l.Format()
		if err != nil {
			return step.Done{}, err
		}
		lines = append(lines, line)
	}
	if err := w.setHBABlock(ctx, plan.Source, user, lines); err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, "the source is kept and fenced: its roles cannot log in, and its pg_hba.conf lets nobody in but pgleap"), nil
}
