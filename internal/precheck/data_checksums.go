package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// dataChecksums: the default since 18, but pg_upgrade wants both clusters alike.
var dataChecksums = Check{
	ID: "data-checksums", Title: "The target will have no data checksums",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "The source has none, and pg_upgrade wants both alike, although they are initdb's default since 18.",
	Remedy: "Nothing has to be done. They can be added to a stopped cluster: pg_checksums --enable.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Settings.Text("data_checksums") == "off" {
			return []Found{{Object: "data_checksums = off"}}, nil
		}
		return nil, nil
	},
}
