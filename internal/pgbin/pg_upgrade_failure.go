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

	"github.com/pgleap/pgleap/internal/run"
)

// Failure is a pg_upgrade that refused or failed.
type Failure struct {
	// Check is the status line at which it ended, such as "Checking for prepared transactions".
	// Empty: before the first.
	Check   string
	Message string            // what it said, in one line
	Log     string            // the last lines of the log that it refers to
	Files   map[string][]Line // its report files, by name
	Err     error             // the *run.Error
}

// Line is a line of a report file: an object and the database that it is in.
type Line struct {
	Database string // empty when the file does not say
	Object   string
}

// Error tells where it ended, why, and what the log says.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString("pg_upgrade")
	if f.Check != "" {
		fmt.Fprintf(&b, ": %s", f.Check)
	}
	if f.Message != "" {
		fmt.Fprintf(&b, ": %s", f.Message)
	}
	if f.Log != "" {
		fmt.Fprintf(&b, ": %s", f.Log)
	}
	if f.Message == "" && f.Log == "" {
		fmt.Fprintf(&b, ": %v", f.Err)
	}
	return b.String()
}

// Unwrap gives the error of the program.
func (f *Failure) Unwrap() error { return f.Err }

// newFailure is the run's error itself when pg_upgrade did not get to say anything: it could not
// be started, or was stopped.
func newFailure(out run.Result, outdir string, started time.Time, err error) error {
	failed, ok := errors.AsType[*run.Error](err)
	if !ok || failed.ExitCode < 0 {
		return fmt.Errorf("run pg_upgrade: %w", err)
	}
	f := &Failure{Err: err}
	f.Check, f.Message = parseFailure(out.Stdout)
	if f.Message == "" {
		f.Message = oneLine(out.Stderr)
	}
	if log := referredLog.FindStringSubmatch(f.Message); log != nil {
		f.Log = errorLines(readFrom(log[1], 0))
	}
	// The report files add detail; a file that cannot be read must not hide the failure.
	f.Files, _ = ReportFiles(outdir, started) // see above
	return f
}

var (
	// A status line is padded (util.c, prep_status; MESSAGE_WIDTH is 60 or 62) so that results stand below each other;
	// in verbose mode anything may follow the padding, and the result comes on a line of its own.
	statusLine = regexp.MustCompile(`^(` + statusVerbs + ` [^":]{3,70}?)(?: {2,}(.*)|(ok|fatal|warning|notice|\*failure\*|failure))?$`)
	// "Consult the last few lines of "FILE" for the probable cause of the failure.", as exec.c has it.
	referredLog = regexp.MustCompile(`"([^"]+\.log)"`)
)

const statusVerbs = `(?:Adding|Analyzing|Checking|Cloning|Converting|Copying|Creating|Deleting|Finding|Freezing|Linking|Removing|Resetting|Restoring|Setting|Swapping|Sync)`

// status cuts a line of pg_upgrade's output: the message of a status line, and the result if it is there.
func status(line string) (message, result string) {
	line = strings.TrimRight(line, " \n")
	switch line {
	case "ok", "fatal", "warning", "notice", "*failure*", "failure":
		return "", line
	}
	found := statusLine.FindStringSubmatch(line)
	if found == nil {
		return "", strings.TrimSpace(trailingResult(line))
	}
	result = found[2] + found[3]
	switch result {
	case "ok", "fatal", "warning", "notice", "*failure*", "failure":
		return found[1], result
	}
	return found[1], ""
}

// trailingResult finds a result that ends the progress line of databases or files: it is padded, too.
func trailingResult(line string) string {
	if !strings.HasPrefix(line, "      ") {
		return ""
	}
	switch word := strings.TrimSpace(line); word {
	case "ok", "fatal", "warning", "notice", "*failure*", "failure":
		return word
	}
	return ""
}

// parseFailure finds the status line that failed, and the words that explain it.
func parseFailure(out string) (check, message string) {
	var words []string
	for line := range strings.Lines(out) {
		text := strings.TrimSpace(line)
		if text == "Failure, exiting" {
			break
		}
		name, result := status(line)
		if name != "" {
			check, words = name, nil
		}
		if failed, ok := strings.CutPrefix(text, "failed check: "); ok {
			check = failed
		}
		switch {
		case name != "" || result != "":
			words = nil // what an earlier status line had to say
		case text == "" || chatter(text):
		default:
			words = append(words, text)
		}
	}
	return check, strings.Join(words, " ")
}

var errorLine = regexp.MustCompile(`(?m)^.*\b(?:ERROR|FATAL|PANIC|error|fatal): .*$`)

// errorLines are the last error of a log and what follows it. pg_restore ends with the statement that
// failed, which may be long: the error stands before it.
func errorLines(log string) string {
	found := errorLine.FindAllStringIndex(log, -1)
	if len(found) == 0 {
		return lastLines(log, logTail)
	}
	text, _, _ := strings.Cut(log[found[len(found)-1][0]:], "\nCommand was:")
	rows := strings.Split(text, "\n")
	return lastLines(strings.Join(rows[:min(len(rows), logTail)], "\n"), logTail)
}

// chatter tells lines that only verbose mode has, or that carry no reason.
func chatter(text string) bool {
	for _, prefix := range []string{"executing: ", `"`, "failed check: ", "command: ", "relname: ", "Database: ", "---", "There were problems executing "} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return text == "source databases:" || text == "target databases:"
}

// warnings names the status lines that ended in a warning or a notice.
func warnings(out string) []string {
	var named []string
	var check string
	for line := range strings.Lines(out) {
		name, result := status(line)
		if name != "" {
			check = name
		}
		if result == "warning" || result == "notice" {
			named = append(named, check)
		}
	}
	return named
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

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
		files[filepath.Base(path)] = parseReport(string(content))
	}
	return files, nil
}

func escapeGlob(dir string) string {
	return regexp.MustCompile(`[\\*?\[]`).ReplaceAllString(dir, `\$0`)
}

// parseReport reads "In database: X" followed by indented objects, as most files are. Lines
// that are not indented stand for themselves (names of databases, slots); in loadable_libraries.txt
// they are followed by the databases that use the library.
func parseReport(content string) []Line {
	rows := strings.Split(strings.TrimRight(content, "\n"), "\n")
	var lines []Line
	var database string
	first, used := 0, false // the unindented lines since the last "In database", and whether one named them
	for i, row := range rows {
		text := strings.TrimSpace(row)
		name, named := strings.CutPrefix(row, "In database: ")
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
