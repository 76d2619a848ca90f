package precheck

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// sourceRestart: a server that runs goes on with what its files said before (guc-file.l, ProcessConfigFile; hba.c,
// load_hba), so that nobody sees that it would not start.
var sourceRestart = Check{
	ID: "source-restart", Title: "The source would not start again",
	Severity: upgrade.Warning, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Blocker},
	Modes: everyMode(), Scope: PerCluster,
	Why: "A server that runs ignores what is wrong in its configuration files, but none starts with a setting or a line of pg_hba.conf that its programs refuse, or without a library that it is to preload. " +
		"An upgrade in place stops the source, and pg_upgrade starts it once more; so does pgleap, if anything fails.",
	Remedy: "Correct the line, or install the library for the source's version again. Settings for the new version belong into the target's files, after the upgrade.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		complaints, err := f.Host.SourceConfiguration.Get()
		if err != nil && f.Host.Unseen == nil {
			return nil, err
		}
		return RestartObstacles(ctx, s.Tx, complaints...)
	},
}

// queryer is a session, or a transaction in it.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const (
	// Values are judged by the server's program: what a session refuses may be there in another database (a text search
	// configuration), or only be another value of a setting that takes a restart. A line of pg_hba.conf that is understood
	// may have an error all the same, if it can never match (hba.c, parse_hba_line).
	selectRefusedLines = `
SELECT coalesce(f.name, format('%s, line %s', f.sourcefile, f.sourceline)),
       concat_ws(': ', CASE WHEN f.name IS NOT NULL THEN format('%s, line %s', f.sourcefile, f.sourceline) END, f.error),
       NULL
  FROM pg_file_settings f
 WHERE f.error <> 'setting could not be applied'
 UNION ALL
SELECT format('%s, line %s', coalesce(to_jsonb(h) ->> 'file_name', current_setting('hba_file')), h.line_number), h.error, NULL
  FROM pg_hba_file_rules h
 WHERE h.error IS NOT NULL
   AND h.type IS NULL`

	selectLibrariesToPreload = `
SELECT coalesce((
           SELECT f.setting
             FROM pg_file_settings f
            WHERE lower(f.name) = s.name AND s.source <> 'command line'
         ORDER BY f.seqno DESC
            LIMIT 1
       ), s.setting)
  FROM pg_settings s
 WHERE s.name = 'shared_preload_libraries'`

	// Where a library is looked for: dfmgr.c, expand_dynamic_library_name. A place that cannot be read is not asked for what
	// is in the usual one.
	selectMissingLibraries = `
WITH
    installed AS (
        SELECT setting AS libdir
          FROM pg_config
         WHERE name = 'PKGLIBDIR'
    ),
    places AS (
        SELECT replace(place, '$libdir', libdir) AS place
          FROM installed
               CROSS JOIN unnest(string_to_array(current_setting('dynamic_library_path'), ':')) AS place
         WHERE place <> '$libdir'
         UNION ALL
        SELECT '' -- for whole paths
    ),
    unusual AS MATERIALIZED (
        SELECT library
          FROM unnest($1::text[]) AS library
               CROSS JOIN installed
         WHERE library LIKE '/%'
            OR (pg_stat_file(concat(libdir, '/', library, '.so'), true)).size IS NULL
    )
SELECT library, 'shared_preload_libraries: there is no such file', NULL
  FROM unusual
 WHERE NOT EXISTS (
           SELECT
             FROM places
                  CROSS JOIN unnest(ARRAY['', '.so']) AS suffix
            WHERE (library LIKE '/%') = (place = '')
              AND NOT (pg_stat_file(CASE WHEN place = '' THEN library ELSE concat(place, '/', library) END || suffix, true)).isdir
       )`
)

// RestartObstacles are why a server would not start with its files as they are now. Values that are refused are in the
// complaints of its own program.
func RestartObstacles(ctx context.Context, q queryer, complaints ...string) ([]Found, error) {
	found, err := founds(q.Query(ctx, selectRefusedLines))
	if err != nil {
		return nil, fmt.Errorf("look for lines that are refused: %w", err)
	}
	rows, err := q.Query(ctx, selectLibrariesToPreload)
	if err != nil {
		return nil, fmt.Errorf("read what is preloaded: %w", err)
	}
	list, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read what is preloaded: %w", err)
	}
	missing, err := founds(q.Query(ctx, selectMissingLibraries, libraryNames(list)))
	if err != nil {
		return nil, fmt.Errorf("look for libraries: %w", err)
	}
	found = append(found, missing...)
	for _, complaint := range complaints {
		if one := obstacle(complaint); !slices.ContainsFunc(found, one.repeats) {
			found = append(found, one)
		}
	}
	return found, nil
}

var (
	namesLine  = regexp.MustCompile(`^(.*?):? in file "([^"]+)" line (\d+)`)
	namesValue = regexp.MustCompile(`(invalid value for parameter "[^"]+"): .*`)
)

// obstacle is what a complaint of postgres about its files tells. Values are left out: they may be secrets.
func obstacle(complaint string) Found {
	found := Found{Object: "start of the source", Note: namesValue.ReplaceAllString(complaint, "$1")}
	if line := namesLine.FindStringSubmatch(complaint); line != nil {
		found.Object = fmt.Sprintf("%s, line %s", line[2], line[3])
		found.Note = found.Object + ": " + line[1]
	}
	if parameter := namesParameter.FindStringSubmatch(complaint); parameter != nil {
		found.Object = parameter[1]
	}
	return found
}

// repeats tells whether another one is about the same setting or line.
func (found Found) repeats(other Found) bool {
	place, _, _ := strings.Cut(found.Note, ": ")
	return other.Object == found.Object || other.Object == place || strings.HasPrefix(other.Note, place+": ")
}
