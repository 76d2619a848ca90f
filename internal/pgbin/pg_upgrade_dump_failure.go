package pgbin

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// databaseLog is the name of the log of one database, from its oid (pg_upgrade.h, DB_DUMP_LOG_FILE_MASK).
var databaseLog = regexp.MustCompile(`^pg_upgrade_dump_([0-9]+)\.log$`)

// DatabaseOID is the source's oid of the database in whose dump or restoring it failed; 0 if it was neither.
func (f *Failure) DatabaseOID() uint32 {
	log := referredLog.FindStringSubmatch(f.Message)
	if log == nil {
		return 0
	}
	name := databaseLog.FindStringSubmatch(filepath.Base(log[1]))
	if name == nil {
		return 0
	}
	oid, err := strconv.ParseUint(name[1], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(oid)
}

// Dump finds what pg_dump could not read of the source, in the log that pg_upgrade refers to: the query and its error,
// or what pg_dump itself says. There is none if it was not pg_dump that failed, or if the log is gone.
func (f *Failure) Dump() (Statement, bool) {
	log := referredLog.FindStringSubmatch(f.Message)
	if log == nil {
		return Statement{}, false
	}
	return failedDump(readFrom(log[1], 0))
}

var (
	// As in "pg_dump: error: query failed: ERROR:  ...", or without a query "pg_dump: error: schema with OID 1 does not exist".
	dumpSaid = regexp.MustCompile(`(?m)^pg_dump: error: (?:query failed: )?(?:(?:ERROR|FATAL|PANIC): +)?(.*)$`)
	// As in "pg_dump: detail: Query was: SELECT ..." since 15, and "pg_dump: error: query was: SELECT ..." before.
	dumpAsked = regexp.MustCompile(`(?m)^pg_dump: (?:detail|error): [Qq]uery was: `)
	// What pg_dump or the shell says next.
	dumpWent = regexp.MustCompile(`(?m)\n(?:pg_dump(?:all)?: |command: )`)
)

// failedDump reads the last failure of pg_dump in a log.
func failedDump(log string) (Statement, bool) {
	asked := dumpAsked.FindAllStringIndex(log, -1)
	var sql string
	if len(asked) > 0 {
		last := asked[len(asked)-1]
		sql = log[last[1]:]
		if end := dumpWent.FindStringIndex(sql); end != nil {
			sql = sql[:end[0]]
		}
		if !dumpSaid.MatchString(log[last[1]:]) { // else another error came later
			log = log[:last[0]]
		} else {
			sql = ""
		}
	}
	said := dumpSaid.FindAllStringSubmatch(log, -1)
	if len(said) == 0 {
		return Statement{}, false
	}
	return Statement{Error: strings.TrimSpace(said[len(said)-1][1]), SQL: firstStatement(sql)}, true
}
