package precheck

import (
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// removals lists what major versions have removed from the server's catalogs, for a precheck that
// has no scratch cluster of the target to ask. Made from the catalogs of 13, 15, 17, 18 and 19 and
// the release notes ("Migration to Version ..."); a name without arguments stands for
// all of them; of those with arguments the target may have others.
func removals() map[upgrade.Major]string {
	return map[upgrade.Major]string{
		14: `pg_catalog.close_lb pg_catalog.close_sl pg_catalog.dist_bl pg_catalog.dist_lb pg_catalog.numeric_fac pg_catalog.path_center
			pg_catalog.currtid pg_catalog.point(path) ~(aclitem[],aclitem)
			!!(-,bigint) !(bigint,-) ##(line,box) ##(lseg,line) <->(box,line) <->(line,box) @@(-,path)
			@(box,box) @(circle,circle) @(lseg,box) @(lseg,line) @(point,box) @(point,circle) @(point,line) @(point,lseg)
			@(point,path) @(point,polygon) @(polygon,polygon) ~(box,box) ~(circle,circle) ~(circle,point) ~(path,point)
			~(polygon,point) ~(polygon,polygon) ~(box,point) ~(line,point) ~(lseg,point)`,
		15: `pg_catalog.pg_database.datlastsysoid pg_catalog.pg_stat_ssl.compression
			pg_catalog.pg_start_backup pg_catalog.pg_stop_backup pg_catalog.pg_is_in_backup pg_catalog.pg_backup_start_time`,
		17: `pg_catalog.pg_collation.colliculocale pg_catalog.pg_database.daticulocale
			pg_catalog.pg_stat_bgwriter.buffers_backend pg_catalog.pg_stat_bgwriter.buffers_backend_fsync
			pg_catalog.pg_stat_bgwriter.buffers_checkpoint pg_catalog.pg_stat_bgwriter.checkpoint_sync_time
			pg_catalog.pg_stat_bgwriter.checkpoint_write_time pg_catalog.pg_stat_bgwriter.checkpoints_req
			pg_catalog.pg_stat_bgwriter.checkpoints_timed
			pg_catalog.pg_stat_progress_vacuum.max_dead_tuples pg_catalog.pg_stat_progress_vacuum.num_dead_tuples
			information_schema.element_types.domain_default
			pg_catalog.interval_avg(interval[]) pg_catalog.pg_rotate_logfile_old pg_catalog.pg_read_file_old
			pg_catalog.interval_accum pg_catalog.interval_accum_inv pg_catalog.interval_combine
			pg_catalog.pg_stat_get_bgwriter_buf_written_checkpoints pg_catalog.pg_stat_get_bgwriter_requested_checkpoints
			pg_catalog.pg_stat_get_bgwriter_timed_checkpoints pg_catalog.pg_stat_get_buf_fsync_backend
			pg_catalog.pg_stat_get_buf_written_backend pg_catalog.pg_stat_get_checkpoint_sync_time
			pg_catalog.pg_stat_get_checkpoint_write_time`,
		18: `pg_catalog.pg_attribute.attcacheoff pg_catalog.pg_backend_memory_contexts.parent pg_catalog.pg_stat_io.op_bytes
			pg_catalog.pg_stat_wal.wal_sync pg_catalog.pg_stat_wal.wal_sync_time pg_catalog.pg_stat_wal.wal_write
			pg_catalog.pg_stat_wal.wal_write_time pg_catalog.pg_timezone_abbrevs
			pg_catalog.pg_stat_have_stats(text,oid,oid)`,
		19: `pg_catalog.pg_stat_subscription_stats.sync_error_count
			pg_catalog.big5_to_mic pg_catalog.euc_cn_to_mic pg_catalog.euc_jp_to_mic pg_catalog.euc_kr_to_mic pg_catalog.euc_tw_to_mic
			pg_catalog.iso_to_mic pg_catalog.koi8r_to_mic pg_catalog.latin1_to_mic pg_catalog.latin2_to_mic pg_catalog.latin3_to_mic
			pg_catalog.latin4_to_mic pg_catalog.mic_to_big5 pg_catalog.mic_to_euc_cn pg_catalog.mic_to_euc_jp pg_catalog.mic_to_euc_kr
			pg_catalog.mic_to_euc_tw pg_catalog.mic_to_iso pg_catalog.mic_to_koi8r pg_catalog.mic_to_latin1 pg_catalog.mic_to_latin2
			pg_catalog.mic_to_latin3 pg_catalog.mic_to_latin4 pg_catalog.mic_to_sjis pg_catalog.mic_to_win1250 pg_catalog.mic_to_win1251
			pg_catalog.mic_to_win866 pg_catalog.sjis_to_mic pg_catalog.win1250_to_mic pg_catalog.win1251_to_mic pg_catalog.win866_to_mic`,
	}
}

// knownRemoved tells whether a column (schema.relation.column), a function (schema.name(types)) or
// an operator (name(types)) of the source is not there any more in the target.
func knownRemoved(source, target upgrade.VersionNum, name string) bool {
	bare, _, _ := strings.Cut(name, "(")
	for since, names := range removals() {
		if since <= source.Major() || since > target.Major() {
			continue
		}
		for removed := range strings.FieldsSeq(names) {
			if removed == name || removed == bare {
				return true
			}
		}
	}
	return false
}
