package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// InvalidDatabase is the connection limit of a database that an interrupted DROP DATABASE left
// behind (pg_database.h, DATCONNLIMIT_INVALID_DB).
const InvalidDatabase = -2

// Database is a row of pg_database.
type Database struct {
	OID              uint32
	Name             string
	Ident            string // the name as SQL wants it: quoted if it has to be
	AllowConnections bool
	IsTemplate       bool
	ConnectionLimit  int
	Encoding         string
	Provider         string // of its collation: "libc", "icu" or "builtin"
	Collate          string
	Ctype            string
	Locale           string // of ICU or of the builtin provider
	Rules            string // of ICU
}

// Connectable tells whether a superuser can connect to the database.
func (d Database) Connectable() bool {
	return d.AllowConnections && d.ConnectionLimit != InvalidDatabase
}

// The columns of the locale differ: datlocprovider is there since 15, datlocale was called
// daticulocale in 15 and 16.
const listDatabases = `
	SELECT oid, datname, quote_ident(datname), datallowconn, datistemplate, datconnlimit,
		pg_encoding_to_char(encoding),
		CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
			WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
		datcollate, datctype,
		coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
		coalesce(to_jsonb(d) ->> 'daticurules', '')
	FROM pg_database d
	ORDER BY datname`

// Databases lists all databases of a cluster.
func Databases(ctx context.Context, conn *pgx.Conn) ([]Database, error) {
	rows, err := conn.Query(ctx, listDatabases)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	databases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Database])
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return databases, nil
}

// DatabaseOID is the oid of the database of conn.
func DatabaseOID(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	var oid uint32
	err := conn.QueryRow(ctx, `SELECT oid FROM pg_database WHERE datname = current_database()`).Scan(&oid)
	if err != nil {
		return 0, fmt.Errorf("read the oid of database %s: %w", conn.Config().Database, err)
	}
	return oid, nil
}
