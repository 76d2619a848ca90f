package precheck

import (
	"context"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// unloggedTables: they are not in the WAL, so a standby has them empty (reinit.c,
// ResetUnloggedRelations), and their changes are not published. Unlogged sequences are there since 15.
var unloggedTables = Check{
	ID: "unlogged-tables", Title: "Unlogged tables and sequences come over empty",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerDatabase, Acceptable: true,
	Why:    "The contents of unlogged tables are not in the WAL: the clone has them empty, and their changes are not replicated.",
	Remedy: "Make them logged. If their contents may get lost, as those of a cache, accept each by name.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		found, err := s.query(ctx, `
			SELECT format('%I.%I', n.nspname, c.relname), NULL,
				format('ALTER %s %I.%I SET LOGGED', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S', 'm')
			ORDER BY c.relkind = 'S', 1`)
		for i := range found {
			// Before 15 a sequence could only become unlogged with its table, and has no such command.
			if f.Version.Major() < 15 && strings.HasPrefix(found[i].SQL, "ALTER SEQUENCE") {
				found[i].SQL = ""
			}
		}
		return found, err
	},
}
