package pgbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Line is an entry of a report file: an object and the database that it is in.
type Line struct {
	Database string // empty when the file does not say
	Object   string // as the file has it: names are not quoted there
	// Names are the parts of Object, the schema first; none when it is no dotted name, or when dots
	// within the names leave open where one ends.
	Names []string
	Note  string // what the file says of the object beside its name
}

// ReportFiles reads the report files (*.txt) of a directory that were written since a given time.
// They list what stands in the way of an upgrade, or needs a look after it.
func ReportFiles(dir string, since time.Time) (map[string][]Line, error) {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("list report files: %w", err)
	}
	files := map[string][]Line{}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(since.Add(-time.Second)) {
			continue
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read report file: %w", err)
		}
		name := filepath.Base(path)
		files[name] = parseReport(name, string(content))
	}
	return files, nil
}

func escapeGlob(dir string) string {
	return regexp.MustCompile(`[\\*?\[]`).ReplaceAllString(dir, `\$0`)
}

// parseReport reads a report file in its own format (pg_upgrade's check.c and function.c).
func parseReport(file, content string) []Line {
	switch {
	case strings.HasPrefix(file, "tables_using_"), file == "not_null_inconsistent_columns.txt":
		return byDatabase(content, func(text string) Line { return dotted(text, 3) })
	case file == "gist_inet_ops.txt", file == "contrib_isn_and_int8_pass_by_value.txt", file == "tables_with_oids.txt",
		file == "encoding_conversions.txt", file == "unicode_dependent_rels.txt":
		return byDatabase(content, func(text string) Line { return dotted(leadingOID.ReplaceAllString(text, ""), 2) })
	case file == "postfix_ops.txt":
		return byDatabase(content, func(text string) Line { return Line{Object: leadingOID.ReplaceAllString(text, "")} })
	case file == "incompatible_polymorphics.txt":
		return byDatabase(content, polymorphic)
	case strings.HasPrefix(file, "databases_"):
		return databaseNames(content)
	case file == "db_role_tablespace_invalid_names.txt":
		return invalidNames(content)
	case file == "pg_role_prefix.txt":
		return roleNames(content)
	case file == "loadable_libraries.txt":
		return libraries(content)
	case file == "invalid_logical_slots.txt", file == "disallowed_output_plugins.txt":
		return slots(content)
	case file == "subs_invalid.txt":
		return subscriptions(content)
	}
	return unknownReport(content)
}

var leadingOID = regexp.MustCompile(`^\(oid=\d+\) `)

// dotted is an object with so many names. More dots than that belong to the names, it cannot be told to which.
func dotted(text string, parts int) Line {
	line := Line{Object: text}
	if names := strings.Split(text, "."); len(names) == parts {
		line.Names = names
	}
	return line
}

// polymorphic reads the kind of an object and its signature, which is SQL already (regprocedure, regoperator).
func polymorphic(text string) Line {
	kind, name, ok := strings.Cut(text, ": ")
	if !ok {
		return Line{Object: text}
	}
	return Line{Object: name, Note: kind}
}

// inDatabase leads the objects of a database.
const inDatabase = "In database: "

// byDatabase reads "In database: X" followed by indented objects. What is not indented goes on with a name
// that has a line break in it.
func byDatabase(content string, parse func(string) Line) []Line {
	var lines []Line
	var database string
	var object *string // that the next row may go on with
	end := func() {
		if object != nil && strings.TrimSpace(*object) != "" {
			line := parse(*object)
			line.Database = database
			lines = append(lines, line)
		}
		object = nil
	}
	for row := range strings.SplitSeq(strings.TrimSuffix(content, "\n"), "\n") {
		name, named := strings.CutPrefix(row, inDatabase)
		text, indented := strings.CutPrefix(row, "  ")
		switch {
		case named:
			end()
			database = name
		case indented:
			end()
			text = strings.TrimPrefix(text, "  ") // some are by four
			object = &text
		case object != nil:
			*object += "\n" + row
		case database != "":
			database += "\n" + row
		}
	}
	end()
	return lines
}

func databaseNames(content string) []Line {
	var lines []Line
	for row := range strings.SplitSeq(content, "\n") {
		if row != "" {
			lines = append(lines, Line{Object: row, Names: []string{row}})
		}
	}
	return lines
}

var roleName = regexp.MustCompile(`(?m)^(.+) \(oid=\d+\)$`)

func roleNames(content string) []Line {
	var lines []Line
	for _, found := range roleName.FindAllStringSubmatch(content, -1) {
		lines = append(lines, Line{Object: found[1], Names: []string{found[1]}})
	}
	return lines
}

var invalidName = regexp.MustCompile(`(?m)^\d+ : (database|role|tablespace) name = "`)

// invalidNames reads names with line breaks: each entry ends where the next begins.
func invalidNames(content string) []Line {
	var lines []Line
	for _, entry := range entries(content, invalidName) {
		start := invalidName.FindStringSubmatch(entry)
		name := strings.TrimSuffix(strings.TrimPrefix(entry, start[0]), `"`)
		lines = append(lines, Line{Object: name, Names: []string{name}, Note: start[1]})
	}
	return lines
}

// entries cuts a text before each match.
func entries(content string, start *regexp.Regexp) []string {
	at := start.FindAllStringIndex(content, -1)
	var all []string
	for i, match := range at {
		end := len(content)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		all = append(all, strings.TrimSuffix(content[match[0]:end], "\n"))
	}
	return all
}

var library = regexp.MustCompile(`(?m)^could not load library "([^"\n]*)": `)

// libraries reads what the server said of each library, which may take several rows, and the databases
// that use it.
func libraries(content string) []Line {
	var lines []Line
	for _, entry := range entries(content, library) {
		start := library.FindStringSubmatch(entry)
		said, used, _ := strings.Cut(strings.TrimPrefix(entry, start[0]), "\n"+inDatabase)
		line := Line{Object: start[1], Note: strings.TrimPrefix(oneLine(said), "ERROR: ")}
		for database := range strings.SplitSeq(used, "\n"+inDatabase) {
			line.Database = database
			lines = append(lines, line)
		}
	}
	return lines
}

var (
	slotLine   = regexp.MustCompile(`(?m)^The slot (?:name )?"([^"\n]*)" (.+)$`)
	slotPlugin = regexp.MustCompile(`^uses plugin "(.*)"$`)
)

// slots reads a sentence for each slot. Names of slots need no quoting (slot.c, ReplicationSlotValidateName).
func slots(content string) []Line {
	var lines []Line
	for _, found := range slotLine.FindAllStringSubmatch(content, -1) {
		note := slotPlugin.ReplaceAllString(found[2], "plugin $1")
		lines = append(lines, Line{Object: found[1], Names: []string{found[1]}, Note: note})
	}
	return lines
}

var (
	subscriptionLine = regexp.MustCompile(`(?m)^The (?:replication origin is missing|table sync state "[^"\n]*" is not allowed) for database:"`)
	subscriptionData = regexp.MustCompile(`(?s)^The (.*?) for database:"(.*)" subscription:"(.*?)"(?: schema:"(.*)" relation:"(.*)")?$`)
)

func subscriptions(content string) []Line {
	var lines []Line
	for _, entry := range entries(content, subscriptionLine) {
		found := subscriptionData.FindStringSubmatch(entry)
		if found == nil {
			continue
		}
		line := Line{Database: found[2], Object: found[3], Names: []string{found[3]}, Note: "its " + found[1]}
		if found[5] != "" {
			line.Note = fmt.Sprintf("table %s.%s: %s", found[4], found[5], strings.ReplaceAll(found[1], `"`, ""))
		}
		lines = append(lines, line)
	}
	return lines
}

// unknownReport reads a file of which nothing is known: "In database: X" followed by indented objects, as most
// files are. Lines that are not indented stand for themselves, or for the databases named after them.
func unknownReport(content string) []Line {
	rows := strings.Split(strings.TrimRight(content, "\n"), "\n")
	var lines []Line
	var database string
	first, used := 0, false // the unindented lines since the last "In database", and whether one named them
	for i, row := range rows {
		text := strings.TrimSpace(row)
		name, named := strings.CutPrefix(row, inDatabase)
		switch {
		case text == "":
		case named && i+1 < len(rows) && indented(rows[i+1]):
			database, first, used = name, len(lines), false
		case named:
			lines, used = nameDatabase(lines, first, used, name)
		case indented(row):
			lines = append(lines, Line{Database: database, Object: text})
			first, used = len(lines), false
		default:
			if used {
				first, used = len(lines), false
			}
			lines = append(lines, Line{Object: text})
		}
	}
	return lines
}

func indented(row string) bool {
	return strings.TrimSpace(row) != "" && (row[0] == ' ' || row[0] == '\t')
}

// nameDatabase gives the last lines a database, or repeats them for one more.
func nameDatabase(lines []Line, first int, again bool, database string) ([]Line, bool) {
	end := len(lines)
	for i := first; i < end; i++ {
		switch {
		case !again:
			lines[i].Database = database
		case lines[i].Database == lines[first].Database:
			lines = append(lines, Line{Database: database, Object: lines[i].Object})
		}
	}
	return lines, end > first
}
