package pgconf

import (
	"slices"
	"strconv"
	"strings"
)

// rule says what became of a setting in a major version.
type rule struct {
	since   int
	name    string
	reason  string
	rewrite func(value string) *successor
}

// successor is what a rule makes of a value. No successor: nothing to do, or
// nothing that can be done, and the line is judged by its name.
type successor struct {
	settings   []assignment
	drop, keep bool
}

// rules lists what is more than a removal, in the order of versions. Each is
// from the release notes of its version, chapter "Migration", and was seen in
// pg_settings of the versions before and after.
func rules() []rule {
	return []rule{
		{
			13, "wal_keep_segments", "PostgreSQL 13 renamed it to wal_keep_size and counts bytes, not segments of 16 MB",
			func(value string) *successor {
				segments, err := strconv.Atoi(value)
				if err != nil {
					return nil
				}
				return become("wal_keep_size", strconv.Itoa(segments*16)+"MB")
			},
		},
		{
			14, "password_encryption", "PostgreSQL 14 no longer takes a boolean here; \"on\" meant md5",
			func(value string) *successor {
				if !slices.Contains([]string{"on", "true", "yes", "1"}, strings.ToLower(value)) {
					return nil
				}
				return become("password_encryption", "md5")
			},
		},
		{16, "force_parallel_mode", "PostgreSQL 16 renamed it to debug_parallel_query", renameTo("debug_parallel_query")},
		{
			17, "logical_replication_mode", "PostgreSQL 17 renamed it to debug_logical_replication_streaming",
			renameTo("debug_logical_replication_streaming"),
		},
		{18, "ssl_ecdh_curve", "PostgreSQL 18 renamed it to ssl_groups", renameTo("ssl_groups")},
		{
			18, "max_replication_slots", "PostgreSQL 18 counts replication origins by max_active_replication_origins",
			alsoAbove("max_replication_slots", "max_active_replication_origins", 10),
		},
		{
			18, "autovacuum_max_workers", "PostgreSQL 18 caps it by autovacuum_worker_slots",
			alsoAbove("autovacuum_max_workers", "autovacuum_worker_slots", 16),
		},
		{
			19, "io_workers", "PostgreSQL 19 replaced it by io_min_workers and io_max_workers",
			renameTo("io_min_workers", "io_max_workers"),
		},
		{
			19, "log_autovacuum_min_duration", "PostgreSQL 19 has log_autoanalyze_min_duration for analyze",
			renameTo("log_autovacuum_min_duration", "log_autoanalyze_min_duration"),
		},
		{
			19, "max_locks_per_transaction",
			"PostgreSQL 19 allocates the lock table differently: twice the number gives the old capacity",
			func(value string) *successor {
				n, err := strconv.Atoi(value)
				if err != nil {
					return &successor{keep: true}
				}
				return become("max_locks_per_transaction", strconv.Itoa(2*n))
			},
		},
		{
			19, "standard_conforming_strings", "PostgreSQL 19 has no other than standard-conforming strings",
			func(value string) *successor {
				if !isFalse(value) {
					return nil
				}
				return &successor{drop: true}
			},
		},
	}
}

func become(name, value string) *successor {
	return &successor{settings: []assignment{{name, value}}}
}

func renameTo(names ...string) func(string) *successor {
	return func(value string) *successor {
		s := &successor{}
		for _, name := range names {
			s.settings = append(s.settings, assignment{name, value})
		}
		return s
	}
}

// alsoAbove keeps a setting and gives another the same number, where it is
// above the other's default and the other's default would now be the limit.
func alsoAbove(name, other string, otherDefault int) func(string) *successor {
	return func(value string) *successor {
		if n, err := strconv.Atoi(value); err != nil || n <= otherDefault {
			return nil
		}
		return renameTo(name, other)(value)
	}
}

// isFalse follows parse_bool in bool.c: unique prefixes count, in any case.
func isFalse(value string) bool {
	value = strings.ToLower(value)
	return value == "0" || value != "" && strings.HasPrefix("false", value) ||
		value != "" && strings.HasPrefix("no", value) || len(value) > 1 && strings.HasPrefix("off", value)
}

// Successors names every setting that another one may become. A target may know
// one and yet not describe it (postgres --describe-config), so it is to be
// asked for them by name.
func Successors() []string {
	var names []string
	for _, r := range rules() {
		for _, value := range []string{"1", "1000"} { // which is on, and above all defaults
			successor := r.rewrite(value)
			if successor == nil {
				continue
			}
			for _, setting := range successor.settings {
				names = append(names, setting.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// removed lists settings that went away without a successor, with what to do
// instead. A setting that is missing here is dropped as well.
func removed() []struct {
	since        int
	name, advice string
} {
	return []struct {
		since        int
		name, advice string
	}{
		{14, "operator_precedence_warning", "check what it used to warn about before the upgrade"},
		{14, "vacuum_cleanup_index_scale_factor", "nothing takes its place"},
		{15, "stats_temp_directory", "statistics are in shared memory now"},
		{16, "promote_trigger_file", "promote with pg_ctl promote or pg_promote()"},
		{16, "vacuum_defer_cleanup_age", "use hot_standby_feedback or replication slots"},
		{17, "db_user_namespace", "nothing takes its place"},
		{17, "old_snapshot_threshold", "use transaction_timeout and idle_in_transaction_session_timeout"},
		{17, "trace_recovery_messages", "raise log_min_messages instead"},
		{19, "escape_string_warning", "nothing takes its place"},
	}
}
