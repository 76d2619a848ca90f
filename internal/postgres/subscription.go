package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// NewSubscription is a subscription of ours to be made. The data is there already, the slot too.
type NewSubscription struct {
	Name        string
	Publication string
	Publisher   Login
	Slot        string
	Version     upgrade.Major // of the publisher
	// From is the LSN from which on changes are applied; 0: the subscription is made, but stays disabled.
	From LSN
}

// Subscribe makes a subscription in the database of conn, positions its replication origin and enables
// it, in one transaction: a subscription that is enabled has its position. It is safe to repeat: an
// existing subscription is left as it is.
func Subscribe(ctx context.Context, conn *pgx.Conn, s NewSubscription) error {
	existing, err := Subscriptions(ctx, conn)
	if err != nil || slices.Contains(existing, s.Name) {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it has nothing to do
	create := fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH (%s)",
		quoteIdent(s.Name), quoteLiteral(s.Publisher.ConnInfo(s.Slot)), quoteIdent(s.Publication),
		strings.Join(s.options(conn), ", "))
	if _, err := tx.Exec(ctx, create, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("create subscription %s in %s: %w", s.Name, conn.Config().Database, err)
	}
	if s.From != 0 {
		if err := enableFrom(ctx, tx, s.Name, s.From); err != nil {
			return err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit subscription in %s: %w", conn.Config().Database, err)
	}
	return nil
}

// enableFrom lets a disabled subscription apply what was committed from an LSN on, or from where it got to
// if that is later.
func enableFrom(ctx context.Context, tx pgx.Tx, name string, from LSN) error {
	const position = `
		SELECT pg_replication_origin_advance('pg_' || s.oid,
			greatest($2::text::pg_lsn, pg_replication_origin_progress('pg_' || s.oid, true)))
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname = $1`
	if _, err := tx.Exec(ctx, position, name, from.String()); err != nil {
		return fmt.Errorf("position the replication origin of %s at %s: %w", name, from, err)
	}
	if _, err := tx.Exec(ctx, "ALTER SUBSCRIPTION "+quoteIdent(name)+" ENABLE"); err != nil {
		return fmt.Errorf("enable subscription %s: %w", name, err)
	}
	return nil
}

// options depend on both versions. synchronous_commit is off: what was not flushed when the subscriber
// crashes is sent again. Parallel apply is avoided: before 16.12, 17.8 and 18.2 it could lose a
// transaction after a failure.
func (s NewSubscription) options(conn *pgx.Conn) []string {
	options := []string{
		"create_slot = false", "copy_data = false", "enabled = false",
		"slot_name = " + quoteLiteral(s.Slot), "synchronous_commit = 'off'",
	}
	// The option itself is there from 14 on (subscriptioncmds.c, parse_subscription_options).
	if subscriber := ServerMajor(conn); subscriber >= 14 && s.Version >= 14 {
		options = append(options, "streaming = on")
	} else if subscriber >= 14 {
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

// family matches the names of the subscriptions that share the tables of a database: they go by the
// name of the first, and a number.
func family(name string) string { return "^" + name + "(_[0-9]+)?$" }

// DisableSubscriptions disables our subscriptions of a name, and returns when their apply workers are gone.
func DisableSubscriptions(ctx context.Context, conn *pgx.Conn, name string) error {
	names, err := subscriptionsOf(ctx, conn, name)
	if err != nil {
		return err
	}
	for _, each := range names {
		_, err := conn.Exec(ctx, "ALTER SUBSCRIPTION "+quoteIdent(each)+" DISABLE")
		if err != nil && !IsCode(err, codeUndefinedObject) {
			return fmt.Errorf("disable subscription %s in %s: %w", each, conn.Config().Database, err)
		}
	}
	const working = `
		SELECT count(*)::int FROM pg_stat_subscription
		WHERE subname ~ $1 AND pid IS NOT NULL
			AND subid IN (SELECT s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database())`
	return poll(ctx, "wait for the end of subscription "+name, func() (bool, error) {
		var left int
		err := conn.QueryRow(ctx, working, family(name)).Scan(&left)
		return left == 0, err
	})
}

// EnableSubscriptions lets those of our subscriptions of a name that are disabled apply what was committed
// from an LSN on, durably, and leaves the others as they are: it may be repeated.
func EnableSubscriptions(ctx context.Context, conn *pgx.Conn, name string, from LSN) error {
	return poll(ctx, "enable subscription "+name, func() (bool, error) {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `
				SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
				WHERE d.datname = current_database() AND s.subname ~ $1 AND NOT s.subenabled`, family(name))
			if err != nil {
				return err
			}
			disabled, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, each := range disabled {
				if err := enableFrom(ctx, tx, each, from); err != nil {
					return err
				}
			}
			return nil
		})
		if IsCode(err, codeObjectInUse) {
			return false, nil // its last apply worker is on the way out
		}
		return err == nil, err
	})
}

// SlotPosition is a slot that a subscription reads from, and from where on it would.
type SlotPosition struct {
	Slot string
	From LSN
}

// DisabledPositions lists, for our subscriptions of a name that are disabled, where they would go on if
// they were enabled from an LSN on.
func DisabledPositions(ctx context.Context, conn *pgx.Conn, name string, from LSN) ([]SlotPosition, error) {
	rows, err := conn.Query(ctx, `
		SELECT s.subslotname::text, greatest($2::text::pg_lsn, pg_replication_origin_progress('pg_' || s.oid, true))::text
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname ~ $1 AND NOT s.subenabled`, family(name), from.String())
	if err != nil {
		return nil, fmt.Errorf("read the positions of subscriptions: %w", err)
	}
	positions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p SlotPosition, err error) {
		err = row.Scan(&p.Slot, scanLSN{&p.From})
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the positions of subscriptions: %w", err)
	}
	return positions, nil
}

func subscriptionsOf(ctx context.Context, conn *pgx.Conn, name string) ([]string, error) {
	all, err := Subscriptions(ctx, conn)
	pattern := regexp.MustCompile(family(name))
	return slices.DeleteFunc(all, func(each string) bool { return !pattern.MatchString(each) }), err
}

// DropSubscriptions removes our subscriptions of a name without touching their slots.
func DropSubscriptions(ctx context.Context, conn *pgx.Conn, name string) error {
	names, err := subscriptionsOf(ctx, conn, name)
	if err != nil {
		return err
	}
	for _, each := range names {
		if err := DropSubscription(ctx, conn, each); err != nil {
			return err
		}
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

// SubscriptionState is the health of the subscriptions of a database that share its tables.
type SubscriptionState struct {
	OIDs    []uint32
	Enabled bool // all of them
	Working bool // each has an apply worker
	Pending int  // tables that are not ready
}

// ReadSubscriptions reads the state of our subscriptions of a name.
func ReadSubscriptions(ctx context.Context, conn *pgx.Conn, name string) (SubscriptionState, error) {
	var s SubscriptionState
	err := conn.QueryRow(ctx, `
		SELECT
			coalesce(array_agg(s.oid ORDER BY s.oid), '{}'),
			coalesce(bool_and(s.subenabled), false),
			coalesce(bool_and(EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.pid IS NOT NULL)), false),
			coalesce(sum((SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r')), 0)::int
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname ~ $1`,
		family(name)).Scan(&s.OIDs, &s.Enabled, &s.Working, &s.Pending)
	if err != nil {
		return s, fmt.Errorf("read subscription: %w", err)
	}
	if len(s.OIDs) == 0 {
		return s, fmt.Errorf("subscription %s does not exist in %s", name, conn.Config().Database)
	}
	return s, nil
}

// flushOrigin forces to disk what a subscription has applied and returns its position on the source: what is visible is
// not yet durable while synchronous_commit is off.
const flushOrigin = `SELECT pg_replication_origin_progress('pg_' || $1::text, true)::text`
