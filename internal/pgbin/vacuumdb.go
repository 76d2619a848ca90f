package pgbin

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Analyze says which statistics vacuumdb collects.
type Analyze string

// The ways to collect statistics, of all tables in all databases.
const (
	// AnalyzeInStages gives the planner something soon: with 1, then 10, then all buckets.
	AnalyzeInStages Analyze = "in stages"
	// AnalyzeMissing is in stages, for tables that lack statistics: since 18, where pg_upgrade carries most over.
	AnalyzeMissing Analyze = "missing"
	// AnalyzeOnly collects everything at once.
	AnalyzeOnly Analyze = "only"
)

// Vacuumdb collects statistics. Before 19 it leaves out partitioned tables (their
// partitions it does): analyze those over SQL.
type Vacuumdb struct {
	Bindir   string
	Version  upgrade.VersionNum // of Bindir
	At       upgrade.Address
	User     string
	Passfile string // a .pgpass file; empty when no password is needed
	Analyze  Analyze
	Jobs     int
}

// Run runs vacuumdb. onDatabase, when given, hears when a database's turn comes: of how
// many the caller knows; in stages each comes once per stage, and stage is the text that tells it.
func (v Vacuumdb) Run(ctx context.Context, as Caller, onDatabase func(database, stage string)) error {
	args, err := v.args()
	if err != nil {
		return err
	}
	command := as.call(v.Bindir, "vacuumdb", args...)
	command.Env = []string{passfile(v.Passfile), untimedFor(v.Version.Major()), "PGSSLMODE=disable"}
	command.OnLine = func(line string) {
		if found := vacuumProgress.FindStringSubmatch(line); found != nil && onDatabase != nil {
			onDatabase(found[1], found[2])
		}
	}
	if _, err := as.Runner.Run(ctx, command); err != nil {
		return fmt.Errorf("collect statistics at %s: %w", v.At, err)
	}
	return nil
}

func (v Vacuumdb) args() ([]string, error) {
	args := []string{
		"--host=" + v.At.Host, "--port=" + strconv.Itoa(v.At.Port), "--username=" + v.User,
		"--no-password", "--all", "--jobs=" + strconv.Itoa(max(1, v.Jobs)),
	}
	switch v.Analyze {
	case AnalyzeInStages:
		return append(args, "--analyze-in-stages"), nil
	case AnalyzeMissing:
		if v.Version.Major() < 18 {
			return nil, fmt.Errorf("collect missing statistics: vacuumdb %s cannot, 18 is the first that can", v.Version)
		}
		return append(args, "--analyze-in-stages", "--missing-stats-only"), nil
	case AnalyzeOnly:
		return append(args, "--analyze-only"), nil
	}
	return nil, fmt.Errorf("collect statistics: unknown way %q", v.Analyze)
}

// vacuumdb does not quote names within the quotes; a name with a quote is matched greedily.
var vacuumProgress = regexp.MustCompile(`^vacuumdb: (?:vacuuming|processing) database "(.*)"(?:: (.+))?$`)
