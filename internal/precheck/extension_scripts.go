package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// extensionScripts proves that the target can make each extension, which runs its scripts and loads
// its library with all that it needs.
var extensionScripts = Check{
	ID: "extension-scripts", Title: "Extensions cannot be made on the target",
	Severity: upgrade.Warning, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.Logical: upgrade.Blocker},
	Modes: everyMode(), Scope: PerDatabase, OfMachine: true,
	Why: "The target has files of this extension, but CREATE EXTENSION failed in a scratch cluster of it. pg_upgrade makes an extension's members one by one " +
		"and does not run its scripts; but a dump of the target could not be restored, and a target that is filled by a dump could not be made.",
	Remedy: "Read what the target said. Often another extension or a library that this one needs is missing.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		available, err := availableExtensions(ctx, conn)
		if err != nil {
			return nil, err
		}
		installed, err := s.query(ctx, `
			SELECT quote_ident(extname), format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', extname), extname FROM pg_extension ORDER BY extname`)
		if err != nil {
			return nil, err
		}
		// What works only where it is preloaded may have conditions of its own, such as the one database of pg_cron.
		preloads := libraryNames(f.Settings.Text(preload))
		var found []Found
		for _, extension := range installed {
			_, offered := available[extension.SQL]
			if !offered || slices.Contains(preloads, extension.SQL) {
				continue
			}
			refusal, err := f.tryOnTarget(ctx, extension.Note)
			if err != nil {
				return nil, err
			}
			if refusal != "" {
				found = append(found, Found{Object: extension.Object, Note: refusal})
			}
		}
		return found, nil
	},
}

// tryOnTarget runs a statement on the scratch cluster, once, and rolls it back. It has a session of its
// own: a library that was loaded stays loaded. What wants to be preloaded has been found and read; a
// server that preloads it is the business of another check.
func (f *Facts) tryOnTarget(ctx context.Context, statement string) (refusal string, err error) {
	if refusal, known := f.tried[statement]; known {
		return refusal, nil
	}
	conn, err := postgres.Connect(ctx, f.login)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	err = execAndRollBack(ctx, conn, statement)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && !wantsPreload(refused):
		refusal = refused.Message
	case err != nil && !ok:
		return "", fmt.Errorf("try %q on the target: %w", statement, err)
	}
	f.tried[statement] = refusal
	return refusal, nil
}

func execAndRollBack(ctx context.Context, conn *pgx.Conn, statement string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it is meant to be rolled back
	// pgleap's sessions look into no schema; the scripts of extensions want one to make their objects in.
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = public"); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}
