package precheck

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// timeZones: a server has rules of time zones of its own, or the operating system's (configure's --with-system-tzdata),
// some of which are in packages by themselves (tzdata-legacy). That a setting of a role or in a file names
// one that is not there is found by those who try the settings; what sessions name is not known.
var timeZones = Check{
	ID: "time-zones", Title: "The target does not have the time zones of the source",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster, OfMachine: true,
	Why: "The target's programs have other files of time zones than the source's. SET timezone and AT TIME ZONE with a name that is missing fail there, as do logins of clients that send it; " +
		"with other rules they give another time of day for the same moment.",
	Remedy: "Install the operating system's package of time zones where the target is: of the same version, and with the old names (tzdata-legacy) if they are used.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		target, err := f.Target()
		if err != nil {
			return nil, err
		}
		here, err := readTimeZones(ctx, s.Tx)
		if err != nil {
			return nil, err
		}
		there, err := readTimeZones(ctx, target)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, name := range slices.Sorted(maps.Keys(here)) {
			switch offset, known := there[name]; {
			case !known:
				found = append(found, Found{Object: name, Note: "missing"})
			case offset != here[name]:
				found = append(found, Found{Object: name, Note: fmt.Sprintf("now %s on the source, %s on the target", here[name], offset)})
			}
		}
		return found, nil
	},
}

// readTimeZones has the offset of each time zone now, by name.
func readTimeZones(ctx context.Context, conn interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
},
) (map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT name, utc_offset::text FROM pg_timezone_names`)
	if err != nil {
		return nil, fmt.Errorf("list time zones: %w", err)
	}
	zones := map[string]string{}
	var name, offset string
	if _, err = pgx.ForEachRow(rows, []any{&name, &offset}, func() error {
		zones[name] = offset
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list time zones: %w", err)
	}
	return zones, nil
}
