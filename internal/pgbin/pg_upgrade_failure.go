package pgbin

import (
	"errors"
	"fmt"
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
			// A message may follow on the status line itself (check.c, check_new_cluster_replication_slots).
			rest := strings.TrimSpace(strings.TrimPrefix(text, name))
			if strings.HasPrefix(name, "Checking ") && result == "" && rest != "" && !chatter(rest) {
				words = []string{rest}
			}
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
	for _, prefix := range []string{"Performing Consistency Checks", "executing: ", `"/`, "failed check: ", "command: ", "relname: ", "Database: ", "---", "There were problems executing "} {
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
