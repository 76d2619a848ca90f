package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// decodesWell is, by major version, the first minor release without the known faults of logical
// decoding: catalog changes that are not seen by it (release notes 13.21, 14.18, 15.13, 16.9,
// 17.5) and the memory blow-up that this repair brought (13.22, 14.19, 15.14, 16.10, 17.6); a slot
// that cannot be made, or that a checkpoint invalidates too early (15.16, 16.12, 17.8, 18.2).
func decodesWell(major upgrade.Major) upgrade.VersionNum {
	first := map[upgrade.Major]upgrade.VersionNum{13: 22, 14: 19, 15: 16, 16: 12, 17: 8, 18: 2}
	return upgrade.VersionNum(major)*10000 + first[major]
}

// sourceMinor is a warning, since no newer minor may be at hand: Debian 11 stopped at 13.16.
var sourceMinor = Check{
	ID: "source-minor", Title: "The source's minor release has known faults in logical decoding",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerCluster,
	Why: "The release notes of later minor releases describe faults in logical decoding that can lose or damage changes " +
		"when the schema is changed while they are decoded. Leave the schema alone during the upgrade: pgleap does not switch over when it has changed.",
	Remedy: "Install the latest minor release of the source's major version and restart it. " +
		"If the operating system has none (Debian 11 stopped at 13.16), the PostgreSQL project's own packages do.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if first := decodesWell(f.Version.Major()); f.Version < first {
			return []Found{{Object: f.Version.String(), Note: fmt.Sprintf("%s or later is advised", first)}}, nil
		}
		return nil, nil
	},
}
