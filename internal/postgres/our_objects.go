package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The origin of a subscription goes with it (subscriptioncmds.c, DropSubscription).
const ourObjects = `
	SELECT format('slot %I', slot_name) FROM pg_replication_slots WHERE slot_name ~ '` + ourSlots + `' OR slot_name ~ '` + standbySlots + `' OR slot_name ~ '` + heldSlots + `'
	UNION ALL
	SELECT format('subscription %I', s.subname)
	FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
	WHERE d.datname = current_database() AND (s.subname ~ $1 OR s.subname ~ $2)
	UNION ALL
	SELECT format('publication %I', pubname) FROM pg_publication WHERE pubname ~ $1 OR pubname ~ '` + groupPublications + `'
	UNION ALL
	SELECT format('schema %I', nspname) FROM pg_namespace WHERE nspname = $3 AND pg_get_userbyid(nspowner) = '` + upgrade.Role + `'
	UNION ALL
	SELECT format('event trigger %I', evtname) FROM pg_event_trigger WHERE evtname ~ '^pgleap_ddl_'
	UNION ALL
	SELECT format('session %s of the verification', pid) FROM pg_stat_activity
	WHERE usename = '` + upgrade.Role + `' AND application_name = '` + upgrade.VerificationSession + `'
	ORDER BY 1`

// OurObjects lists what pgleap has made in the database of conn, or in what all databases share, and not
// removed. Its role is left out: it is removed last.
func OurObjects(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, ourObjects, family(upgrade.Subscription), family(upgrade.BackSubscription), upgrade.Schema)
	if err != nil {
		return nil, fmt.Errorf("look for what pgleap has made: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for what pgleap has made: %w", err)
	}
	return names, nil
}
