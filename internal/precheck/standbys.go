package precheck

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// standbys: a physical standby follows one major version only.
var standbys = Check{
	ID: "standbys", Title: "The source has standbys, or others that stream its WAL",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "A standby follows its primary within a major version: the old ones stay with the source. Those on this host get a successor that streams from the target (a warning); " +
		"of the others none is made, and physical slots that no such standby uses are not carried over. " +
		"The switchover takes LOGIN from the source's roles, a change that standbys replay, so from then on the old ones refuse new sessions, and what they show grows old. " +
		"Tools for high availability (Patroni, repmgr) may take the source for a failed one and promote a standby.",
	Remedy: "Let the readers of a standby go to its successor from the switchover on: it has a port of its own. Plan how you make the standbys on other hosts anew: the upgrade's log has the commands. " +
		"Pause tools for high availability for the time of the upgrade. Then accept each blocker by name. Drop slots that nobody uses.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if f.Plan.Options.CloneOnly {
			return nil, nil // they go on following the source, as its clients use it
		}
		known, err := f.Host.Standbys.Get()
		if err != nil {
			return nil, fmt.Errorf("look for standbys on this host: %w", err)
		}
		var size int64
		if err := s.Tx.QueryRow(ctx, `SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database`).Scan(&size); err != nil {
			return nil, err
		}
		rows, err := s.Tx.Query(ctx, selectStreaming)
		if err != nil {
			return nil, err
		}
		streaming, err := pgx.CollectRows(rows, pgx.RowToStructByPos[streamed])
		if err != nil {
			return nil, err
		}
		return judgeStandbys(f.Plan, size, streaming, known), nil
	},
}

// selectStreaming lists what streams WAL from the source, and the physical slots.
const selectStreaming = `
	SELECT coalesce(nullif(application_name, ''), 'process ' || pid), coalesce(host(client_addr), ''),
		coalesce((SELECT slot_name::text FROM pg_replication_slots s WHERE s.active_pid = r.pid AND NOT s.temporary), ''), true
	FROM pg_stat_replication r
	WHERE application_name NOT LIKE 'pgleap%' AND application_name <> 'pg_basebackup'
		AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
	UNION ALL
	SELECT 'slot ' || slot_name, CASE WHEN active THEN '' ELSE 'inactive' END, slot_name::text, false
	FROM pg_replication_slots
	WHERE slot_type = 'physical' AND NOT temporary AND slot_name <> 'pgleap_base_backup'
	ORDER BY 4 DESC, 1`

// streamed is a row of selectStreaming.
type streamed struct {
	Object, Note, Slot string
	Streams            bool // else it is a slot
}

// judgeStandbys says what will become of each. A slot goes with the standby that uses it.
func judgeStandbys(plan upgrade.Plan, size int64, streaming []streamed, known []Standby) []Found {
	var found []Found
	var slots []string
	for _, row := range streaming {
		one := Found{Object: row.Object, Note: row.Note}
		i := slices.IndexFunc(known, func(s Standby) bool {
			return row.Streams && s.Name == row.Object && s.Slot == row.Slot && s.Address == row.Note
		})
		switch {
		case i >= 0:
			one = becomes(plan, size, known[i])
			known = slices.Delete(slices.Clone(known), i, i+1)
			slots = append(slots, row.Slot)
		case !row.Streams && slices.Contains(slots, row.Slot):
			continue
		}
		found = append(found, one)
	}
	for _, s := range known { // they are on this host, and do not stream from the source
		one := becomes(plan, size, s)
		if !plan.Options.WaitForStandbys || s.Problem == "" { // else there would be no switch without it
			one.Severity = upgrade.Warning
		}
		found = append(found, one)
	}
	return found
}

// becomes says what will become of a standby.
func becomes(plan upgrade.Plan, size int64, s Standby) Found {
	one := Found{Object: s.Name, Note: s.Problem}
	if one.Note == "" && !plan.Options.SkipStandbys && s.Free < size {
		one.Note = fmt.Sprintf("its successor would need %s in %s, where %s are free", bytes(size), s.Place, bytes(s.Free))
	}
	switch {
	case plan.Options.SkipStandbys:
		one.Severity, one.Note = upgrade.Warning, "it gets no successor, as you wish"
	case one.Note == "":
		one.Severity, one.Note = upgrade.Warning, fmt.Sprintf("a successor is made in %s %s", s.Place, when(plan))
	default:
		one.Note += "; it gets no successor"
	}
	return one
}

// when tells at which time successors are made.
func when(plan upgrade.Plan) string {
	switch {
	case plan.Mode == upgrade.ZeroDowntime:
		return "before the switchover"
	case plan.Options.WaitForStandbys:
		return "while clients wait"
	}
	return "when clients are at the target"
}
