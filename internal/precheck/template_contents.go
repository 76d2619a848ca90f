package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// templateContents: template1 is cloned but not replicated; a session of a subscription in it
// would keep everybody from creating databases.
var templateContents = Check{
	ID: "template-contents", Title: "template1 has tables, which are not replicated",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerDatabase,
	Why:    "The contents of template1 come over as they are at the hand-over. What is written there afterwards does not.",
	Remedy: "Leave template1 alone during the upgrade, or move the tables into a database of their own.",
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		if s.Database != "template1" {
			return nil, nil
		}
		return s.query(ctx, `
			SELECT format('%I.%I', n.nspname, c.relname), NULL, NULL
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence = 'p'
				AND NOT EXISTS (
					SELECT FROM pg_depend d
					WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
				)
			ORDER BY 1`)
	},
}
