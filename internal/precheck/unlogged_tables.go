package precheck

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// unloggedTables: they are not in the WAL, so a standby has them empty (reinit.c,
// ResetUnloggedRelations), and their changes are not published. A switchover of a zero-downtime upgrade
// copies them, and sets their sequences; more bytes than warnAbove are worth a warning then.
func unloggedTables(warnAbove int64) Check {
	return Check{
		ID: "unlogged-tables", Title: "The contents of unlogged tables are not in the WAL",
		Severity: upgrade.Blocker, Modes: withClone(), Scope: PerDatabase, Acceptable: true,
		Why: "A clone has unlogged tables, and unlogged sequences since 15, empty, and their changes are not replicated. " +
			"The switchover of a zero-downtime upgrade copies the tables as a whole, while clients wait. In blue-green mode they stay empty.",
		Remedy: "Make them logged. If their contents may get lost, as those of a cache, accept each by name: then nothing is copied.",
		Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
			rows, err := s.Tx.Query(ctx, `
				WITH RECURSIVE after AS ( -- a table that becomes logged must not refer to one that is not
					SELECT oid, 0 AS steps FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'
					UNION
					SELECT k.conrelid, a.steps + 1
					FROM after a JOIN pg_constraint k ON k.confrelid = a.oid AND k.contype = 'f' AND k.conrelid <> k.confrelid
					WHERE a.steps < 100 -- a circle
				), turn AS (
					SELECT oid, max(steps) AS steps FROM after GROUP BY oid
				)
				SELECT format('%I.%I', n.nspname, c.relname), pg_total_relation_size(c.oid), c.relkind = 'S',
					format('ALTER %s %I.%I SET LOGGED', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname)
				FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN turn ON turn.oid = c.oid
				WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S', 'm')
				ORDER BY c.relkind = 'S', turn.steps, 1`)
			if err != nil {
				return nil, err
			}
			carried := f.Plan.Mode == upgrade.ZeroDowntime
			var found []Found
			var one Found
			var size int64
			var sequence bool
			_, err = pgx.ForEachRow(rows, []any{&one.Object, &size, &sequence, &one.SQL}, func() error {
				// Before 15 a sequence could only become unlogged with its table, and has no such command.
				if f.Version.Major() < 15 && strings.HasPrefix(one.SQL, "ALTER SEQUENCE") {
					one.SQL = ""
				}
				one.Note, one.Severity = "", ""
				if carried && sequence {
					return nil
				}
				if carried {
					one.Note, one.Severity = bytes(size), upgrade.Info
					if size > warnAbove {
						one.Severity = upgrade.Warning
					}
				}
				found = append(found, one)
				return nil
			})
			return found, err
		},
	}
}
