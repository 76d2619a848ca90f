package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// build: what was decided when the programs were compiled, and what initdb fixes for good
// (pg_upgrade's controldata.c, check_control_data).
var build = Check{
	ID: "build", Title: "The target's programs are built in another way",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "pg_upgrade keeps the data files as they are, so both versions must have the same block sizes and limits. pgleap gives the target the source's WAL segment size and data checksums.",
	Remedy: "Install programs of the target version that are built like the source's.",
	PgUpgrade: []string{
		"old and new pg_controldata", "use data checksums but the new one does", "uses data checksums but the new one does not",
		"pg_controldata checksum versions", "required control information",
	},
	Find: func(ctx context.Context, f *Facts, _ Session) ([]Found, error) {
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		target, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, name := range []string{
			"block_size", "wal_block_size", "segment_size", "max_identifier_length", "max_index_keys",
			"wal_segment_size", "data_checksums",
		} {
			if source, target := f.Settings.Text(name), target.Text(name); source != target {
				found = append(found, Found{Object: name + " = " + source, Note: fmt.Sprintf("the target has %s", target)})
			}
		}
		return found, nil
	},
}
