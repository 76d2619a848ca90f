package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TablespaceSize is what a tablespace holds: its bytes, and the files of databases.
type TablespaceSize struct {
	Bytes, Files int64
}

// TablespaceSizes are those of all tablespaces by their oid.
func TablespaceSizes(ctx context.Context, conn *pgx.Conn) (map[uint32]TablespaceSize, error) {
	rows, err := conn.Query(ctx, `
		SELECT
			s.oid,
			pg_tablespace_size(s.oid),
			(
				SELECT count(*)
				FROM pg_database d CROSS JOIN LATERAL pg_ls_dir(s.dir || d.oid, true, false)
			)
		FROM (
			SELECT t.oid, CASE
				WHEN t.spcname = 'pg_default' THEN 'base/'
				WHEN t.spcname <> 'pg_global'
				THEN concat('pg_tblspc/', t.oid, '/PG_', current_setting('server_version_num')::int / 10000, '_', catalog_version_no, '/')
			END AS dir
			FROM pg_tablespace t CROSS JOIN pg_control_system()
		) AS s`)
	if err != nil {
		return nil, fmt.Errorf("measure tablespaces: %w", err)
	}
	sizes := map[uint32]TablespaceSize{}
	var oid uint32
	var size TablespaceSize
	_, err = pgx.ForEachRow(rows, []any{&oid, &size.Bytes, &size.Files}, func() error {
		sizes[oid] = size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("measure tablespaces: %w", err)
	}
	return sizes, nil
}
