package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// TableGroups is how the tables of a database are shared among groups, each of which has a publication, a slot
// and a subscription of its own.
type TableGroups struct {
	// Count is the number of groups, counted from 1; 0: all tables go one way.
	Count  int
	Tables int // with their partitions
	// Cut are foreign keys between groups, as "table and table". No apply worker checks them, but TRUNCATE of a
	// table that is referenced from another group cannot be applied (heap.c, heap_truncate_check_FKs).
	Cut []string
}

// EnsureTableGroups shares the tables of the database of conn, those of its schema pgleap included, among at most
// so many groups. Each table is in one group. Groups that an earlier attempt has made are completed, until the
// database has a slot: from then on they stay as they are, for what a slot has passed cannot be sent any more.
// A database with one table, or with none, has no groups.
func EnsureTableGroups(ctx context.Context, conn *pgx.Conn, most int) (TableGroups, error) {
	count, fixed, err := countTableGroups(ctx, conn)
	if err != nil || count == 0 && (fixed || most <= 1) {
		return TableGroups{}, err
	}
	tables, err := readGroupedTables(ctx, conn)
	if err != nil {
		return TableGroups{}, err
	}
	links, err := readForeignKeys(ctx, conn)
	if err != nil {
		return TableGroups{}, err
	}
	if !fixed {
		if count, err = completeTableGroups(ctx, conn, tables, links, count, most); err != nil {
			return TableGroups{}, fmt.Errorf("share the tables of %s among groups: %w", conn.Config().Database, err)
		}
	}
	if count == 0 {
		return TableGroups{}, nil
	}
	return TableGroups{Count: count, Tables: len(tables), Cut: cutLinks(tables, links)}, nil
}

// countTableGroups counts the groups that there are, and tells whether the database has a slot.
func countTableGroups(ctx context.Context, conn *pgx.Conn) (count int, fixed bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT
			(SELECT count(*)::int FROM pg_publication WHERE pubname ~ '`+groupPublications+`'),
			EXISTS (SELECT FROM pg_replication_slots WHERE slot_name ~ '`+ourSlots+`' AND database = current_database())`,
	).Scan(&count, &fixed)
	if err != nil {
		return 0, false, fmt.Errorf("look for table groups: %w", err)
	}
	return count, fixed, nil
}

// groupPublications matches the names of the publications of groups.
const groupPublications = `^pgleap_group_[0-9]+$`

// completeTableGroups makes the groups, if there are none, and puts each table into one.
func completeTableGroups(ctx context.Context, conn *pgx.Conn, tables []groupedTable, links []tableLink, count, most int) (int, error) {
	if count > 0 {
		return count, addToGroups(ctx, conn, shareTables(tables, links, count))
	}
	shareTables(tables, links, min(most, upgrade.MaxTableGroups, len(tables)))
	if count = closeRanks(tables); count <= 1 {
		return 0, nil
	}
	if err := createTableGroups(ctx, conn, count); err != nil {
		return 0, err
	}
	return count, addToGroups(ctx, conn, tables)
}

// createTableGroups makes the publications with a marker each, in one transaction. What else is in the schema
// pgleap goes with the first.
func createTableGroups(ctx context.Context, conn *pgx.Conn, count int) error {
	rows, err := conn.Query(ctx, `
		SELECT 'ONLY ' || format('%I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence = 'p'
		ORDER BY c.relname`, upgrade.Schema)
	if err != nil {
		return err
	}
	ours, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	statements := []string{"BEGIN", publishTables(1, ours)}
	for group := 2; group <= count; group++ {
		statements = append(statements, createGroupMarker(group), publishTables(group, []string{"ONLY " + groupMarker(group)}))
	}
	return execAll(ctx, conn, append(statements, "COMMIT"))
}

func publishTables(group int, tables []string) string {
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s", quoteIdent(upgrade.GroupPublication(group)), strings.Join(tables, ", "))
}

// tablesAtOnce bounds the locks that one statement takes: they are held together, and room for them is limited
// (max_locks_per_transaction).
const tablesAtOnce = 500

// addToGroups publishes tables with their groups. ONLY keeps the children of a table in
// their own groups; of a partitioned table the partitions come along anyway (publicationcmds.c, OpenTableList).
func addToGroups(ctx context.Context, conn *pgx.Conn, tables []groupedTable) error {
	members := map[int][]string{}
	for _, table := range tables {
		members[table.Group] = append(members[table.Group], "ONLY "+table.Name)
	}
	for group := 1; group <= upgrade.MaxTableGroups; group++ {
		for chunk := range slices.Chunk(members[group], tablesAtOnce) {
			statement := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoteIdent(upgrade.GroupPublication(group)), strings.Join(chunk, ", "))
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
	}
	return nil
}

// The unit is a table, or a partitioned table with its partitions, also those to come. Partitions of a table that
// cannot be published itself are units of their own, and so are those of one that has foreign partitions too: these
// would be published with it, and no subscription takes them (subscriptioncmds.c, CheckSubscriptionRelkind). Writes are what the source has counted: an insert costs the
// row and an entry in each index, an update has to find its row too, and spares the indexes when it is HOT.
const readGrouped = `
	SELECT
		u.oid, format('%I.%I', n.nspname, u.relname) AS name,
		sum(coalesce(
			s.n_tup_ins * (1 + x.indexes) + (s.n_tup_upd - s.n_tup_hot_upd) * (2 + x.indexes)
				+ 2 * (s.n_tup_hot_upd + s.n_tup_del), 0))::float8 AS writes,
		sum(coalesce(pg_relation_size(c.oid), 0))::float8 AS bytes,
		coalesce((
			SELECT min(substring(p.pubname FROM '[0-9]+$')::int)
			FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
			WHERE r.prrelid = u.oid AND p.pubname ~ '` + groupPublications + `'), 0) AS assigned
	FROM pg_class c
	LEFT JOIN pg_class root ON root.oid = pg_partition_root(c.oid) AND root.relpersistence = 'p'
		AND root.oid NOT IN (SELECT pg_partition_root(f.oid) FROM pg_class f WHERE f.relkind = 'f' AND f.relispartition)
	JOIN pg_class u ON u.oid = coalesce(root.oid, c.oid)
	JOIN pg_namespace n ON n.oid = u.relnamespace
	LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
	CROSS JOIN LATERAL (SELECT count(*) AS indexes FROM pg_index i WHERE i.indrelid = c.oid) AS x
	WHERE c.oid >= 16384 AND c.relpersistence = 'p' AND n.nspname <> '` + upgrade.Schema + `'
		AND (c.relkind = 'r' OR c.relkind = 'p' AND root.oid IS NOT NULL)
	GROUP BY u.oid, n.nspname, u.relname
	ORDER BY 2`

func readGroupedTables(ctx context.Context, conn *pgx.Conn) ([]groupedTable, error) {
	rows, err := conn.Query(ctx, readGrouped)
	if err != nil {
		return nil, fmt.Errorf("list tables and what they cost: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[groupedTable])
	if err != nil {
		return nil, fmt.Errorf("list tables and what they cost: %w", err)
	}
	return tables, nil
}

// readForeignKeys lists them, but those that are NOT ENFORCED (from 18 on) to a table without triggers, which TRUNCATE
// does not mind (heap.c, heap_truncate_check_FKs).
func readForeignKeys(ctx context.Context, conn *pgx.Conn) ([]tableLink, error) {
	rows, err := conn.Query(ctx, `
		SELECT DISTINCT
			coalesce(pg_partition_root(conrelid)::oid, conrelid),
			coalesce(pg_partition_root(confrelid)::oid, confrelid)
		FROM pg_constraint k
		WHERE contype = 'f' AND conrelid <> confrelid
			AND (coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) OR EXISTS (
				SELECT FROM pg_trigger WHERE tgrelid = confrelid OR tgrelid IN (SELECT relid FROM pg_partition_tree(confrelid))))
		ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list foreign keys: %w", err)
	}
	links, err := pgx.CollectRows(rows, pgx.RowToStructByPos[tableLink])
	if err != nil {
		return nil, fmt.Errorf("list foreign keys: %w", err)
	}
	return links, nil
}
