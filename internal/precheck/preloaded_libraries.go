package precheck

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// preloadedLibraries: a server does not start without them (miscinit.c, load_libraries), and a
// library fits one major version only (fmgr.h, PG_MODULE_MAGIC).
var preloadedLibraries = Check{
	ID: "preloaded-libraries", Title: "Libraries to be preloaded are missing for the target",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster, OfMachine: true,
	Why:    "The target gets the source's configuration. A server whose preloaded library is missing does not start; in the settings of a role or database it refuses the sessions.",
	Remedy: "Install the library's package for the target version, or take the library out of the setting.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		lists, err := s.query(ctx, `
			SELECT name, setting, NULL FROM pg_settings
			WHERE name IN ('shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries', 'archive_library')
			UNION
			SELECT split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), NULL
			FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
			WHERE split_part(setting, '=', 1) IN ('session_preload_libraries', 'local_preload_libraries')
			ORDER BY 1, 2`)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, list := range lists {
			for _, library := range libraryNames(list.Note) {
				exists, err := libraryExists(ctx, conn, list.Object, library)
				if err != nil {
					return nil, err
				}
				if !exists {
					found = append(found, Found{Object: library, Note: list.Object})
					continue
				}
				refusal, err := f.tryOnTarget(ctx, "LOAD "+quoteLiteral(preloadedAs(list.Object, library)))
				if err != nil {
					return nil, err
				}
				if refusal != "" {
					found = append(found, Found{Object: library, Note: list.Object + ": " + refusal})
				}
			}
		}
		return found, nil
	},
}

// libraryExists tells whether the target has a library. One that is given by its whole path was
// built for the source's version; it counts as missing.
func libraryExists(ctx context.Context, target *pgx.Conn, setting, library string) (bool, error) {
	if filepath.IsAbs(library) {
		return false, nil
	}
	library = preloadedAs(setting, library)
	var exists bool
	err := target.QueryRow(ctx, `
		SELECT (pg_stat_file(setting || '/' || $1 || '.so', true)).size IS NOT NULL
		FROM pg_config WHERE name = 'PKGLIBDIR'`, library).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for library %s: %w", library, err)
	}
	return exists, nil
}

// preloadedAs is the library's path in the directory of libraries (miscinit.c, load_libraries).
func preloadedAs(setting, library string) string {
	if setting == "local_preload_libraries" {
		return "plugins/" + strings.TrimPrefix(library, "plugins/")
	}
	return library
}
