package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// walLevel: since 19 the server raises the level by itself when the first logical slot is made
// (effective_wal_level).
var walLevel = Check{
	ID: "wal-level", Title: "The WAL of the source does not tell enough",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why:    "A clone follows with wal_level = replica or more. Logical slots can only be made with logical (since 19: replica).",
	Remedy: "Set wal_level and restart the source. The WAL gets somewhat larger.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		level := f.Settings.Text("wal_level")
		switch replica := level == "replica"; {
		case level == "logical", replica && !f.replicates(), replica && f.Version.Major() >= 19:
			return nil, nil
		case !f.replicates():
			return []Found{f.wanted("wal_level", "'replica'")}, nil
		}
		return []Found{f.wanted("wal_level", "'logical'")}, nil
	},
}

// wanted is a setting whose value has to change.
func (f *Facts) wanted(name, value string) Found {
	found := Found{Object: name + " = " + f.Settings.Text(name), SQL: "ALTER SYSTEM SET " + name + " = " + value}
	if f.Settings[name].PendingRestart {
		found.Note = "another value is set and waits for a restart of the source"
	}
	return found
}
