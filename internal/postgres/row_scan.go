package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// BlockRange is a part of a table. One that goes from 0 without an end is all of it; one that has no
// end takes in what was appended since.
type BlockRange struct {
	From, To int64 // To is the first block after it, 0 if it has no end
}

func (r BlockRange) condition() string {
	if r.From == 0 && r.To == 0 {
		return ""
	}
	condition := fmt.Sprintf(" WHERE t.ctid >= '(%d,0)'", r.From)
	if r.To > 0 {
		condition += fmt.Sprintf(" AND t.ctid < '(%d,0)'", r.To)
	}
	return condition
}

// settings makes sure that a range is scanned as one: by TID since 14, and by nothing that may take
// the heap's blocks in another order.
func (r BlockRange) settings() []string {
	off := []string{"enable_indexscan = off", "enable_indexonlyscan = off", "enable_bitmapscan = off", "work_mem = '64MB'"}
	if r.From > 0 || r.To > 0 {
		off = append(off, "enable_seqscan = off")
	}
	return off
}

// HashSum sums up rows: how many there are, and the sum of their hashes, of up to 128 bits.
type HashSum struct {
	Rows int64  `json:"rows"`
	Sum  string `json:"sum"`
}

// RowScan looks at the rows of a table by their hashes.
type RowScan struct {
	Table ContentTable
	Types ContentTypes
	// Columns are those that the hashes are made of, in the order that the other side has them in, too.
	Columns []ContentColumn
	// Timeout bounds each query, in milliseconds.
	Timeout int64
}

func (s RowScan) query(ctx context.Context, conn *pgx.Conn, part BlockRange, query string) ([][][]byte, error) {
	settings := append(part.settings(), fmt.Sprintf("statement_timeout = %d", s.Timeout))
	rows, err := BriefQuery(ctx, conn, settings, query)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", s.Table.Ident(), conn.Config().Database, err)
	}
	return rows, nil
}

func (s RowScan) hash() string { return s.Types.RowHash(s.Columns) }

func (s RowScan) from() string { return " FROM ONLY " + s.Table.Ident() + " AS t" }

// hashed is a subquery with the hash h of each row, its place and its key columns, k0 and so on: the table's own
// names may be any. OFFSET 0 keeps PostgreSQL from computing the hash for each mention of it.
func (s RowScan) hashed(key []ContentColumn, part BlockRange) string {
	columns := []string{s.hash() + " AS h", "t.ctid AS place"}
	for i, column := range key {
		columns = append(columns, fmt.Sprintf("t.%s AS k%d", quoteIdent(column.Name), i))
	}
	return " FROM (SELECT " + strings.Join(columns, ", ") + s.from() + part.condition() + " OFFSET 0) AS t"
}

// Sum sums up a part of the table, and tells its filenode as it was while the part was read.
func (s RowScan) Sum(ctx context.Context, conn *pgx.Conn, part BlockRange) (HashSum, uint32, error) {
	rows, err := s.query(ctx, conn, part, fmt.Sprintf("SELECT count(*), coalesce(sum(%s), 0), coalesce(pg_relation_filenode(%d), 0)%s%s",
		s.hash(), s.Table.OID, s.from(), part.condition()))
	if err != nil {
		return HashSum{}, 0, err
	}
	count, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil {
		return HashSum{}, 0, fmt.Errorf("count the rows of %s: %w", s.Table.Ident(), err)
	}
	filenode, err := strconv.ParseUint(string(rows[0][2]), 10, 32)
	if err != nil {
		return HashSum{}, 0, fmt.Errorf("read the filenode of %s: %w", s.Table.Ident(), err)
	}
	return HashSum{Rows: count, Sum: string(rows[0][1])}, uint32(filenode), nil
}

// Buckets sums up a part of the table by the lower bits of the rows' hashes. The number of buckets is
// a power of 2.
func (s RowScan) Buckets(ctx context.Context, conn *pgx.Conn, part BlockRange, number int) (map[int]HashSum, error) {
	rows, err := s.query(ctx, conn, part, fmt.Sprintf("SELECT t.h & %d, count(*), sum(t.h)%s GROUP BY 1", number-1, s.hashed(nil, part)))
	if err != nil {
		return nil, err
	}
	buckets := make(map[int]HashSum, len(rows))
	for _, row := range rows {
		bucket, err := strconv.Atoi(string(row[0]))
		if err != nil {
			return nil, fmt.Errorf("read a bucket of %s: %w", s.Table.Ident(), err)
		}
		count, err := strconv.ParseInt(string(row[1]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", s.Table.Ident(), err)
		}
		buckets[bucket] = HashSum{Rows: count, Sum: string(row[2])}
	}
	return buckets, nil
}

// HashedRow is a row by its hash.
type HashedRow struct {
	Hash  int64
	Place string   // its ctid, which a row version that a snapshot sees keeps
	Key   []string // the texts of the key's columns
}

// InBuckets reads the rows of a part that are in some of the buckets.
func (s RowScan) InBuckets(ctx context.Context, conn *pgx.Conn, part BlockRange, number int, buckets []int, key []ContentColumn) ([]HashedRow, error) {
	wanted := make([]string, len(buckets))
	for i, bucket := range buckets {
		wanted[i] = strconv.Itoa(bucket)
	}
	columns := []string{"t.h", "t.place"}
	for i, column := range key {
		columns = append(columns, s.Types.text(fmt.Sprintf("t.k%d", i), column.Type))
	}
	rows, err := s.query(ctx, conn, part, fmt.Sprintf("SELECT %s%s WHERE t.h & %d = ANY ('{%s}'::int8[])",
		strings.Join(columns, ", "), s.hashed(key, part), number-1, strings.Join(wanted, ",")))
	if err != nil {
		return nil, err
	}
	hashed := make([]HashedRow, len(rows))
	for i, row := range rows {
		hash, err := strconv.ParseInt(string(row[0]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read a hash of %s: %w", s.Table.Ident(), err)
		}
		hashed[i] = HashedRow{Hash: hash, Place: string(row[1])}
		for _, text := range row[2:] {
			hashed[i].Key = append(hashed[i].Key, string(text))
		}
	}
	return hashed, nil
}

// maxShown is how much of a value is read to be shown, in characters.
const maxShown = 200

// ColumnHashes reads the hashes of all columns of the rows at some places.
func (s RowScan) ColumnHashes(ctx context.Context, conn *pgx.Conn, places []string) (map[string][]*string, error) {
	return s.at(ctx, conn, places, s.Types.columnHashes(s.Columns))
}

// Values reads the columns of the rows at some places, nil for NULL, cut where they are long.
func (s RowScan) Values(ctx context.Context, conn *pgx.Conn, places []string) (map[string][]*string, error) {
	values := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		name := "t." + quoteIdent(c.Name)
		values[i] = fmt.Sprintf("CASE WHEN %s IS DISTINCT FROM NULL THEN left(concat(%s), %d) END", name, name, maxShown)
	}
	return s.at(ctx, conn, places, values)
}

// at reads expressions of the rows at some places.
func (s RowScan) at(ctx context.Context, conn *pgx.Conn, places, expressions []string) (map[string][]*string, error) {
	rows, err := s.query(ctx, conn, BlockRange{}, fmt.Sprintf("SELECT %s%s WHERE t.ctid = ANY (%s::tid[])",
		strings.Join(append([]string{"t.ctid"}, expressions...), ", "), s.from(), quoteLiteral(`{"`+strings.Join(places, `","`)+`"}`)))
	if err != nil {
		return nil, err
	}
	read := make(map[string][]*string, len(rows))
	for _, row := range rows {
		values := make([]*string, len(expressions))
		for i, text := range row[1:] {
			if text != nil {
				value := string(text)
				values[i] = &value
			}
		}
		read[string(row[0])] = values
	}
	return read, nil
}
