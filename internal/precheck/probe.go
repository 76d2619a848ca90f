package precheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
)

// probeKey is what CREATE DATABASE is told of a locale.
type probeKey struct {
	encoding, provider, collate, ctype, locale, rules string
}

// probe is a database of the scratch cluster with the encoding and locale of one of the source's.
type probe struct {
	name    string
	conn    *pgx.Conn
	version string // of its default collation's rules
	refusal string // why the target cannot have such a database
}

// probe makes a database like one of the source's on the scratch cluster: what the restore will
// do, tried. Databases that are alike share one.
func (f *Facts) probe(ctx context.Context, d postgres.Database) (probe, error) {
	key := probeKey{d.Encoding, d.Provider, d.Collate, d.Ctype, d.Locale, d.Rules}
	if known, ok := f.probes[key]; ok {
		return known, nil
	}
	target, err := f.Target()
	if err != nil {
		return probe{}, err
	}
	p := probe{name: fmt.Sprintf("pgleap_probe_%d_%d", f.twin, len(f.probes))}
	_, err = target.Exec(ctx, createProbe(p.name, d, f.Plan.Target.Version.Major() >= 15))
	switch refused, ok := errors.AsType[*pgconn.PgError](err); {
	case ok:
		p.refusal = refused.Message
	case err != nil:
		return probe{}, err
	default:
		if p.conn, err = postgres.Connect(ctx, f.login.In(p.name)); err != nil {
			return probe{}, err
		}
		if p.version, err = f.versionOf(ctx, p.conn, d); err != nil {
			return probe{}, err
		}
	}
	f.probes[key] = p
	return p, nil
}

// versionOf is the version of the rules by which a probe sorts. Before 15 a database has none of its own; there it is
// that of a collation with the same locale.
func (f *Facts) versionOf(ctx context.Context, conn *pgx.Conn, d postgres.Database) (version string, err error) {
	if f.Plan.Target.Version.Major() < 15 {
		version, _, err = usedCollation{Provider: "libc", Collate: d.Collate, Ctype: d.Ctype}.probe(ctx, conn)
		return version, err
	}
	err = conn.QueryRow(ctx, `SELECT coalesce(datcollversion, '') FROM pg_database WHERE datname = current_database()`).Scan(&version)
	return version, err
}

// drop removes the probe. The cluster is a scratch one: what cannot be removed goes with it.
func (p probe) drop(ctx context.Context, target *pgx.Conn) {
	if p.conn != nil {
		disconnect(ctx, p.conn)
		_, _ = target.Exec(ctx, "DROP DATABASE IF EXISTS "+p.name)
	}
}

// createProbe is CREATE DATABASE as pg_dump writes it (pg_dump.c, dumpDatabase).
func createProbe(name string, d postgres.Database, providers bool) string {
	words := []string{
		"CREATE DATABASE", name, "TEMPLATE template0",
		"ENCODING", quoteLiteral(d.Encoding), "LC_COLLATE", quoteLiteral(d.Collate), "LC_CTYPE", quoteLiteral(d.Ctype),
	}
	if providers {
		words = append(words, "LOCALE_PROVIDER", d.Provider)
	}
	switch d.Provider {
	case "icu":
		words = append(words, "ICU_LOCALE", quoteLiteral(d.Locale))
		if d.Rules != "" {
			words = append(words, "ICU_RULES", quoteLiteral(d.Rules))
		}
	case "builtin":
		words = append(words, "BUILTIN_LOCALE", quoteLiteral(d.Locale))
	}
	return strings.Join(words, " ")
}

// quoteLiteral quotes a string constant, whatever standard_conforming_strings is.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
