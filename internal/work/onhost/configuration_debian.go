package onhost

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// confD is where people put files of settings on Debian; pg_createcluster has it included.
const confD = "conf.d"

// textFor is the text of a target's postgresql.conf. What the source included stands in it, so that conf.d of the target
// begins empty, and is included as last.
func textFor(plan upgrade.Plan, conf *pgconf.Conf) []byte {
	text := conf.String()
	if plan.Target.Manager != upgrade.ManagerPgCtlcluster {
		return []byte(text)
	}
	return []byte(text + "\n# pgleap: what stood in the source's stands above\ninclude_dir = '" + confD + "'\n")
}

// carryDebian gives the target what else the source has in its directory below /etc/postgresql, and tells what it left
// out. Without it the target starts nevertheless.
func (w *Worker) carryDebian(ctx context.Context, plan upgrade.Plan) (events []upgrade.Event) {
	told, err := w.host.CarryDebian(plan.Target, plan.Source)
	if err != nil {
		told = append(told, fmt.Sprintf("environment and pg_ctl.conf of the source are not carried over: %v", err))
	}
	for _, text := range told {
		events = append(events, w.say(ctx, upgrade.LevelWarning, text))
	}
	return events
}
