package postgres

import (
	"fmt"
	"strconv"
)

// A row's hash is made of those of its columns, each with a seed of its own, so that it does matter
// in which column a value stands; a last round mixes them, so that it does matter in which row. They
// are PostgreSQL's own hash functions of 64 bits, which hash partitioning keeps as they are in every
// version. A hash stands for what is printed: where PostgreSQL takes values for equal that it prints
// differently (-0 and 0, 1.0 and 1.00, strings under a nondeterministic collation) they have different
// hashes. Most types are hashed by their text, which is what logical replication carries; the commonest
// are hashed directly, which takes a fraction of the time.
type hasher struct {
	types ContentTypes
	seed  int64
}

// RowHash is an expression of type int8 for the hash of a row, of the columns given by name and type,
// in this order on every server. The table is called t in it.
func (types ContentTypes) RowHash(columns []ContentColumn) string {
	return mix(types.columnHashes(columns))
}

// columnHashes are expressions for the hashes of the columns.
func (types ContentTypes) columnHashes(columns []ContentColumn) []string {
	h := hasher{types: types}
	hashes := make([]string, len(columns))
	for i, c := range columns {
		hashes[i] = h.hash("t."+quoteIdent(c.Name), c.Type)
	}
	return hashes
}

// mix makes one hash of several. hashint4extended(0, x) is a good mixing of the 64 bits of x.
func mix(hashes []string) string { return "hashint4extended(0, " + xor(hashes) + ")" }

// xor is a balanced tree: 1600 columns would be as many levels deep.
func xor(terms []string) string {
	switch len(terms) {
	case 0:
		return "'0'::int8"
	case 1:
		return terms[0]
	}
	half := len(terms) / 2
	return "(" + xor(terms[:half]) + " # " + xor(terms[half:]) + ")"
}

// hash is an expression for the hash of a value, never NULL.
func (h *hasher) hash(value string, oid uint32) string {
	h.seed++
	// 2^64 divided by the golden ratio, times the seed, spreads what stands for NULL over all 64 bits.
	seed, null := strconv.FormatInt(h.seed, 10), fmt.Sprintf("'%d'::int8", int64(uint64(h.seed)*0x9E3779B97F4A7C15))
	t := h.types.resolve(oid)
	if direct := directHash(value, t, seed); direct != "" {
		return "coalesce(" + direct + ", " + null + ")"
	}
	var of string
	if len(t.Fields) > 0 {
		// Field by field: which characters the text of a whole composite quotes depends on the locale
		// (record_out, src/backend/utils/adt/rowtypes.c).
		fields := make([]string, len(t.Fields))
		for i, field := range t.Fields {
			fields[i] = h.hash("("+value+")."+quoteIdent(field), t.FieldTypes[i])
		}
		of = mix(fields)
	} else {
		of = "hashtextextended(" + h.types.text(value, oid) + ` COLLATE "C", ` + seed + ")"
	}
	// IS NULL would be true of a composite whose fields are all NULL.
	return "CASE WHEN " + value + " IS DISTINCT FROM NULL THEN " + of + " ELSE " + null + " END"
}

// directHash is an expression for the hash of a value of a type that has a hash function which tells
// apart all that is printed differently, NULL for NULL. That of int8 alone does not: it folds both
// halves into one, for the sake of int4; with the upper half in the seed it does.
func directHash(value string, t ContentType, seed string) string {
	if !t.BuiltIn {
		return ""
	}
	switch t.Name {
	case "int2", "int4", "bool", "char":
		return "hashint4extended(" + value + "::int4, " + seed + ")"
	case "int8":
		return "hashint8extended(" + value + ", hashint4extended((" + value + " >> 32)::int4, " + seed + "))"
	case "oid":
		return "hashoidextended(" + value + ", " + seed + ")"
	case "text", "varchar":
		return "hashtextextended(" + value + ` COLLATE "C", ` + seed + ")"
	case "uuid":
		return "uuid_hash_extended(" + value + ", " + seed + ")"
	}
	return ""
}

// longBytea is the length from which on a bytea stands for itself by a digest.
const longBytea = 1 << 20

// text is an expression for what the type's output function prints, by concat(), since a cast to text
// may be anything that a user made of it; or for something as good that is the same in every version.
func (types ContentTypes) text(value string, oid uint32) string {
	t := types.resolve(oid)
	element := types.resolve(t.Element)
	switch {
	case t.BuiltIn && t.Name == "bytea":
		// Two digits for each byte of a long one would be more than a text can hold.
		return fmt.Sprintf("CASE WHEN octet_length(%[1]s) < %[2]d THEN concat(%[1]s) ELSE concat(sha256(%[1]s)) END", value, longBytea)
	case t.BuiltIn && t.Name == "char":
		return "concat(" + value + "::int4)"
	case element.BuiltIn && element.Name == "char":
		return "concat(" + value + "::int4[])"
	case t.BuiltIn && t.Name == "pg_lsn":
		return "concat(" + value + " - '0/0'::pg_lsn)"
	case element.BuiltIn && element.Name == "pg_lsn":
		return "regexp_replace(concat(" + value + "), '/0+([0-9A-F])', " + quoteLiteral(`/\1`) + ", 'g')"
	case t.BuiltIn && t.Name == "regtype", element.BuiltIn && element.Name == "regtype":
		// Since 17 json is not quoted, even where all identifiers are.
		return "regexp_replace(concat(" + value + "), '\"([a-z_][a-z0-9_$]*)\"', " + quoteLiteral(`\1`) + ", 'g')"
	case t.BuiltIn && (t.Name == "pg_ndistinct" || t.Name == "pg_dependencies"):
		return "concat(" + value + "::bytea)"
	}
	return "concat(" + value + ")"
}
