package pgbin

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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
	return failedStatement(readFrom(log[1], 0), readLine)
}

// failedStatement reads the last failure in a log: that of pg_restore, or of psql with the dump of the
// roles and tablespaces.
func failedStatement(log string, lineOf func(path string, number int) string) (Statement, bool) {
	if at := strings.LastIndex(log, "pg_restore: error: "); at >= 0 {
		return restoreStatement(log[:at], log[at:])
	}
	all := psqlError.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return Statement{}, false
	}
	found := all[len(all)-1]
	number, err := strconv.Atoi(found[2])
	if err != nil {
		return Statement{}, false
	}
	return Statement{Error: strings.TrimSpace(found[3]), SQL: strings.TrimSpace(lineOf(found[1], number))}, true
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

// readLine is a line of a file, counted from 1.
func readLine(path string, number int) string {
	if filepath.Ext(path) != ".sql" || number < 1 {
		return ""
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.SplitN(string(content), "\n", number+1)
	if len(lines) < number {
		return ""
	}
	return lines[number-1]
}
