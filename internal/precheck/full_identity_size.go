package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// fullIdentitySize: up to 15 the apply worker reads the whole table for each row
// (execReplication.c, RelationFindReplTupleSeq). Since 16 it uses a B-tree index that begins with
// a plain column and is not partial, since 17 also a hash index (relation.c, IsIndexUsableForReplicaIdentityFull).
var fullIdentitySize = Check{
	ID: "full-identity-size", Title: "Large tables have or get REPLICA IDENTITY FULL",
	Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished,
	Why:    "With FULL, and without an index that helps, the target reads the whole table for every row that is updated or deleted. It may never catch up.",
	Remedy: "Give the table a primary key or name a unique index as its identity. For a target of 16 or later any B-tree index on a selective column will do.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const large = 16 << 20
		var helpers []string // access methods
		switch target := f.Plan.Target.Version.Major(); {
		case target >= 17:
			helpers = []string{"btree", "hash"}
		case target == 16:
			helpers = []string{"btree"}
		}
		return s.query(ctx, postgres.WithIdentities(f.newest())+`
			SELECT name,
				format('%s, %s rows updated or deleted so far', pg_size_pretty(pg_relation_size(t.oid)),
					coalesce((SELECT n_tup_upd + n_tup_del FROM pg_stat_all_tables a WHERE a.relid = t.oid), 0)),
				CASE WHEN usable_key OR candidate IS NOT NULL THEN mend END
			FROM identities t
			WHERE (identity = 'f' OR can_full AND $3) AND pg_relation_size(t.oid) >= $1
				AND NOT EXISTS (
					SELECT FROM pg_index i
					JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
					WHERE i.indrelid = t.oid AND m.amname = ANY ($2) AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] <> 0
				)
			ORDER BY name`, large, helpers, f.Plan.Options.FullIdentity)
	},
}
