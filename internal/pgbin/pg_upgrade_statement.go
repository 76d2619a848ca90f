package pgbin

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// Statement is the SQL at which a pg_upgrade failed.
type Statement struct {
	Database string // empty: it belongs to the whole cluster, or the log does not say
	Object   string // kind and name, such as `VIEW "public.orders"`
	Error    string // what the server said
	SQL      string
}

// Statement finds the SQL that failed in the log that pg_upgrade refers to. There is none if it was
// not SQL that failed, or if the log is gone.
func (f *Failure) Statement() (Statement, bool) {
	log := referredLog.FindStringSubmatch(f.Message)
	if log == nil {
		return Statement{}, false
	}
	return failedStatement(readFrom(log[1], 0), globalsBeside(log[1]), lineOf)
}

// globalsBeside is the dump of the roles and tablespaces that belongs to a log of pg_upgrade's (pg_upgrade.h,
// GLOBALS_DUMP_FILE): in a directory beside the logs' since 15, beside the log before.
func globalsBeside(log string) string {
	const name = "pg_upgrade_dump_globals.sql"
	dir := filepath.Dir(log)
	if filepath.Base(dir) == "log" {
		return filepath.Join(filepath.Dir(dir), "dump", name)
	}
	return filepath.Join(dir, name)
}

// failedStatement reads the last failure in a log: that of pg_restore, or of psql with the dump of the
// roles and tablespaces, which is the script.
func failedStatement(log, script string, lineOf func(path string, number int) string) (Statement, bool) {
	if at := strings.LastIndex(log, "pg_restore: error: "); at >= 0 {
		return restoreStatement(log[:at], log[at:])
	}
	all := scriptFailures(log, script, -1, lineOf)
	if len(all) == 0 {
		return Statement{}, false
	}
	return all[len(all)-1], true
}

// scriptFailures reads what psql could not do of a script. A role's setting can put anything into a notice, such as
// an error in a file of somebody else's: no other file than the script is looked into.
func scriptFailures(log, script string, most int, lineOf func(path string, number int) string) []Statement {
	var found []Statement
	for _, m := range psqlError.FindAllStringSubmatch(log, most) {
		number, err := strconv.Atoi(m[2])
		if err != nil || m[1] != script {
			continue
		}
		found = append(found, Statement{Error: strings.TrimSpace(m[3]), SQL: strings.TrimSpace(lineOf(script, number))})
	}
	return found
}

var (
	// As in "psql:/path/pg_upgrade_dump_globals.sql:25: ERROR:  ...", from psql.
	psqlError = regexp.MustCompile(`(?m)^psql:([^\n]+\.sql):(\d+): (?:ERROR|FATAL|PANIC): +(.*)$`)
	// `pg_restore: creating VIEW "public.orders"` comes before the statement is sent (pg_backup_archiver.c,
	// restore_toc_entry).
	creating   = regexp.MustCompile(`(?m)^pg_restore: (?:creating|processing data for) (.+)$`)
	connecting = regexp.MustCompile(`(?m)^pg_restore: connecting to new database "(.*)"$`)
	serverSaid = regexp.MustCompile(`(?:ERROR|FATAL|PANIC): +(.*)`)
	// What pg_dump --binary-upgrade puts before a statement.
	binaryUpgrade = regexp.MustCompile(`(?m)^(?:--.*|SELECT pg_catalog\.binary_upgrade_[^\n]*;?|\s*)\n`)
)

func restoreStatement(before, failure string) (Statement, bool) {
	said := serverSaid.FindStringSubmatch(failure)
	_, sql, found := strings.Cut(failure, "Command was: ")
	if said == nil || !found {
		return Statement{}, false
	}
	s := Statement{Error: strings.TrimSpace(said[1]), SQL: firstStatement(sql)}
	if all := creating.FindAllStringSubmatch(before, -1); len(all) > 0 {
		s.Object = strings.TrimSpace(all[len(all)-1][1])
	}
	if all := connecting.FindAllStringSubmatch(before, -1); len(all) > 0 {
		s.Database = all[len(all)-1][1]
	}
	return s, true
}

// maxStatement bounds the SQL that is shown.
const maxStatement = 2000

// firstStatement is the user's own statement, without what pg_dump needs around it and without what
// pg_restore says after it.
func firstStatement(sql string) string {
	sql, _, _ = strings.Cut(sql, "\npg_restore: ")
	sql = strings.TrimLeft(sql, "\n")
	for {
		at := binaryUpgrade.FindStringIndex(sql)
		if at == nil || at[0] != 0 || at[1] == 0 {
			break
		}
		sql = sql[at[1]:]
	}
	sql = strings.TrimSpace(sql)
	if len(sql) > maxStatement {
		sql = strings.ToValidUTF8(sql[:maxStatement], "") + " ..."
	}
	return sql
}

// lineOf is a line of a file, counted from 1. No link is followed.
func lineOf(path string, number int) string {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || number < 1 {
		return ""
	}
	content, err := io.ReadAll(file)
	lines := strings.SplitN(string(content), "\n", number+1)
	if err != nil || len(lines) < number {
		return ""
	}
	return lines[number-1]
}
