package onhost

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// explainPgUpgrade says why pg_upgrade failed: the object, its database, the SQL, and what to do. What
// pg_upgrade itself refuses, no retry can mend. The databases are the source's by their oids: the names of logs have no
// more. Other errors, such as the end of a context, stay as they are.
func explainPgUpgrade(err error, databases map[uint32]string) error {
	failure, ok := errors.AsType[*pgbin.Failure](err)
	if !ok {
		return err
	}
	return &upgrade.Refused{Reason: pgUpgradeReason(failure, databases), Remedy: pgUpgradeRemedy(failure)}
}

// maxComplaints bounds the objects that are named.
const maxComplaints = 10

func pgUpgradeReason(failure *pgbin.Failure, databases map[uint32]string) string {
	statement, ok := failure.Statement()
	if !ok {
		statement, ok = failure.Dump()
	}
	if ok {
		if statement.Database == "" {
			statement.Database = databases[failure.DatabaseOID()]
		}
		return statementReason(failure.Check, statement)
	}
	var objects []string
	for _, file := range slices.Sorted(maps.Keys(failure.Files)) {
		for _, line := range failure.Files[file] {
			object := line.Object
			if line.Note != "" {
				object += " (" + line.Note + ")"
			}
			if line.Database != "" {
				object += " in database " + line.Database
			}
			objects = append(objects, object)
		}
	}
	if len(objects) == 0 {
		return failure.Error()
	}
	named := strings.Join(objects[:min(maxComplaints, len(objects))], ", ")
	if more := len(objects) - maxComplaints; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("pg_upgrade: %s: %s", failure.Check, named)
}

// statementReason names what failed in some SQL.
func statementReason(check string, statement pgbin.Statement) string {
	text := "pg_upgrade: " + check
	if statement.Object != "" {
		text += ": " + statement.Object
	}
	if statement.Database != "" {
		text += " in database " + statement.Database
	}
	text += ": " + statement.Error
	if statement.SQL != "" {
		text += fmt.Sprintf("; the statement was: %s", strings.TrimSuffix(oneLine(statement.SQL), ";"))
	}
	return text
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// remedies are by a part of the name of a report file, or of the status line at which pg_upgrade ended.
var remedies = []struct{ part, remedy string }{
	{"loadable_libraries", "install the package that has the library for the target's version, or drop the functions and extensions that use it"},
	{"required libraries", "install the package that has the library for the target's version, or drop the functions and extensions that use it"},
	{"prepared transactions", "commit or roll back each: COMMIT PREPARED or ROLLBACK PREPARED"},
	{"tables_using", "change the type of the columns that are named, or drop them"},
	{"data type", "change the type of the columns that are named, or drop them"},
	{"subs_invalid", "let the subscriptions become ready, or drop them"},
	{"invalid_logical_slots", "let the consumers of the slots catch up, or drop the slots"},
	{"datallowconn", "allow connections to the databases that are named, or drop them"},
	{"cannot_connect_to", "allow connections to the databases that are named, or drop them"},
	{"incompatible_polymorphics", "drop the objects that are named, and create them again after the upgrade with the new polymorphic types"},
	{"postfix_ops", "drop the operators that are named: postfix operators are gone"},
	{"encoding_conversions", "drop the conversions that are named, and create them again after the upgrade"},
	{"not_null_inconsistent", "let children have NOT NULL where their parents have: ALTER TABLE ... ALTER COLUMN ... SET NOT NULL"},
	{"roles starting with", "rename the roles that begin with pg_"},
	{"pg_role_prefix", "rename the roles that begin with pg_"},
	{"install user", "name the bootstrap superuser"},
	{"gist_inet_ops", "drop the indexes that are named, or build them with inet_ops or cidr_ops of the target's own kind after the upgrade"},
	{"db_role_tablespace_invalid_names", "rename the databases, roles and tablespaces whose names have line breaks"},
	{"disallowed_output_plugins", "add the plugins to output_plugin_libraries, or drop the slots that use them"},
	{"Creating dump", "run that statement on the source, in that database, and mend what it complains of: pg_dump --schema-only must go through; then start the upgrade again; the source is as it was"},
	{"Restoring", "change or drop that object on the source, so that the target's version takes it, and start the upgrade again; the source is as it was"},
	{"Linking", "choose --transfer copy"},
	{"Cloning", "choose --transfer copy"},
	{"Copying", "make room on the target's file system, or choose --transfer link"},
}

func pgUpgradeRemedy(failure *pgbin.Failure) string {
	if statement, _ := failure.Statement(); strings.Contains(statement.Error+failure.Log+failure.Message, "No space left on device") {
		return "make room on the target's file system, and start the upgrade again; the source is as it was"
	}
	for _, known := range remedies {
		for file := range failure.Files {
			if strings.Contains(file, known.part) {
				return known.remedy
			}
		}
	}
	for _, known := range remedies {
		if strings.Contains(failure.Check, known.part) {
			return known.remedy
		}
	}
	return "mend what it names and start the upgrade again; its whole output is kept with the task"
}
