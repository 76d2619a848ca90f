package precheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// locales: pg_upgrade --check does not look at them when the target is 16 or later; the restore of
// the database fails.
var locales = Check{
	ID: "locales", Title: "The target does not know a locale",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, OfMachine: true,
	Why:    "A database and its collations are made anew on the target, whose programs must know their locale. They may use other libraries than the source's.",
	Remedy: "Install the locale on the host (locale-gen), or drop what uses it.",
	PgUpgrade: []string{
		"encodings for database", "lc_collate values for database", "lc_ctype values for database",
		"locale providers for database", "locale values for database",
	},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		return f.collations(ctx, s, func(c collation) (string, bool) { return c.refusal, c.refusal != "" })
	},
}

// collationVersions: an index is sorted by the library's rules at the time; other rules find
// nothing in it, or let duplicates in.
var collationVersions = Check{
	ID: "collation-versions", Title: "The target sorts text by another version of the rules",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, OfMachine: true, Acceptable: true,
	Why: "The target's programs use another version of the C library or of ICU than the source's. pg_upgrade takes indexes as they are: " +
		"sorted by the old rules and searched by the new ones, they miss rows and admit duplicates. Partitions by ranges of text are affected too.",
	Remedy: "Install programs of the target version that use the same libraries as the source's, as those for the same release of the operating system do. " +
		"Or accept it by name, and before the switchover reindex on the target everything that sorts by these collations.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		return f.collations(ctx, s, func(c collation) (string, bool) {
			differ := c.refusal == "" && c.source != "" && c.target != "" && c.source != c.target
			return fmt.Sprintf("%s on the source, %s on the target", c.source, c.target), differ
		})
	},
}

// collation is one that a database uses, and what both sides make of it.
type collation struct {
	name    string // empty: the database's own
	source  string // version of its rules; empty: it has none, or it is not known
	target  string
	refusal string // why the target cannot have it
}

// collations judges the database's own collation and those of its columns.
func (f *Facts) collations(ctx context.Context, s Session, judge func(collation) (note string, found bool)) ([]Found, error) {
	all, err := f.compareCollations(ctx, s)
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, c := range all {
		if note, ok := judge(c); ok {
			found = append(found, Found{Object: c.name, Note: note})
		}
	}
	return found, nil
}

// compareCollations compares once for each database what several checks judge.
func (f *Facts) compareCollations(ctx context.Context, s Session) ([]collation, error) {
	if known, ok := f.collated[s.Database]; ok {
		return known, nil
	}
	all, err := f.compareAnew(ctx, s)
	if err == nil {
		f.collated[s.Database] = all
	}
	return all, err
}

func (f *Facts) compareAnew(ctx context.Context, s Session) ([]collation, error) {
	var database postgres.Database
	for _, d := range f.Databases {
		if d.Name == s.Database {
			database = d
		}
	}
	p, err := f.probe(ctx, database)
	if err != nil {
		return nil, err
	}
	own := collation{target: p.version, refusal: p.refusal}
	if own.source, err = sourceVersion(ctx, f, s, database); err != nil {
		return nil, err
	}
	all := []collation{own}
	if p.refusal != "" {
		return all, nil
	}
	used, err := usedCollations(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, u := range used {
		c := collation{name: u.Name, source: u.Version}
		if c.target, c.refusal, err = u.probe(ctx, p.conn); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// sourceVersion is the version of the rules by which a database is sorted by default. Before 15 the
// server does not tell; there it is that of any other collation of the C library, since all of
// them have the library's version.
func sourceVersion(ctx context.Context, f *Facts, s Session, database postgres.Database) (string, error) {
	sql := `SELECT coalesce(pg_database_collation_actual_version(oid), '') FROM pg_database WHERE datname = current_database()`
	if f.Version.Major() < 15 {
		if hasNoVersion(database.Collate) {
			return "", nil
		}
		sql = `
			SELECT coalesce(max(pg_collation_actual_version(oid)), '') FROM pg_collation
			WHERE collprovider = 'c' AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))`
	}
	var version string
	err := s.Tx.QueryRow(ctx, sql).Scan(&version)
	return version, err
}

// hasNoVersion tells the locales of the C library that sort by code alone
// (pg_locale.c, get_collation_actual_version).
func hasNoVersion(locale string) bool {
	return locale == "C" || locale == "POSIX" || len(locale) > 2 && locale[:2] == "C."
}

// usedCollation is a collation of a column, type or index of the user's.
type usedCollation struct {
	Name     string
	Provider string // "libc", "icu" or "builtin"
	Collate  string
	Ctype    string
	Locale   string
	Version  string
}

func usedCollations(ctx context.Context, s Session) ([]usedCollation, error) {
	rows, err := s.Tx.Query(ctx, `
		SELECT format('%I.%I', n.nspname, c.collname),
			CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
			coalesce(c.collcollate, ''), coalesce(c.collctype, ''),
			coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', c.collcollate, ''),
			coalesce(pg_collation_actual_version(c.oid), '')
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.collprovider IN ('c', 'i', 'b') AND c.collname NOT IN ('C', 'POSIX')
			AND (
				c.oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid >= 16384 AND NOT attisdropped)
				OR c.oid IN (SELECT typcollation FROM pg_type WHERE oid >= 16384)
				OR c.oid IN (SELECT unnest(indcollation) FROM pg_index WHERE indexrelid >= 16384)
				-- In pg_catalog are those of pg_import_system_collations(), of every encoding: pg_dump leaves them out.
				OR c.oid >= 16384 AND n.nspname <> 'pg_catalog'
			)
		ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[usedCollation])
}

// probe makes the collation on the target, in a database of the same encoding, and rolls it back.
func (u usedCollation) probe(ctx context.Context, target *pgx.Conn) (version, refusal string, err error) {
	tx, err := target.Begin(ctx)
	if err != nil {
		return "", "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it is meant to be rolled back
	create := fmt.Sprintf("CREATE COLLATION public.probe (provider = libc, lc_collate = %s, lc_ctype = %s)", quoteLiteral(u.Collate), quoteLiteral(u.Ctype))
	if u.Provider != "libc" {
		create = fmt.Sprintf("CREATE COLLATION public.probe (provider = %s, locale = %s)", u.Provider, quoteLiteral(u.Locale))
	}
	if _, err := tx.Exec(ctx, create); err != nil {
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
			return "", refused.Message, nil
		}
		return "", "", err
	}
	err = tx.QueryRow(ctx, `
		SELECT coalesce(pg_collation_actual_version(oid), '') FROM pg_collation
		WHERE collname = 'probe' AND collnamespace = 'public'::regnamespace`).Scan(&version)
	return version, "", err
}
