package precheck

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// extensions: pg_upgrade makes the extension's members one by one and looks for its libraries
// only, not for its control file and scripts (pg_dump.c, binary_upgrade_create_empty_extension).
var extensions = Check{
	ID: "extensions", Title: "Extensions are not available for the target",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, OfMachine: true,
	Why: "An extension's library, control file and scripts belong to a major version. Without them its functions fail on the target, " +
		"and it can be neither updated nor dumped.",
	Remedy: "Install the extension's package for the target version, or drop the extension if nothing uses it. " +
		"If the target only lacks a way from the installed version, update the extension on the source first.",
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
			SELECT quote_ident(extname), extversion, extname FROM pg_extension ORDER BY extname`)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, extension := range installed {
			name, version := extension.SQL, extension.Note
			offered, ok := available[name]
			if !ok {
				found = append(found, Found{Object: extension.Object, Note: "version " + version})
				continue
			}
			reachable, err := updatable(ctx, conn, name, version, offered)
			if err != nil {
				return nil, err
			}
			if !reachable {
				found = append(found, Found{
					Object: extension.Object, Severity: upgrade.Warning,
					Note: fmt.Sprintf("no way from version %s to the target's %s", version, offered),
				})
			}
		}
		return found, nil
	},
}

// availableExtensions lists the target's extensions with their default versions.
func availableExtensions(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT name, coalesce(default_version, '') FROM pg_available_extensions`)
	if err != nil {
		return nil, fmt.Errorf("list the target's extensions: %w", err)
	}
	available := map[string]string{}
	var name, version string
	_, err = pgx.ForEachRow(rows, []any{&name, &version}, func() error {
		available[name] = version
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the target's extensions: %w", err)
	}
	return available, nil
}

// updatable tells whether the target has scripts that lead from one version to another.
func updatable(ctx context.Context, conn *pgx.Conn, name, from, to string) (bool, error) {
	if from == to || to == "" {
		return true, nil
	}
	var reachable bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM pg_extension_update_paths($1)
			WHERE source = $2 AND target = $3 AND path IS NOT NULL
		)`, name, from, to).Scan(&reachable)
	if err != nil {
		return false, fmt.Errorf("look for update scripts of extension %s: %w", name, err)
	}
	return reachable, nil
}
