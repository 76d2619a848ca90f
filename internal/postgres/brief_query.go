package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	beginBrief = "SAVEPOINT pgleap_brief"
	endBrief   = "ROLLBACK TO SAVEPOINT pgleap_brief; RELEASE SAVEPOINT pgleap_brief"
)

// Briefly does something in a subtransaction that is rolled back: the locks that it took are given
// back then, while a transaction keeps them to its end. In a transaction that stays open for its
// snapshot, a client's ALTER TABLE would otherwise wait for hours, and everybody else behind it.
// Nor does an error end the transaction.
func Briefly(ctx context.Context, conn *pgx.Conn, do func() error) error {
	if _, err := conn.Exec(ctx, beginBrief); err != nil {
		return fmt.Errorf("set a savepoint in %s: %w", conn.Config().Database, err)
	}
	return errors.Join(do(), endBriefly(ctx, conn))
}

func endBriefly(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.PgConn().Exec(ctx, endBrief).ReadAll(); err != nil {
		return fmt.Errorf("go back to the savepoint in %s: %w", conn.Config().Database, err)
	}
	return nil
}

// BriefQuery runs one query as Briefly does, with settings of its own ("work_mem = '8MB'"), in one
// round trip. It returns the rows' values as text.
func BriefQuery(ctx context.Context, conn *pgx.Conn, settings []string, query string) ([][][]byte, error) {
	statements := []string{beginBrief}
	for _, setting := range settings {
		statements = append(statements, "SET LOCAL "+setting)
	}
	statements = append(statements, query, endBrief)
	results, err := conn.PgConn().Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err != nil {
		if conn.PgConn().TxStatus() == 'E' {
			err = errors.Join(err, endBriefly(ctx, conn))
		}
		return nil, err
	}
	return results[1+len(settings)].Rows, nil
}
