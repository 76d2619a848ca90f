package precheck

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// replicaIdentity: the publication breaks updates and deletes of such tables at once, on the
// source (execReplication.c, CheckCmdReplicaIdentity), or on the target, which publishes them for the way back. With Options.FullIdentity the tables that can
// are given FULL before they are published.
var replicaIdentity = Check{
	ID: "replica-identity", Title: "Tables have no replica identity",
	Severity: upgrade.Blocker, Modes: withReplication(), Scope: PerPublished,
	Why: "An update or delete is replicated by the row's identity: its primary key, another unique index without NULLs, or the whole row. " +
		"As soon as a table without one is published, the source refuses to update and delete in it.",
	Remedy: "Best is a primary key. Otherwise name a unique index, or let the whole row be the identity (FULL), which is slow for large tables. " +
		"With --full-identity the upgrade does the latter itself, and gives each table its former identity back when it ends. " +
		"FULL is not possible with columns whose types have no equality nor, when source or target is 18 or later, with generated columns. " +
		"A key with a generated column is no identity: such columns are not replicated.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, postgres.WithIdentities(f.newest())+`
			SELECT name,
				concat_ws('; ',
					CASE
						WHEN identity = 'n' THEN 'REPLICA IDENTITY NOTHING'
						WHEN identity = 'f' THEN 'FULL, with generated columns: ' || generated
						WHEN generated_key THEN 'its key has a generated column'
						WHEN identity = 'i' THEN 'the index that was its identity is gone or invalid'
						WHEN deferrable_key THEN 'its primary key is deferrable'
						ELSE 'no primary key'
					END,
					CASE WHEN mend IS NULL THEN 'no equality for ' || unequal END,
					CASE WHEN mend IS NULL AND unequal IS NULL AND identity <> 'f' THEN 'no FULL, with generated columns: ' || generated END,
					CASE WHEN can_full AND $1 THEN 'gets FULL for the time of the upgrade' END),
				coalesce(mend, ''),
				CASE WHEN can_full AND $1 THEN $2 ELSE '' END
			FROM identities
			WHERE NOT identified
			ORDER BY name`, f.Plan.Options.FullIdentity, string(upgrade.Warning))
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[Found])
	},
}
