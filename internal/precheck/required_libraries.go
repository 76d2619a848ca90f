package precheck

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// requiredLibraries loads on the scratch cluster what functions in C are in, as pg_upgrade does (its function.c,
// check_loadable_libraries). Those of an extension that the target lacks are told by the check of extensions.
var requiredLibraries = Check{
	ID: "required-libraries", Title: "Functions are in libraries that the target cannot load",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, OfMachine: true,
	Why:       "A library belongs to a major version. pg_upgrade makes the functions on the target as they are on the source, which needs the same libraries there.",
	Remedy:    "Install the package that has the library for the target version. If nobody uses the functions any more, drop them, or the extension that they belong to, by hand: what depends on them goes too.",
	PgUpgrade: []string{"loadable_libraries.txt"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		var some bool
		if err := s.Tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_proc WHERE probin IS NOT NULL AND oid >= 16384)`).Scan(&some); err != nil || !some {
			return nil, err
		}
		target, err := f.Target()
		if err != nil {
			return nil, err
		}
		libraries, err := s.librariesOfFunctions(ctx, target)
		if err != nil {
			return nil, err
		}
		preloads := libraryNames(f.Settings.Text(preload))
		libraries = slices.DeleteFunc(libraries, func(l Found) bool { // other checks have the target load these
			return slices.ContainsFunc(libraryNames(l.Object), func(name string) bool { return slices.Contains(preloads, name) })
		})
		if len(libraries) == 0 {
			return nil, nil
		}
		// A session of its own: a library may do anything to the one that loads it.
		loader, err := postgres.Connect(ctx, f.login)
		if err != nil {
			return nil, err
		}
		defer loader.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
		var found []Found
		for _, library := range libraries {
			refusal, err := load(ctx, loader, library.Object)
			if err != nil {
				return nil, err
			}
			if refusal != "" {
				found = append(found, Found{Object: library.Object, Note: refusal + "; used by " + library.Note})
			}
		}
		return found, nil
	},
}

// librariesOfFunctions lists the libraries of a database, with a function of each, but for those of extensions that
// the target does not offer.
func (s Session) librariesOfFunctions(ctx context.Context, target *pgx.Conn) ([]Found, error) {
	offered, err := availableExtensions(ctx, target)
	if err != nil {
		return nil, err
	}
	return s.query(ctx, `
		WITH used AS (
			SELECT p.oid, p.probin, e.extname
			FROM pg_proc p
				LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
				LEFT JOIN pg_extension e ON e.oid = d.refobjid
			WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND p.probin IS NOT NULL AND p.oid >= 16384
		)
		SELECT used.probin, format('%I.%I(%s)', (array_agg(n.nspname ORDER BY p.oid))[1], (array_agg(p.proname ORDER BY p.oid))[1],
				(array_agg(pg_get_function_identity_arguments(p.oid) ORDER BY p.oid))[1]), NULL
		FROM used JOIN pg_proc p USING (oid) JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE used.extname IS NULL OR used.extname = ANY ($1)
		GROUP BY used.probin
		ORDER BY used.probin`, slices.Collect(maps.Keys(offered)))
}

// load tells why the target refuses to load a library, if it does. What wants to be preloaded has been found and read;
// pg_upgrade's servers preload what the source does.
func load(ctx context.Context, target *pgx.Conn, library string) (refusal string, err error) {
	_, err = target.Exec(ctx, "LOAD "+quoteLiteral(library))
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return "", err
	case wantsPreload(refused):
		return "", nil
	}
	return refused.Message, nil
}

// wantsPreload tells whether a library was refused only since the server has not loaded it at its start.
func wantsPreload(refused *pgconn.PgError) bool {
	return strings.Contains(refused.Message+refused.Detail+refused.Hint, preload)
}

// ofExtension tells whether a library, such as app.$libdir/adminpack, is one of an extension in the same database,
// such as app.adminpack. Some libraries have a version in their names.
func ofExtension(library, extension string) bool {
	name := strings.Replace(plainName(library), ".$libdir/", ".", 1)
	own := plainName(extension)
	return name == own || strings.HasPrefix(name, own+"-")
}
