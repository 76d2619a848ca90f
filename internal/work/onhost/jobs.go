package onhost

import (
	"runtime"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The bounds of the jobs that a plan leaves open. A job of pg_upgrade takes a database or a tablespace, and waits for
// the disk for much of its time: two are worth it on one processor. More than the upper bound seldom find work, and each
// holds the catalogs of a database in memory.
const (
	fewestJobs = 2
	mostJobs   = 8
)

// statisticsJobs is the parallelism of the statistics. Clients may be back by then, and few sessions left beside theirs:
// superuser_reserved_connections is 3.
func statisticsJobs(plan upgrade.Plan) int {
	if plan.Options.Jobs > 0 {
		return plan.Options.Jobs
	}
	return fewestJobs
}

// jobsOf is the parallelism of pg_upgrade.
func jobsOf(plan upgrade.Plan) int { return chooseJobs(plan, runtime.GOMAXPROCS(0)) }

// chooseJobs takes what the user has chosen, else the processors that the agent may use. Beside a source that serves
// on the same host half of them are left to its clients.
func chooseJobs(plan upgrade.Plan, processors int) int {
	if plan.Options.Jobs > 0 {
		return plan.Options.Jobs
	}
	if plan.Mode != upgrade.InPlace {
		processors /= 2
	}
	return min(max(processors, fewestJobs), mostJobs)
}
