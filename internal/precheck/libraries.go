package precheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// libraries proves that the target can load what functions need. pg_upgrade does so too (function.c,
// check_loadable_libraries), but the logical mode does not run it.
var libraries = Check{
	ID: "libraries", Title: "The target cannot load libraries of functions",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase,
	Why: "A function in C lives in a library that is built for one major version. The target's server was told to load each of them, in a scratch cluster, " +
		"and did not: the functions could not be made there.",
	Remedy: "Install the library for the target version, or drop the functions.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		available, err := availableExtensions(ctx, conn)
		if err != nil {
			return nil, err
		}
		// Functions of an extension that is missing are told of with it.
		used, err := s.query(ctx, `
			SELECT p.probin, count(*) || ' functions, such as ' || min(format('%I.%I', n.nspname, p.proname)),
				CASE WHEN count(*) FILTER (WHERE e.oid IS NULL) > 0 THEN NULL ELSE min(e.extname) END
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			LEFT JOIN pg_extension e ON e.oid = d.refobjid
			WHERE p.oid >= 16384 AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND p.probin IS NOT NULL
			GROUP BY p.probin
			ORDER BY p.probin`)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, library := range used {
			if _, offered := available[library.SQL]; library.SQL != "" && !offered {
				continue
			}
			refusal, err := f.tryOnTarget(ctx, "LOAD "+quoteLiteral(library.Object))
			if err != nil {
				return nil, err
			}
			if refusal != "" {
				found = append(found, Found{Object: library.Object, Note: library.Note + ": " + refusal})
			}
		}
		return found, nil
	},
}

// extensionScripts proves that the target can make each extension, which runs its scripts and loads
// its library with all that it needs.
var extensionScripts = Check{
	ID: "extension-scripts", Title: "Extensions cannot be made on the target",
	Severity: upgrade.Warning, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.Logical: upgrade.Blocker},
	Modes: everyMode(), Scope: PerDatabase,
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
		var found []Found
		for _, extension := range installed {
			if _, offered := available[extension.SQL]; !offered {
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
	case ok && !strings.Contains(refused.Message+refused.Detail+refused.Hint, "shared_preload_libraries"):
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
