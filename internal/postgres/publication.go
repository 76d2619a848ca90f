package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// EnsurePublication publishes all tables of a database, those to come included.
// Every table must have a replica identity by then: without one its updates start to fail.
func EnsurePublication(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)`, upgrade.Publication).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for publication: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE PUBLICATION "+quoteIdent(upgrade.Publication)+" FOR ALL TABLES"); err != nil {
		return fmt.Errorf("create publication %s in %s: %w", upgrade.Publication, conn.Config().Database, err)
	}
	return nil
}

// ReplicatedTable is a table and the publication by which it is replicated.
type ReplicatedTable struct {
	Table       string // quoted
	Publication string
}

// PublishedTables lists the tables that our publications of a database send. All of them go by
// upgrade.Publication; where they are shared among groups, each goes by that of its group too.
func PublishedTables(ctx context.Context, conn *pgx.Conn) ([]ReplicatedTable, error) {
	return replicatedTables(ctx, conn, `
		SELECT quote_ident(schemaname) || '.' || quote_ident(tablename), pubname FROM pg_publication_tables
		WHERE pubname = $1 OR pubname ~ '`+groupPublications+`'`, upgrade.Publication)
}

// SubscribedTables lists the tables that our subscriptions of a name apply in the database of conn. What is
// published of other tables is passed over without a word (relation.c, logicalrep_rel_open).
func SubscribedTables(ctx context.Context, conn *pgx.Conn, subscription string) ([]ReplicatedTable, error) {
	return replicatedTables(ctx, conn, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), unnest(s.subpublications)
		FROM pg_subscription s
		JOIN pg_database d ON d.oid = s.subdbid
		JOIN pg_subscription_rel r ON r.srsubid = s.oid
		JOIN pg_class c ON c.oid = r.srrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE d.datname = current_database() AND s.subname ~ $1`, family(subscription))
}

func replicatedTables(ctx context.Context, conn *pgx.Conn, query, name string) ([]ReplicatedTable, error) {
	rows, err := conn.Query(ctx, query, name)
	if err != nil {
		return nil, fmt.Errorf("list replicated tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReplicatedTable])
	if err != nil {
		return nil, fmt.Errorf("list replicated tables: %w", err)
	}
	return tables, nil
}

// DropPublication removes our publication, and those of table groups, if they are there.
func DropPublication(ctx context.Context, conn *pgx.Conn) error {
	names := []string{upgrade.Publication}
	for group := 1; group <= upgrade.MaxTableGroups; group++ {
		names = append(names, upgrade.GroupPublication(group))
	}
	for i := range names {
		names[i] = quoteIdent(names[i])
	}
	if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("drop publication %s in %s: %w", upgrade.Publication, conn.Config().Database, err)
	}
	return nil
}
