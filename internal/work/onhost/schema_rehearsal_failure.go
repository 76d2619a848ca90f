package onhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/precheck"
)

// takeOut notes what pg_upgrade refused and takes it out of the copy. It tells whether that was done, so
// that what is left can be tried; an error means that pg_upgrade failed for another reason than the schema.
func (r *schemaRehearsal) takeOut(ctx context.Context, failure *pgbin.Failure, seen map[string]bool) (bool, error) {
	as, err := r.caller()
	if err != nil {
		return false, err
	}
	statement, refused := failure.Statement()
	if refused && ownFault(statement.Error) || !refused && len(failure.Files) == 0 {
		return false, failure
	}
	if err := r.startCopy(ctx, as); err != nil {
		return false, err
	}
	if refused {
		err = r.takeOutRefused(ctx, statement, seen)
	} else {
		err = r.takeOutReported(ctx, failure, seen)
	}
	if stopped := r.stopCopy(ctx, as); stopped != nil {
		return false, stopped
	}
	if err != nil {
		r.said.Unfinished = err.Error()
		return false, nil //nolint:nilerr // that is how it ends
	}
	return true, nil
}

// ownFault tells errors that are the scratch servers' or the host's, and say nothing about the schema.
func ownFault(said string) bool {
	for _, part := range []string{"No space left on device", "out of shared memory", "out of memory", "terminating connection", "shutting down", "too many connections"} {
		if strings.Contains(said, part) {
			return true
		}
	}
	return false
}

// takeOutRefused notes what was refused, and takes it out: the object alone, or its extension, or, if
// that does not help, the database.
func (r *schemaRehearsal) takeOutRefused(ctx context.Context, statement pgbin.Statement, seen map[string]bool) error {
	ident := ""
	if name, ok := strings.CutPrefix(statement.Object, `DATABASE "`); ok { // it was not made
		statement.Database = strings.TrimSuffix(name, `"`)
	}
	database := r.inCopy(statement.Database)
	if database != nil {
		ident = database.Ident
	}
	noted := rehearsalFailure(ident, statement)
	key := noted.Database + "\n" + noted.Object + "\n" + noted.Error
	if seen[key] { // it is still there
		return r.dropDatabase(ctx, database, statement)
	}
	seen[key] = true
	noted.In = statement.Database
	if noted.In == "" {
		noted.In = "postgres"
	}
	r.said.Refused = append(r.said.Refused, noted)
	object, known := statement.DumpedObject()
	if !known {
		return r.dropDatabase(ctx, database, statement)
	}
	if err := r.drop(ctx, noted.In, object.Undo(true)); err != nil {
		return r.dropDatabase(ctx, database, statement)
	}
	return nil
}

// drop drops an object of the copy, or the extension that it belongs to.
func (r *schemaRehearsal) drop(ctx context.Context, database, sql string) error {
	return with(ctx, r.copyLogin(database), func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		said, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
			return err
		}
		// "You can drop extension x instead." (dependency.c, reportDependentObjects)
		extension, ok := strings.CutPrefix(said.Hint, "You can drop extension ")
		if !ok {
			return err
		}
		_, err = conn.Exec(ctx, "DROP EXTENSION "+strings.TrimSuffix(extension, " instead.")+" CASCADE")
		return err
	})
}

// dropDatabase takes a whole database out, so that the others are tried.
func (r *schemaRehearsal) dropDatabase(ctx context.Context, database *rehearsedDatabase, statement pgbin.Statement) error {
	if database == nil || database.Name == "template1" || database.Name == "postgres" {
		return fmt.Errorf("what comes after is not known: %s", statement.Error)
	}
	err := with(ctx, r.copyLogin("postgres"), func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `UPDATE pg_database SET datistemplate = false WHERE datname = $1`, database.Name); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{database.Name}.Sanitize())
		return err
	})
	if err != nil {
		return fmt.Errorf("take database %s out: %w", database.Ident, err)
	}
	database.gone = true
	r.leave(*database, "it was given up after its first failure, there may be more")
	return nil
}

// rehearsalFailure says what a statement's failure is about.
func rehearsalFailure(database string, statement pgbin.Statement) precheck.RehearsalFailure {
	f := precheck.RehearsalFailure{Database: database, Error: statement.Error, SQL: statement.SQL, Object: strings.ReplaceAll(statement.Object, `"`, "")}
	if hidden(statement) {
		f.SQL = ""
	}
	object, known := statement.DumpedObject()
	if !known {
		return f
	}
	f.Kind, f.Object = object.Kind, object.String()
	switch object.Kind {
	case "setting":
		f.Database, f.Undo, f.SQL = "", object.Undo(false), ""
		f.Error = object.Name[0] + ": " + saysValue.ReplaceAllString(f.Error, "$1")
	case "table", "foreign table", "sequence", "materialized view", "type", "domain", "schema", "extension", "server", "language", "publication", "policy":
		// dropping these may lose data, or more than what is wrong, or open what was closed
	default:
		f.Undo = object.Undo(false)
	}
	return f
}

var (
	setsSetting = regexp.MustCompile(`(?m)^ALTER (?:ROLE|DATABASE) .* SET `)
	// What the server says of a wrong value repeats it (guc.c).
	saysValue = regexp.MustCompile(`(?s)^(invalid value for parameter "[^"]+"): ".*$`)
)

// hidden tells statements that may have passwords in them, or settings, which may be anything.
func hidden(statement pgbin.Statement) bool {
	if setsSetting.MatchString(statement.SQL) {
		return true
	}
	for _, kind := range []string{"USER MAPPING", "SUBSCRIPTION", "SERVER"} {
		if strings.HasPrefix(statement.Object, kind) || strings.Contains(statement.SQL[:min(len(statement.SQL), 200)], kind) {
			return true
		}
	}
	return strings.Contains(strings.ToUpper(statement.SQL), "PASSWORD")
}

// findReported finds what a line of a report file is about, as the statement that takes it out: a column,
// a relation, or what needs a library. The lines are not quoted, so the names are compared as they are written.
const findReported = `
	SELECT DISTINCT CASE c.relkind WHEN 'v' THEN 'DROP VIEW ' WHEN 'm' THEN 'DROP MATERIALIZED VIEW ' WHEN 'i' THEN 'DROP INDEX '
		WHEN 'f' THEN 'DROP FOREIGN TABLE ' ELSE 'DROP TABLE ' END || format('%I.%I CASCADE', n.nspname, c.relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
	WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i')
		AND $1 IN (concat(n.nspname, '.', c.relname), concat(n.nspname, '.', c.relname, '.', a.attname))
	UNION
	SELECT CASE WHEN e.extname IS NULL THEN format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
		ELSE format('DROP EXTENSION IF EXISTS %I CASCADE', e.extname) END
	FROM pg_proc p LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	LEFT JOIN pg_extension e ON e.oid = d.refobjid
	WHERE p.oid >= 16384 AND p.probin IS NOT NULL AND strpos($1, format('"%s"', p.probin)) > 0`

// takeOutReported takes out what pg_upgrade's checks refuse, wherever it is: the precheck's own pg_upgrade --check
// has told of it already.
func (r *schemaRehearsal) takeOutReported(ctx context.Context, failure *pgbin.Failure, seen map[string]bool) error {
	stays := fmt.Errorf("pg_upgrade refuses what is reported above (%s): what comes after is not known before that is mended", failure.Check)
	key := failure.Error()
	if seen[key] {
		return stays
	}
	seen[key] = true
	done := 0
	for _, file := range slices.Sorted(maps.Keys(failure.Files)) {
		for _, line := range failure.Files[file] {
			for i := range r.databases {
				database := r.databases[i]
				if database.gone || line.Database != "" && line.Database != database.Name {
					continue
				}
				dropped, err := r.dropReported(ctx, database.Name, line.Object)
				if err != nil {
					return errors.Join(stays, err)
				}
				done += dropped
			}
		}
	}
	if done == 0 {
		return stays
	}
	return nil
}

func (r *schemaRehearsal) dropReported(ctx context.Context, database, line string) (int, error) {
	dropped := 0
	err := with(ctx, r.copyLogin(database), func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, findReported, line)
		if err != nil {
			return err
		}
		statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, sql := range statements {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	return dropped, err
}
