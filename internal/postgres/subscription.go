package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Subscribe makes the subscription of a database of the target, positions its replication
// origin at the hand-over LSN and enables it, in one transaction: a subscription that is enabled
// has its position. It is safe to repeat: an existing subscription is left as it is.
func Subscribe(ctx context.Context, conn *pgx.Conn, publisher Login, slot string, from LSN, source upgrade.Major) error {
	var exists bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
			WHERE d.datname = current_database() AND s.subname = $1)`, upgrade.Subscription).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for subscription: %w", err)
	}
	if exists {
		return nil
	}
	create := fmt.Sprintf(
		"CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH (%s)",
		quoteIdent(upgrade.Subscription), quoteLiteral(publisher.ConnInfo(slot)), quoteIdent(upgrade.Publication),
		strings.Join(subscriptionOptions(conn, slot, source), ", "))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it has nothing to do
	if _, err := tx.Exec(ctx, create, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("create subscription in %s: %w", conn.Config().Database, err)
	}
	const position = `
		SELECT pg_replication_origin_advance('pg_' || s.oid, $2::text::pg_lsn)
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname = $1`
	if _, err := tx.Exec(ctx, position, upgrade.Subscription, from.String()); err != nil {
		return fmt.Errorf("position the replication origin at %s: %w", from, err)
	}
	if _, err := tx.Exec(ctx, "ALTER SUBSCRIPTION "+quoteIdent(upgrade.Subscription)+" ENABLE"); err != nil {
		return fmt.Errorf("enable subscription in %s: %w", conn.Config().Database, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit subscription in %s: %w", conn.Config().Database, err)
	}
	return nil
}

// subscriptionOptions depend on both versions. The data is there already, the slot too.
// synchronous_commit is off: what was not flushed when the target crashes is sent again.
// Parallel apply is avoided: before 16.12, 17.8 and 18.2 it could lose a transaction after a failure.
func subscriptionOptions(conn *pgx.Conn, slot string, source upgrade.Major) []string {
	options := []string{
		"create_slot = false", "copy_data = false", "enabled = false",
		"slot_name = " + quoteLiteral(slot), "synchronous_commit = 'off'",
	}
	if source >= 14 {
		options = append(options, "streaming = on")
	} else {
		options = append(options, "streaming = off")
	}
	if ServerMajor(conn) >= 15 {
		options = append(options, "disable_on_error = false")
	}
	return options
}

// ServerMajor is the major version of the server behind conn.
func ServerMajor(conn *pgx.Conn) upgrade.Major {
	var major int
	_, _ = fmt.Sscanf(conn.PgConn().ParameterStatus("server_version"), "%d", &major)
	return upgrade.Major(major)
}

// SetSubscription enables or disables the subscription of a database of the target. It does not wait
// for the disk: clients may be waiting, and a crash that takes it back does no harm, since there is
// nothing left to replicate by then.
func SetSubscription(ctx context.Context, conn *pgx.Conn, enabled bool) error {
	verb := "DISABLE"
	if enabled {
		verb = "ENABLE"
	}
	err := execAll(ctx, conn, []string{
		"BEGIN",
		"SET LOCAL synchronous_commit = off",
		"ALTER SUBSCRIPTION " + quoteIdent(upgrade.Subscription) + " " + verb,
		"COMMIT",
	})
	if err != nil && !IsCode(err, codeUndefinedObject) {
		return fmt.Errorf("%s subscription in %s: %w", strings.ToLower(verb), conn.Config().Database, err)
	}
	return nil
}

// DropSubscription removes the subscription of a database without touching its slot, which is
// the source's.
func DropSubscription(ctx context.Context, conn *pgx.Conn, name string) error {
	existing, err := Subscriptions(ctx, conn)
	if err != nil || !slices.Contains(existing, name) {
		return err
	}
	ident := quoteIdent(name)
	for _, statement := range []string{
		"ALTER SUBSCRIPTION " + ident + " DISABLE",
		"ALTER SUBSCRIPTION " + ident + " SET (slot_name = NONE)",
		"DROP SUBSCRIPTION IF EXISTS " + ident,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil && !IsCode(err, codeUndefinedObject) {
			return fmt.Errorf("drop subscription %s in %s: %w", name, conn.Config().Database, err)
		}
	}
	return nil
}

// Subscriptions lists the subscriptions of the database of conn.
func Subscriptions(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database()
		ORDER BY s.subname`)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	return names, nil
}

// SubscriptionState is the health of a database's subscription on the target.
type SubscriptionState struct {
	OID     uint32
	Enabled bool
	Working bool // it has an apply worker
	Pending int  // tables that are not ready
}

// ReadSubscription reads the state of our subscription.
func ReadSubscription(ctx context.Context, conn *pgx.Conn) (SubscriptionState, error) {
	var s SubscriptionState
	err := conn.QueryRow(ctx, `
		SELECT
			s.oid, s.subenabled,
			EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.pid IS NOT NULL),
			(SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r')::int
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname = $1`,
		upgrade.Subscription).Scan(&s.OID, &s.Enabled, &s.Working, &s.Pending)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("subscription %s does not exist in %s", upgrade.Subscription, conn.Config().Database)
	}
	if err != nil {
		return s, fmt.Errorf("read subscription: %w", err)
	}
	return s, nil
}

// FlushOrigin forces to disk what the subscription has applied and returns its position on the
// source: what is visible is not yet durable while synchronous_commit is off.
func FlushOrigin(ctx context.Context, conn *pgx.Conn, subscription uint32) (LSN, error) {
	var lsn LSN
	err := conn.QueryRow(ctx, `
		SELECT pg_replication_origin_progress('pg_' || $1::text, true)::text`,
		fmt.Sprint(subscription)).Scan(scanLSN{&lsn})
	if err != nil {
		return 0, fmt.Errorf("flush the applied changes: %w", err)
	}
	return lsn, nil
}
