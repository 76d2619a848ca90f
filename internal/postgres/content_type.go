package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ContentType is a type of a column, or of a part of one.
type ContentType struct {
	OID        uint32
	Name       string
	BuiltIn    bool   // it is in pg_catalog
	Base       uint32 // of a domain, else 0
	Element    uint32 // of an array, else 0
	Subtype    uint32 // of a range or multirange, else 0
	Fields     []string
	FieldTypes []uint32
}

// ContentTypes are the types of a database's tables by oid.
type ContentTypes map[uint32]ContentType

// A multirange's range is in pg_range since 14.
const readContentTypes = `
	WITH RECURSIVE ranges AS (
		SELECT rngtypid AS oid, rngsubtype FROM pg_range
		UNION ALL
		SELECT (to_jsonb(r) ->> 'rngmultitypid')::oid, rngsubtype FROM pg_range r
	), used (oid) AS (
		SELECT a.atttypid
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relkind = 'r' AND (c.oid >= 16384 OR c.oid = 'pg_largeobject'::regclass) AND a.attnum > 0 AND NOT a.attisdropped
		UNION
		SELECT part.oid
		FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (
			VALUES (t.typbasetype), (t.typelem), ((SELECT rngsubtype FROM ranges r WHERE r.oid = t.oid))
			UNION ALL
			SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
		) AS part (oid)
		WHERE part.oid <> 0
	)
	SELECT t.oid, t.typname, t.typnamespace = 'pg_catalog'::regnamespace, t.typbasetype,
		CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, coalesce(r.rngsubtype, 0), f.names, f.types
	FROM used JOIN pg_type t USING (oid) LEFT JOIN ranges r USING (oid) CROSS JOIN LATERAL (
		SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}'), coalesce(array_agg(a.atttypid ORDER BY a.attnum), '{}')
		FROM pg_attribute a
		WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
	) AS f (names, types)`

// ReadContentTypes reads the types that a database's tables are made of.
func ReadContentTypes(ctx context.Context, conn *pgx.Conn) (ContentTypes, error) {
	rows, err := conn.Query(ctx, readContentTypes)
	if err != nil {
		return nil, fmt.Errorf("read the types of %s: %w", conn.Config().Database, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ContentType])
	if err != nil {
		return nil, fmt.Errorf("read the types of %s: %w", conn.Config().Database, err)
	}
	types := make(ContentTypes, len(list))
	for _, t := range list {
		types[t.OID] = t
	}
	return types, nil
}

// resolve returns the type below all domains.
func (types ContentTypes) resolve(oid uint32) ContentType {
	t := types[oid]
	for t.Base != 0 {
		t = types[t.Base]
	}
	return t
}

// textChanged are the versions that print values of a type in other words than those before:
// "char" writes a byte over 127 as \ooo, regtype does not quote json where all identifiers are quoted,
// pg_lsn pads with zeros, the statistics' types are JSON.
var textChanged = map[string]int{"char": 16, "regtype": 17, "pg_lsn": 19, "pg_ndistinct": 19, "pg_dependencies": 19}

// TextChanged returns the version since which a type is printed in other words, in a place where its
// hash cannot help being made of them; 0 if there is none.
func (types ContentTypes) TextChanged(oid uint32) int {
	t := types.resolve(oid)
	switch {
	case t.Element != 0:
		element := types.resolve(t.Element)
		if element.BuiltIn && (element.Name == "char" || element.Name == "regtype" || element.Name == "pg_lsn") {
			return 0
		}
		return types.changedWithin(t.Element)
	case t.Subtype != 0:
		return types.changedWithin(t.Subtype)
	}
	changed := 0
	for _, field := range t.FieldTypes {
		changed = max(changed, types.TextChanged(field))
	}
	return changed
}

// changedWithin is TextChanged of a type that is printed as a part of another's text.
func (types ContentTypes) changedWithin(oid uint32) int {
	t := types.resolve(oid)
	changed := 0
	if t.BuiltIn {
		changed = textChanged[t.Name]
	}
	for _, part := range append([]uint32{t.Element, t.Subtype}, t.FieldTypes...) {
		if part != 0 {
			changed = max(changed, types.changedWithin(part))
		}
	}
	return changed
}
