package precheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// storageOptions: pg_dump writes them as they stand in the catalogs, and the restore refuses those that it does not
// know. A minor release may bring one: since 15.20 columns have pg_attver, which 17.11 does not know.
var storageOptions = Check{
	ID: "storage-options", Title: "Storage options of tables and columns are unknown to the target",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "The target refuses a table or column with an option that it does not know, or a value that it does not allow, and pg_upgrade fails half-way. " +
		"A source whose minor release is newer than the target's may have such options.",
	Remedy: "Install the latest minor release of the target's major version. If that does not help, reset the option, after a look at what it was for.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		options, err := s.query(ctx, `
			SELECT c.oid::regclass::text, option,
				format('ALTER %s %s RESET (%s)', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
					c.oid::regclass, quote_ident(split_part(option, '=', 1)))
			FROM pg_class c CROSS JOIN unnest(c.reloptions) AS option
			WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
			UNION ALL
			SELECT c.oid::regclass::text || '.' || quote_ident(a.attname), 'COLUMN ' || option,
				format('ALTER TABLE %s ALTER COLUMN %I RESET (%s)', c.oid::regclass, a.attname, quote_ident(split_part(option, '=', 1)))
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid CROSS JOIN unnest(a.attoptions) AS option
			WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
			ORDER BY 1, 2`)
		if err != nil || len(options) == 0 {
			return nil, err
		}
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		var found []Found
		reasons := map[string]string{} // by option
		for _, option := range options {
			reason, known := reasons[option.Note]
			if !known {
				if reason, err = refusalOfOption(ctx, conn, option.Note); err != nil {
					return nil, err
				}
				reasons[option.Note] = reason
			}
			if reason != "" {
				option.Note = reason
				found = append(found, option)
			}
		}
		return found, nil
	},
}

// refusalOfOption tries an option, "name=value", of a table, or of a column if COLUMN is before it, on the
// scratch cluster, and returns why the target does not take it.
func refusalOfOption(ctx context.Context, target *pgx.Conn, option string) (reason string, err error) {
	option, isColumn := strings.CutPrefix(option, "COLUMN ")
	name, value, _ := strings.Cut(option, "=")
	var ident []string
	for part := range strings.SplitSeq(name, ".") { // toast.autovacuum_enabled
		ident = append(ident, pgx.Identifier{part}.Sanitize())
	}
	action := ""
	if isColumn {
		action = "ALTER COLUMN id "
	}
	alter := fmt.Sprintf("ALTER TABLE public.pgleap_option_probe %sSET (%s = %s)", action, strings.Join(ident, "."), quoteLiteral(value))
	tx, err := target.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is to be kept
	if _, err := tx.Exec(ctx, "CREATE TABLE public.pgleap_option_probe (id int, body text)"); err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, alter)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Message, nil
	}
	return "", err
}
