package precheck

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// notNullNames: since 18 NOT NULL of a table's column is a constraint with a name of its own, since 17 that of a domain
// (pg_constraint, contype n). A dump of an older server gives it none, so it gets the usual one when the table is made
// (heap.c, AddRelationNotNullConstraints), before the constraints that a dump adds afterwards: keys, and CHECK constraints that are not valid.
var notNullNames = Check{
	ID: "not-null-names", Title: "Constraints have names that NOT NULL gets on the target",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase,
	Why: "From 18 on NOT NULL of a column is a constraint too, named TABLE_COLUMN_not_null, and from 17 on that of a domain, named DOMAIN_not_null. A constraint of yours that has this name already " +
		"cannot be made on the target: the restore of the database stops there, during the downtime. Such names come from adding NOT NULL in steps, by way of a CHECK that is NOT VALID. " +
		"pg_upgrade --check does not see it.",
	Remedy: "Rename the constraint, which takes a moment, or drop a CHECK that says no more than NOT NULL does.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if !f.crosses(17) && !f.crosses(18) {
			return nil, nil
		}
		rows, err := s.Tx.Query(ctx, `
			SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname), a.attname || ' is NOT NULL', format('ALTER TABLE %I.%I', n.nspname, c.relname),
				c.relname, a.attname, k.conname, quote_ident(k.conname)
			FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnotnull AND a.attnum > 0 AND NOT a.attisdropped
			WHERE $1 AND c.oid >= 16384 AND k.coninhcount = 0 AND k.conname LIKE '%\_not\_null' AND (k.contype IN ('f', 'p', 'u', 'x') OR k.contype = 'c' AND NOT k.convalidated)
			UNION ALL
			SELECT format('%I.%I.%I', n.nspname, d.typname, k.conname), 'the domain is NOT NULL', format('ALTER DOMAIN %I.%I', n.nspname, d.typname),
				d.typname, '', k.conname, quote_ident(k.conname)
			FROM pg_constraint k JOIN pg_type d ON d.oid = k.contypid AND d.typnotnull JOIN pg_namespace n ON n.oid = d.typnamespace
			WHERE $2 AND d.oid >= 16384 AND k.contype = 'c' AND k.conname LIKE '%\_not\_null'
			ORDER BY 1`, f.crosses(18), f.crosses(17))
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var found []Found
		for rows.Next() {
			var one Found
			var alter, owner, column, name, quoted string
			if err := rows.Scan(&one.Object, &one.Note, &alter, &owner, &column, &name, &quoted); err != nil {
				return nil, err
			}
			if name == notNullName(owner, column) {
				one.SQL = alter + " RENAME CONSTRAINT " + quoted + " TO " + pgx.Identifier{strings.TrimSuffix(name, "_not_null") + "_nonnull"}.Sanitize()
				found = append(found, one)
			}
		}
		return found, rows.Err()
	},
}

// notNullName is the name that a server gives to NOT NULL of a table's column, or of a domain, which has none. What is too
// long for a name is taken from the longer part (indexcmds.c, makeObjectName).
func notNullName(owner, column string) string {
	const label, longest = "_not_null", 63
	room, between := longest-len(label), ""
	if column != "" {
		room, between = room-1, "_"
	}
	first, second := len(owner), len(column)
	for first+second > room {
		if first > second {
			first--
		} else {
			second--
		}
	}
	return clip(owner, first) + between + clip(column, second) + label
}

// clip keeps so many bytes of a text at most, and whole letters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
