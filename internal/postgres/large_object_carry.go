package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// LargeObjectsState is what a look at the large objects of a database has found. Keys sums up which of
// them there are, and which have a comment.
type LargeObjectsState struct {
	Changed []uint32 // oids of those that were written, granted, given away or commented on
	Keys    string
}

// OldestRunning is the xid below which every transaction has ended: who looks afterwards sees all of them.
func OldestRunning(ctx context.Context, conn *pgx.Conn) (string, error) {
	var xid string
	err := conn.QueryRow(ctx, `
		SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint % 4294967296)::text`).Scan(&xid)
	if err != nil {
		return "", fmt.Errorf("ask for the oldest transaction of %s: %w", conn.Config().Database, err)
	}
	return xid, nil
}

// changedSince reads the large objects that a transaction has changed which is not older than an xid. Each
// change writes a row version: of a page, of the owner and privileges, or of a comment; so does a truncation
// (inv_api.c, inv_truncate). A row that was frozen long ago may count as changed, once xids have wrapped.
// What is gone is in the keys.
// The xid is a constant in it: a statement with a parameter is planned anew the first few times.
const changedSince = `
	WITH changed AS (
		SELECT loid FROM pg_largeobject WHERE age(xmin) <= age(%[1]s::xid)
		UNION
		SELECT oid FROM pg_largeobject_metadata WHERE age(xmin) <= age(%[1]s::xid)
		UNION
		SELECT objoid FROM pg_description
		WHERE classoid = 'pg_largeobject'::regclass AND age(xmin) <= age(%[1]s::xid)
	)
	SELECT coalesce(array_agg(loid ORDER BY loid), '{}') FROM changed`

// largeObjectKeys are what can be gone without a trace.
const largeObjectKeys = `
	SELECT 'object' AS kind, oid FROM pg_largeobject_metadata
	UNION ALL
	SELECT 'comment', objoid FROM pg_description WHERE classoid = 'pg_largeobject'::regclass`

const largeObjectKeySum = `
	SELECT concat(count(*), ' ', sum(hashtextextended(kind, oid::bigint))) FROM (` + largeObjectKeys + `) AS keys`

// LargeObjectKeys sums up which large objects a database has.
func LargeObjectKeys(ctx context.Context, conn *pgx.Conn) (string, error) {
	var keys string
	if err := conn.QueryRow(ctx, largeObjectKeySum).Scan(&keys); err != nil {
		return "", fmt.Errorf("count the large objects of %s: %w", conn.Config().Database, err)
	}
	return keys, nil
}

// largeObjectSums sums up each large object: its pages, owner, privileges and comment.
const largeObjectSums = `
	SELECT m.oid, md5(concat_ws('/', pg_get_userbyid(m.lomowner), m.lomacl, obj_description(m.oid, 'pg_largeobject'), pages.sum))
	FROM pg_largeobject_metadata m
	LEFT JOIN (
		SELECT loid, sum(('x' || left(md5(pageno || md5(data)), 16))::bit(64)::bigint) AS sum
		FROM pg_largeobject
		GROUP BY loid
	) AS pages ON pages.loid = m.oid`

// UnlikeLargeObjects compares all large objects of two databases, and returns the oids of those that are not
// the same on both sides, or on one side only. It reads all of them.
func UnlikeLargeObjects(ctx context.Context, source, target *pgx.Conn) ([]uint32, error) {
	return unlikeOIDs(ctx, source, target, largeObjectSums)
}

// UnlikeLargeObjectKeys compares which large objects two databases have, and returns the oids of those that
// exist, or have a comment, on one side only.
func UnlikeLargeObjectKeys(ctx context.Context, source, target *pgx.Conn) ([]uint32, error) {
	return unlikeOIDs(ctx, source, target, `SELECT oid, string_agg(kind, ' ' ORDER BY kind) FROM (`+largeObjectKeys+`) AS keys GROUP BY oid`)
}

// summed is an oid with a text that sums up what it stands for.
type summed struct {
	oid uint32
	sum string
}

// summedAtOnce is how many of them a side is ahead of the other, some four times at most: there may be millions.
const summedAtOnce = 1000

// unlikeOIDs runs a query that returns oids, each with a text, on both sides, and compares while it reads: both are
// in the order of the oids.
func unlikeOIDs(ctx context.Context, source, target *pgx.Conn, query string) ([]uint32, error) {
	var read [2]chan []summed
	both, ctx := errgroup.WithContext(ctx)
	for side, conn := range []*pgx.Conn{source, target} {
		read[side] = make(chan []summed, 2)
		both.Go(func() error {
			defer close(read[side])
			if err := readSummed(ctx, conn, query+" ORDER BY oid", read[side]); err != nil {
				return fmt.Errorf("read the large objects of %s: %w", conn.Config().Database, err)
			}
			return nil
		})
	}
	unlike := unlikeSummed(&sums{chunks: read[0]}, &sums{chunks: read[1]})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	return unlike, nil
}

// readSummed hands on what a query returns.
func readSummed(ctx context.Context, conn *pgx.Conn, query string, to chan<- []summed) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	var chunk []summed
	hand := func() error {
		select {
		case to <- chunk:
			chunk = make([]summed, 0, summedAtOnce)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var next summed
	_, err = pgx.ForEachRow(rows, []any{&next.oid, &next.sum}, func() error {
		if chunk = append(chunk, next); len(chunk) < summedAtOnce {
			return nil
		}
		return hand()
	})
	if err != nil {
		return err
	}
	return hand()
}

// sums are those of one side that are still to be compared.
type sums struct {
	chunks <-chan []summed
	chunk  []summed
}

// first is the first of them, unless there is none left.
func (s *sums) first() (first summed, found bool) {
	for len(s.chunk) == 0 {
		if s.chunk, found = <-s.chunks; !found {
			return first, false
		}
	}
	return s.chunk[0], true
}

func (s *sums) drop() { s.chunk = s.chunk[1:] }

// unlikeSummed returns the oids that are on one side only, or have another sum on the other.
func unlikeSummed(source, target *sums) (unlike []uint32) {
	for {
		one, more := source.first()
		other, moreThere := target.first()
		switch {
		case !more && !moreThere:
			return unlike
		case !moreThere || more && one.oid < other.oid:
			unlike = append(unlike, one.oid)
			source.drop()
		case !more || other.oid < one.oid:
			unlike = append(unlike, other.oid)
			target.drop()
		default:
			if one.sum != other.sum {
				unlike = append(unlike, one.oid)
			}
			source.drop()
			target.drop()
		}
	}
}

// objectsAtOnce bounds the large objects of one transaction, each of which takes a lock, and pagesAtOnce, of
// 2 kB each, those of one statement.
const (
	objectsAtOnce = 500
	pagesAtOnce   = 1000
)

// CarryLargeObjects makes large objects of the target what they are on the source: content, owner,
// privileges and comment; those that the source does not have are removed. Both sessions are a superuser's.
// Carrying twice is carrying once.
func CarryLargeObjects(ctx context.Context, source, target *pgx.Conn, oids []uint32) error {
	for some := range slices.Chunk(oids, objectsAtOnce) {
		err := pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
			if err := remakeLargeObjects(ctx, source, tx, some); err != nil {
				return err
			}
			return copyPages(ctx, source, tx, some)
		})
		if err != nil {
			return fmt.Errorf("carry large objects of %s: %w", target.Config().Database, err)
		}
	}
	return nil
}

// makeLargeObjects writes the statements that make large objects as they are, without their pages. Privileges
// that somebody has granted who is not the owner come after those of the owner.
const makeLargeObjects = `
	WITH object AS (
		SELECT oid, pg_get_userbyid(lomowner) AS owner, lomowner, lomacl FROM pg_largeobject_metadata WHERE oid = ANY ($1)
	), statement (oid, place, sql) AS (
		SELECT oid, 1, format('SELECT pg_catalog.lo_create(%s)', oid) FROM object
		UNION ALL
		SELECT oid, 2, format('ALTER LARGE OBJECT %s OWNER TO %I', oid, owner) FROM object
		UNION ALL
		SELECT oid, 3, format('REVOKE ALL ON LARGE OBJECT %s FROM %I', oid, owner) FROM object WHERE lomacl IS NOT NULL
		UNION ALL
		SELECT o.oid, CASE x.grantor WHEN o.lomowner THEN 4 ELSE 5 END,
			format('SET LOCAL ROLE %I; GRANT %s ON LARGE OBJECT %s TO %s%s; SET LOCAL ROLE NONE',
				pg_get_userbyid(x.grantor), x.privilege_type, o.oid,
				CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
				CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
		FROM object o CROSS JOIN aclexplode(o.lomacl) AS x
		UNION ALL
		SELECT o.oid, 6, format('COMMENT ON LARGE OBJECT %s IS %L', o.oid, d.description)
		FROM object o JOIN pg_description d ON d.classoid = 'pg_largeobject'::regclass AND d.objoid = o.oid
	)
	SELECT coalesce(string_agg(sql, '; ' ORDER BY oid, place), '') FROM statement`

// remakeLargeObjects makes empty large objects in the place of those that the target has. The guard of
// definitions does not concern what is carried.
func remakeLargeObjects(ctx context.Context, source *pgx.Conn, tx pgx.Tx, oids []uint32) error {
	var script string
	if err := source.QueryRow(ctx, makeLargeObjects, oids).Scan(&script); err != nil {
		return fmt.Errorf("read owners and privileges: %w", err)
	}
	_, err := tx.Exec(ctx, `
		SELECT set_config('session_replication_role', 'replica', true), set_config('standard_conforming_strings', 'on', true)`)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_catalog.lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid = ANY ($1)`, oids); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if _, err := tx.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return nil
}

// copyPages copies the rows of pg_largeobject as they are, so that holes stay holes. A superuser may write
// there (aclchk.c, pg_class_aclmask), as pg_restore does in an upgrade.
func copyPages(ctx context.Context, source *pgx.Conn, tx pgx.Tx, oids []uint32) error {
	rows, err := source.Query(ctx, `
		SELECT loid, pageno, data FROM pg_largeobject WHERE loid = ANY ($1) ORDER BY loid, pageno`, oids)
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	defer rows.Close()
	var objects []uint32
	var numbers []int32
	var pages [][]byte
	write := func() error {
		_, err := tx.Exec(ctx, `
			INSERT INTO pg_largeobject (loid, pageno, data)
			SELECT * FROM unnest($1::oid[], $2::int[], $3::bytea[])`, objects, numbers, pages)
		objects, numbers, pages = objects[:0], numbers[:0], pages[:0]
		return err
	}
	for rows.Next() {
		var object uint32
		var number int32
		var page []byte
		if err := rows.Scan(&object, &number, &page); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		objects, numbers, pages = append(objects, object), append(numbers, number), append(pages, page)
		if len(pages) == pagesAtOnce {
			if err := write(); err != nil {
				return fmt.Errorf("write pages: %w", err)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	if len(pages) == 0 {
		return nil
	}
	if err := write(); err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	return nil
}
