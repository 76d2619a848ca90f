package pgconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Conf is the text of one file in the grammar of postgresql.conf.
type Conf struct {
	lines []confLine
}

// confLine is one line without its newline, and what the server reads there.
type confLine struct {
	text string
	// name is empty on a line that sets nothing; it may be an include directive.
	name, value string
	nameAt      token
	valueAt     token
	included    []*File
}

// Setting is one line that gives a setting a value.
type Setting struct {
	Name  string // as it is spelled there
	Value string // without quotes
	File  string // the path, if it was read by LoadTree
	Line  int    // counted from 1
}

// SyntaxError is a line that the server would refuse.
type SyntaxError struct {
	File   string // empty if the text came without a name
	Line   int
	Reason string
}

// Error says where the mistake is, and not what is written there.
func (e *SyntaxError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason)
}

// maxSyntaxErrors is where the server gives up on a file too (guc-file.l,
// ParseConfigFp).
const maxSyntaxErrors = 100

// ParseConf reads text in the grammar of postgresql.conf. The error joins a
// *SyntaxError for each wrong line: with one of them the server does not start.
func ParseConf(text []byte) (*Conf, error) {
	return parseConf(text, "")
}

func parseConf(text []byte, file string) (*Conf, error) {
	conf := &Conf{}
	var errs []error
	for i, text := range strings.Split(string(text), "\n") {
		line, reason := parseConfLine(text)
		if reason != "" {
			errs = append(errs, &SyntaxError{file, i + 1, reason})
		}
		if len(errs) == maxSyntaxErrors {
			break
		}
		conf.lines = append(conf.lines, line)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return conf, nil
}

// parseConfLine reads one line: name [=] value [# comment].
func parseConfLine(text string) (line confLine, reason string) {
	line.text = text
	s := scanner{line: text}
	name := s.next()
	switch name.kind {
	case endOfLine:
		return line, ""
	case identifier, qualifiedIdentifier:
	default:
		return line, "syntax error: a line begins with the name of a setting"
	}
	value := s.next()
	if value.kind == equals {
		value = s.next()
	}
	switch value.kind {
	case identifier, quotedString, unquotedString, integer, realNumber:
	case endOfLine:
		return line, "syntax error: the value is missing"
	default:
		return line, "syntax error in the value: put it in single quotes"
	}
	if s.next().kind != endOfLine {
		return line, "syntax error after the value: put a value of several words in single quotes"
	}
	line.nameAt, line.name = name, text[name.start:name.end]
	line.valueAt, line.value = value, text[value.start:value.end]
	if value.kind == quotedString {
		line.value = unquote(line.value)
	}
	return line, ""
}

// String returns the text: the one that was parsed, but for what was changed.
func (c *Conf) String() string {
	return strings.Join(c.texts(0, len(c.lines)), "\n")
}

// texts returns lines as they are, from the first up to before the last.
func (c *Conf) texts(first, last int) []string {
	texts := make([]string, 0, last-first)
	for _, line := range c.lines[first:last] {
		texts = append(texts, line.text)
	}
	return texts
}

// Bytes returns the text as String does.
func (c *Conf) Bytes() []byte { return []byte(c.String()) }

// Get returns the value of a setting in this file: that of its last line.
func (c *Conf) Get(name string) (value string, ok bool) {
	if i := c.last(name); i >= 0 {
		return c.lines[i].value, true
	}
	return "", false
}

// Settings returns every line of this file that sets something, overridden
// ones too, in order. Include directives set nothing.
func (c *Conf) Settings() []Setting {
	var all []Setting
	for i, line := range c.lines {
		if line.isSetting() {
			all = append(all, Setting{Name: line.name, Value: line.value, Line: i + 1})
		}
	}
	return all
}

// Names returns each name that this file sets once, spelled as where it comes
// first, in order.
func (c *Conf) Names() []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range c.Settings() {
		if key := foldName(s.Name); !seen[key] {
			seen[key] = true
			names = append(names, s.Name)
		}
	}
	return names
}

// Set gives a setting a value in this file: in its last line, whose comment
// stays, or else in a new line at the end. The new line is also used where
// files are included after the last line, since they could override it.
func (c *Conf) Set(name, value string) error {
	if k, n := lex(name + "\n"); n != len(name) || k != identifier && k != qualifiedIdentifier || isDirective(name) {
		return fmt.Errorf("set %q: this is not the name of a setting", name)
	}
	if strings.Contains(value, "\x00") {
		return fmt.Errorf("set %s: a value cannot hold a NUL byte", name)
	}
	if i := c.last(name); i >= 0 && !slices.ContainsFunc(c.lines[i:], confLine.isInclude) {
		c.lines[i] = c.lines[i].with(c.lines[i].name, value)
		return nil
	}
	c.append(name + " = " + Quote(value))
	return nil
}

// CommentOut makes a comment of every line that sets name, puts the reason
// above each, and returns how many there were.
func (c *Conf) CommentOut(name, reason string) int {
	count := 0
	for i := 0; i < len(c.lines); i++ {
		if c.lines[i].sets(name) {
			i += c.commentOutLine(i, reason)
			count++
		}
	}
	return count
}

// commentOutLine returns how many lines it has put above line i.
func (c *Conf) commentOutLine(i int, reason string) int {
	c.lines[i] = confLine{text: "#" + c.lines[i].text}
	c.explain(i, reason)
	return 1
}

// remark begins each comment line that this package writes.
const remark = "# pgleap: "

// explain puts a comment above line i.
func (c *Conf) explain(i int, reason string) {
	reason = strings.Join(strings.Fields(reason), " ")
	c.insert(i, remark+reason, c.lines[i].text)
}

// insert puts a line before line i, ended as the line like is.
func (c *Conf) insert(i int, text, like string) {
	if strings.HasSuffix(like, "\r") {
		text += "\r"
	}
	line, _ := parseConfLine(text)
	c.lines = slices.Insert(c.lines, i, line)
}

// append adds a line at the end, which then ends with a newline.
func (c *Conf) append(text string) {
	end := len(c.lines) - 1
	if c.lines[end].text != "" {
		end++
		c.lines = append(c.lines, confLine{})
	}
	like := ""
	if end > 0 {
		like = c.lines[end-1].text
	}
	c.insert(end, text, like)
}

func (c *Conf) last(name string) int {
	for i, line := range slices.Backward(c.lines) {
		if line.sets(name) {
			return i
		}
	}
	return -1
}

func (l confLine) isInclude() bool { return isDirective(l.name) }

func (l confLine) isSetting() bool { return l.name != "" && !l.isInclude() }

func (l confLine) sets(name string) bool {
	return l.isSetting() && foldName(l.name) == foldName(name)
}

// with returns the line with another name and value; the rest of it stays.
func (l confLine) with(name, value string) confLine {
	quoted := Quote(value)
	between := l.text[l.nameAt.end:l.valueAt.start]
	if between == "" {
		between = " " // name'value' is legal, name5 is another name
	}
	text := l.text[:l.nameAt.start] + name + between + quoted + l.text[l.valueAt.end:]
	line, _ := parseConfLine(text)
	return line
}

func isDirective(name string) bool {
	switch foldName(name) {
	case "include", "include_dir", "include_if_exists":
		return true
	}
	return false
}

// foldName lowers ASCII letters only, as guc_name_compare in guc.c does.
func foldName(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}
