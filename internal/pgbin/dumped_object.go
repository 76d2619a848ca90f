package pgbin

import (
	"regexp"
	"slices"
	"strings"
)

// DumpedObject is what a statement of pg_dump's makes or changes.
type DumpedObject struct {
	Kind string // lower case: "view", "constraint", "setting"
	// Name is the object's name, its parts without quotes: schema and name, or the name alone.
	Name []string
	// Of is what it belongs to: the table of a constraint, a trigger, a rule, a policy or a default.
	Of []string
	// Role and Database tell whose setting it is.
	Role, Database string
	// grantee, as SQL, is who has a privilege on a parameter; revoked tells that he lacks it.
	grantee string
	revoked bool
	// Arguments are the types of a routine's arguments, in parentheses, as SQL.
	Arguments string
}

// plainKinds are those that DROP names as CREATE does.
var plainKinds = []string{
	"view", "materialized view", "table", "foreign table", "sequence", "index", "type", "domain", "collation", "conversion", "schema",
	"statistics", "server", "foreign data wrapper", "language", "event trigger", "publication", "access method", "extension",
	"text search configuration", "text search dictionary", "text search parser", "text search template",
}

// DumpedObject tells what the statement at which a restore failed is about. It understands what pg_dump
// writes with --quote-all-identifiers, as pg_upgrade has it do, and nothing else.
func (s Statement) DumpedObject() (DumpedObject, bool) {
	for sql := range strings.SplitSeq(s.SQL, "\n") {
		if o, ok := settingOf(sql); ok && (strings.Contains(s.Error, `"`+o.Name[0]+`"`) || !strings.Contains(s.SQL, "\n")) {
			return o, true
		}
	}
	if found := parameter.FindStringSubmatch(s.SQL); found != nil {
		return DumpedObject{Kind: "parameter", Name: []string{unquote(found[2])}, grantee: found[3], revoked: found[1] == "REVOKE"}, true
	}
	head, rest := headOf(s.SQL)
	name, rest := identifiers(rest)
	if len(name) == 0 {
		return DumpedObject{}, false
	}
	o := DumpedObject{Kind: head, Name: name}
	switch {
	case head == "index": // it lies in the schema of its table
		table, _ := identifiers(after(strings.Replace(rest, " ON ONLY ", " ON ", 1), ` ON "`))
		o.Name = append(table[:max(0, len(table)-1)], name...)
		return o, len(table) > 0
	case slices.Contains(plainKinds, head):
		return o, true
	case head == "function" || head == "procedure" || head == "aggregate":
		o.Arguments = argumentsOf(s.Object)
		return o, o.Arguments != ""
	case head == "trigger" || head == "policy":
		o.Of, _ = identifiers(after(rest, ` ON "`))
		return o, len(o.Of) > 0
	case head == "rule":
		o.Of, _ = identifiers(after(rest, ` TO "`))
		return o, len(o.Of) > 0
	case head == "alter table":
		return partOf(o, rest), true
	}
	return DumpedObject{}, false
}

var (
	// What may stand between CREATE or ALTER and a kind, or after it, and does not tell what is made.
	fillers = regexp.MustCompile(`\b(?:OR REPLACE|UNLOGGED|UNIQUE|ONLY|IF NOT EXISTS|IF EXISTS|TRUSTED|PROCEDURAL|RECURSIVE|DEFAULT|CONSTRAINT|FORCE) `)
	setting = regexp.MustCompile(`^ALTER (ROLE|DATABASE) ("(?:[^"]|"")*")(?: IN DATABASE ("(?:[^"]|"")*"))? SET ("(?:[^"]|"")*"|[A-Za-z0-9_.]+) (?:TO|=) `)
	// A privilege on a parameter; PUBLIC alone has no quotes.
	parameter = regexp.MustCompile(`(?m)^(GRANT|REVOKE) [A-Z, ]*ON PARAMETER ("(?:[^"]|"")*") (?:TO|FROM) ("(?:[^"]|"")*"|PUBLIC)`)
)

// settingOf reads ALTER ROLE ... SET and ALTER DATABASE ... SET.
func settingOf(sql string) (DumpedObject, bool) {
	found := setting.FindStringSubmatch(sql)
	if found == nil {
		return DumpedObject{}, false
	}
	o := DumpedObject{Kind: "setting", Name: []string{unquote(found[4])}, Database: unquote(found[3])}
	if found[1] == "ROLE" {
		o.Role = unquote(found[2])
	} else {
		o.Database = unquote(found[2])
	}
	return o, true
}

// headOf is what is made, in lower case, and what comes from the first quoted name on.
func headOf(sql string) (head, rest string) {
	at := strings.IndexByte(sql, '"')
	if at < 0 {
		return "", ""
	}
	words := fillers.ReplaceAllString(sql[:at], "")
	words = strings.ToLower(strings.Join(strings.Fields(words), " "))
	return strings.TrimPrefix(words, "create "), sql[at:]
}

// partOf tells which part of a table an ALTER TABLE is about; the table itself if it is none of its parts.
func partOf(o DumpedObject, rest string) DumpedObject {
	table := DumpedObject{Kind: "table", Name: o.Name}
	rest = " " + strings.Join(strings.Fields(rest[:min(len(rest), 400)]), " ")
	for _, part := range []struct{ kind, mark string }{{"constraint", ` ADD CONSTRAINT "`}, {"default", ` ALTER COLUMN "`}} {
		if !strings.HasPrefix(rest, part.mark) {
			continue
		}
		name, more := identifiers(after(rest, part.mark))
		if part.kind == "default" && !strings.HasPrefix(more, " SET DEFAULT ") || len(name) != 1 {
			return table
		}
		return DumpedObject{Kind: part.kind, Name: name, Of: o.Name}
	}
	return table
}

// identifiers reads a qualified name at the beginning, each part in quotes.
func identifiers(sql string) (parts []string, rest string) {
	for strings.HasPrefix(sql, `"`) {
		end := 1
		for end < len(sql) && (sql[end] != '"' || strings.HasPrefix(sql[end+1:], `"`)) {
			if sql[end] == '"' {
				end++
			}
			end++
		}
		if end >= len(sql) {
			return nil, ""
		}
		parts, sql = append(parts, unquote(sql[:end+1])), sql[end+1:]
		if !strings.HasPrefix(sql, `."`) {
			break
		}
		sql = sql[1:]
	}
	return parts, sql
}

// after finds a mark that ends in a quote, outside of quotes, and returns what comes from that quote on.
func after(sql, mark string) string {
	quoted := false
	for i := 0; i < len(sql); i++ {
		if !quoted && strings.HasPrefix(sql[i:], mark) {
			return sql[i+len(mark)-1:]
		}
		if sql[i] == '"' {
			quoted = !quoted
		}
	}
	return ""
}

// argumentsOf reads what pg_restore calls a routine: its name, unquoted, and its arguments' types.
func argumentsOf(object string) string {
	object = strings.TrimSuffix(object, `"`)
	at := strings.LastIndexByte(object, '(')
	if at < 0 || !strings.HasSuffix(object, ")") {
		return ""
	}
	return object[at:]
}

func unquote(name string) string {
	if len(name) < 2 || name[0] != '"' {
		return name
	}
	return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
}

// Undo is the SQL that takes the object away, or resets the setting. With cascade it takes along what depends on it.
func (o DumpedObject) Undo(cascade bool) string {
	name := quoteName(o.Name...)
	of := quoteName(o.Of...)
	var sql string
	switch o.Kind {
	case "setting":
		return o.reset()
	case "parameter":
		return o.regrant()
	case "function", "procedure", "aggregate":
		sql = "DROP " + strings.ToUpper(o.Kind) + " " + name + o.Arguments
	case "trigger", "policy", "rule":
		sql = "DROP " + strings.ToUpper(o.Kind) + " " + name + " ON " + of
	case "constraint":
		sql = "ALTER TABLE " + of + " DROP CONSTRAINT " + name
	case "default":
		return "ALTER TABLE " + of + " ALTER COLUMN " + name + " DROP DEFAULT"
	default:
		sql = "DROP " + strings.ToUpper(o.Kind) + " " + name
	}
	if cascade && o.Kind != "policy" && o.Kind != "event trigger" {
		sql += " CASCADE"
	}
	return sql
}

func (o DumpedObject) reset() string {
	var whose string
	switch database := quoteName(o.Database); {
	case o.Role == "":
		whose = "DATABASE " + database
	case o.Database == "":
		whose = "ROLE " + quoteName(o.Role)
	default:
		whose = "ROLE " + quoteName(o.Role) + " IN DATABASE " + database
	}
	return "ALTER " + whose + " RESET " + quoteName(strings.Split(o.Name[0], ".")...)
}

// regrant takes a privilege on a parameter away, with those that come of it, or gives it back.
func (o DumpedObject) regrant() string {
	if o.revoked {
		return "GRANT ALL ON PARAMETER " + quoteName(o.Name...) + " TO " + o.grantee
	}
	return "REVOKE ALL ON PARAMETER " + quoteName(o.Name...) + " FROM " + o.grantee + " CASCADE"
}

// String is the name as SQL writes it, with quotes where they are needed.
func (o DumpedObject) String() string {
	switch {
	case o.Kind == "setting" && o.Role == "":
		return "database " + quoteIfNeeded(o.Database)
	case o.Kind == "setting" && o.Database != "":
		return "role " + quoteIfNeeded(o.Role) + ", database " + quoteIfNeeded(o.Database)
	case o.Kind == "setting":
		return "role " + quoteIfNeeded(o.Role)
	case len(o.Of) > 0:
		return quoteIfNeeded(append(slices.Clone(o.Of), o.Name...)...)
	}
	return quoteIfNeeded(o.Name...) + o.Arguments
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

func quoteIfNeeded(parts ...string) string {
	var words []string
	for _, part := range parts {
		if !plainName.MatchString(part) {
			part = quoteName(part)
		}
		words = append(words, part)
	}
	return strings.Join(words, ".")
}

func quoteName(parts ...string) string {
	var words []string
	for _, part := range parts {
		words = append(words, `"`+strings.ReplaceAll(part, `"`, `""`)+`"`)
	}
	return strings.Join(words, ".")
}
