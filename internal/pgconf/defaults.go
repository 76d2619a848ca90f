package pgconf

import (
	"maps"
	"slices"
)

// Defaults tells which settings that nobody has set get another value on the
// target, because its built-in default is another one. Each is computed from
// the two servers; settings that are new there are told when they change what
// used to happen without them.
func Defaults(source, target Description, isSet func(name string) bool) []Change {
	notes := notes()
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(target.parameters)) {
		after := target.parameters[name]
		before, both := source.parameters[name]
		note := notes[name]
		switch {
		case after.Context == "internal" || isSet(name) || ofPlace(name):
		case both && differ(before, after):
			changes = append(changes, Change{
				Kind: Default, Name: after.Name, From: before.Display(before.Default), To: after.Display(after.Default),
				Reason: note.reason, Weighty: note.weighty,
			})
		case !both && note.whenNew:
			changes = append(changes, Change{
				Kind: New, Name: after.Name, To: after.Display(after.Default), Reason: note.reason, Weighty: note.weighty,
			})
		}
	}
	return changes
}

// differ compares defaults, whatever unit they are in.
func differ(before, after Parameter) bool {
	if before.Default == after.Default && before.Unit == after.Unit {
		return false
	}
	if before.Display(before.Default) == after.Display(after.Default) {
		return false
	}
	// A switch that became a list has an empty one for off (log_connections in 18).
	return before.Type != "bool" || before.Default != "off" || after.Default != ""
}

// ofPlace tells whether a default says where a server was built or runs, and
// not how it behaves.
func ofPlace(name string) bool {
	return slices.Contains([]string{
		"config_file", "data_directory", "external_pid_file", "hba_file", "hosts_file", "ident_file", "port",
		"krb_server_keyfile", "unix_socket_directories", "extension_destdir", "wal_sync_method",
		"lc_messages", "lc_monetary", "lc_numeric", "lc_time", "log_timezone", "timezone",
	}, name)
}

// note says what another default means.
type note struct {
	reason  string
	weighty bool // somebody should decide on it
	whenNew bool // the setting is new, and yet changes what used to happen
}

// notes are for the defaults that matter most, from the release notes of the
// versions that changed them. A default that is missing here is told all the same.
func notes() map[string]note {
	return map[string]note{
		"password_encryption":                   {"new passwords are kept as SCRAM secrets, with which old client libraries cannot log in", true, false},
		"jit":                                   {"long analytical queries are not compiled any more", true, false},
		"default_toast_compression":             {"new values are compressed with lz4; those that are there stay as they are", true, false},
		"max_locks_per_transaction":             {"the lock table is allocated differently: the new default holds as many locks as the old one", false, false},
		"checkpoint_completion_target":          {"checkpoints are spread over more of the time between them", false, false},
		"hash_mem_multiplier":                   {"hash joins and hash aggregates take twice the memory", false, false},
		"log_checkpoints":                       {"each checkpoint is written to the log", false, false},
		"log_autovacuum_min_duration":           {"long runs of autovacuum are written to the log", false, false},
		"log_autoanalyze_min_duration":          {"autoanalyze has a limit of its own now, apart from log_autovacuum_min_duration", false, true},
		"log_lock_waits":                        {"each wait for a lock longer than deadlock_timeout is written to the log", false, false},
		"effective_io_concurrency":              {"more reads are begun ahead", false, false},
		"maintenance_io_concurrency":            {"more reads are begun ahead in maintenance", false, false},
		"vacuum_cost_page_miss":                 {"vacuum reads faster under its cost limit", false, false},
		"io_method":                             {"reads are done by worker processes", false, true},
		"autovacuum_worker_slots":               {"it caps autovacuum_max_workers, which can be changed without a restart up to there", false, true},
		"password_expiration_warning_threshold": {"who logs in with a password that expires within this time is warned", false, true},
	}
}
