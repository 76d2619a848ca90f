package onhost

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// noise is what a dump of the same contents has otherwise for the version of the server that was asked, and
// not for what is in it: pg_dump lets the server print definitions.
type noise struct {
	until int // the first version whose servers print it as later ones do
	quiet func(dump string) string
}

func replacing(pattern, plain string) func(string) string {
	regex := regexp.MustCompile(pattern)
	return func(dump string) string { return regex.ReplaceAllString(dump, plain) }
}

// noises are applied to both dumps in this order.
func noises() []noise {
	return []noise{
		{99, replacing(`(?m)^-- Dumped (?:from database|by pg_dump) version.*\n`, "")},
		{14, withoutIn},
		{14, replacing(`,\n +multirange_type_name = [^\n,]+`, "")},
		{14, replacing(`,\n +SUBSCRIPT = raw_array_subscript_handler`, "")},
		{14, membersApart},
		{14, replacing(`FETCH FIRST \((\d+)\) ROWS WITH TIES`, "FETCH FIRST $1 ROWS WITH TIES")},
		// Privileges on parameters are a part of its own, empty or not.
		{15, replacing(`\n{3,}`, "\n\n")},
		{16, unqualified},
		{16, replacing(` NO INDENT\)`, ")")},
		// All privileges of 16 are not all of 17: who had lost them all has that one, as the owner of a new table has it.
		{17, replacing(`(?m)^GRANT MAINTAIN ON TABLE .*\n`, "")},
		{17, replacing(`(?m)^((?:REVOKE|GRANT) .*),MAINTAIN\b(.* ON TABLE )`, "$1$2")},
		{17, replacing(`(?m)^(REVOKE) ALL( ON TABLE )`, "$1 SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE$2")},
		// It became the default operator class.
		{19, replacing(`(USING gist \([^()]*?) inet_ops\b`, "$1")},
		{19, withoutEscapes},
		// A membership has a grantor that is dumped, and is inherited or not (pg_dumpall.c, dumpRoleMembership).
		{16, replacing(`(?:,| WITH) INHERIT TRUE GRANTED BY [^;]+;`, ";")},
	}
}

// withoutIn: since 14 the arguments of a procedure say that they are IN (ruleutils.c, print_function_arguments).
func withoutIn(dump string) string {
	procedure := regexp.MustCompile(`(?m)^.*\bPROCEDURE .*$`)
	return procedure.ReplaceAllStringFunc(dump, strings.NewReplacer("(IN ", "(", ", IN ", ", ").Replace)
}

// withoutEscapes: of a server in which standard_conforming_strings cannot be off, as since 19, pg_dumpall
// needs not write E'\\' for a backslash (string_utils.c, appendStringLiteralConn).
func withoutEscapes(dump string) string {
	literal := regexp.MustCompile(`\bE'(?:[^'\\]|''|\\\\)*'`)
	return literal.ReplaceAllStringFunc(dump, func(text string) string { return strings.ReplaceAll(text[1:], `\\`, `\`) })
}

// unqualified: since 16 a column is qualified only where that is in need (ruleutils.c, get_variable).
func unqualified(dump string) string {
	definition := regexp.MustCompile(`(?s)(?:CREATE (?:OR REPLACE )?(?:MATERIALIZED )?VIEW|CREATE RULE|CREATE POLICY|BEGIN ATOMIC).*?;\n\n`)
	qualifier := regexp.MustCompile(`(?:"(?:[^"]|"")+"|\b[\p{L}_][\p{L}\d_$]*)\.`)
	return definition.ReplaceAllStringFunc(dump, func(statement string) string { return qualifier.ReplaceAllString(statement, "") })
}

// membersApart: since 14 the access method says which operators and functions an operator class cannot be
// without (amapi.h, amadjustmembers); the others are dumped with the family. All of them are put at the end.
func membersApart(dump string) string {
	family := regexp.MustCompile(`(?m)^ALTER OPERATOR FAMILY .* ADD\n`)
	member := regexp.MustCompile(`(?m)^    (?:OPERATOR|FUNCTION) \d+ .*\n`)
	members := member.FindAllString(dump, -1)
	for i, line := range members {
		members[i] = strings.TrimRight(line, " ,;\n") + "\n"
	}
	slices.Sort(members)
	dump = member.ReplaceAllString(family.ReplaceAllString(dump, ""), "")
	dump = regexp.MustCompile(`(?m)^(    STORAGE .*?)[ ,;]*$`).ReplaceAllString(dump, "$1")
	return dump + strings.Join(members, "")
}

// withoutNoise takes out of a dump what depends on the version of the server that was asked. The source is of
// the version from.
func withoutNoise(dump string, from int) string {
	for _, n := range noises() {
		if from < n.until {
			dump = n.quiet(dump)
		}
	}
	return dump
}

func TestWithoutNoise(t *testing.T) {
	for name, test := range map[string]struct {
		from       int
		dump, want string
	}{
		"versions":          {18, "a\n-- Dumped from database version 17.1\nb\n", "a\nb\n"},
		"procedure of 14":   {13, "CREATE PROCEDURE a.b(IN x integer, INOUT y text, IN z int)\n", "CREATE PROCEDURE a.b(x integer, INOUT y text, z int)\n"},
		"multirange of 14":  {13, "    subtype = time,\n    multirange_type_name = a.b,\n    subtype_diff = c\n", "    subtype = time,\n    subtype_diff = c\n"},
		"members before 14": {13, "AS\n    STORAGE int ,\n    OPERATOR 1 x ,\n    FUNCTION 1 y;\n", "AS\n    STORAGE int\n    FUNCTION 1 y\n    OPERATOR 1 x\n"},
		"members since 14":  {13, "ALTER OPERATOR FAMILY f USING gin ADD\n    OPERATOR 1 x;\nAS\n    STORAGE int ,\n    FUNCTION 1 y;\n", "AS\n    STORAGE int\n    FUNCTION 1 y\n    OPERATOR 1 x\n"},
		"columns before 16": {15, "CREATE VIEW a.v AS\n SELECT t.x,\n    \"T y\".z\n   FROM t;\n\nSELECT a.b;\n", "CREATE VIEW v AS\n SELECT x,\n    z\n   FROM t;\n\nSELECT a.b;\n"},
		"columns since 16":  {16, "CREATE VIEW a.v AS\n SELECT t.x;\n\n", "CREATE VIEW a.v AS\n SELECT t.x;\n\n"},
		"members of 16":     {15, "GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE GRANTED BY c;\n", "GRANT a TO b WITH ADMIN OPTION;\n"},
		"owner's rights":    {16, "REVOKE ALL ON TABLE a FROM b;\nGRANT MAINTAIN ON TABLE a TO b;\nGRANT SELECT,MAINTAIN,UPDATE ON TABLE a TO b;\n", "REVOKE SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE a FROM b;\nGRANT SELECT,UPDATE ON TABLE a TO b;\n"},
		"backslashes":       {18, `SET a TO E'it''s \\ a'`, `SET a TO 'it''s \ a'`},
		"default of 19":     {18, "USING gist (a, i inet_ops);", "USING gist (a, i);"},
		"data":              {13, "COPY a.b (c) FROM stdin;\n1.5\n\\.\n\n", "COPY a.b (c) FROM stdin;\n1.5\n\\.\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := withoutNoise(test.dump, test.from); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
