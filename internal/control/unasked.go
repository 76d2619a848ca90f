package control

import (
	"path/filepath"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// unasked tells what the checks ask for an upgrade and did not ask for a report, by the plans of the two: each time what
// the report is for instead. Who asks for less than was asked rests on it all the same, and what no check reads does not
// count: what becomes of definitions (AllowDDL), jobs, statistics, who switches, and when. How long the schema rehearsal
// may take, and how much disk, does not count either: the report says what it did not get to.
func unasked(report, now upgrade.Plan) []string {
	was, is := report.Options.WithDefaults(), now.Options.WithDefaults()
	inPlace, replicates := now.Mode == upgrade.InPlace, now.Mode == upgrade.ZeroDowntime
	var instead []string
	for _, question := range []struct {
		isNew   bool
		instead string
	}{
		// The checks "endpoint" and "standbys".
		{was.CloneOnly && !is.CloneOnly, "a clone that nobody is moved to"},
		{was.SkipStandbys && !is.SkipStandbys, "a target that gets no standbys"},
		{!was.WaitForStandbys && is.WaitForStandbys, "a switchover that waits for no standbys"},
		// "clone-from", "transfer-method" and "disk-space".
		{was.CloneFrom != is.CloneFrom, "a clone that is copied from another server"},
		{inPlace && was.Transfer != is.Transfer, "another transfer of the files"},
		{filepath.Dir(report.Target.Pgdata) != filepath.Dir(now.Target.Pgdata), "a target in another place"},
		// "schema-rehearsal".
		{was.SkipSchemaRehearsal && !is.SkipSchemaRehearsal, "an upgrade that is not rehearsed"},
		// "replica-identity", "switchback", "replication-slots", "wal-senders" and "slot-retention".
		{replicates && was.FullIdentity && !is.FullIdentity, "tables that get REPLICA IDENTITY FULL"},
		{replicates && was.SkipSwitchback && !is.SkipSwitchback, "an upgrade without a way back"},
		{replicates && was.TableGroups < is.TableGroups, "fewer table groups"},
		{replicates && was.MaxRetainedWAL < is.MaxRetainedWAL, "less WAL that the source may keep"},
	} {
		if question.isNew {
			instead = append(instead, question.instead)
		}
	}
	return instead
}
