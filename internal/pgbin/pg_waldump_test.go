package pgbin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The lines are pg_waldump's own, of several versions.
var waldumpLines = map[string]struct {
	line string
	want WALRecord
}{
	"a block": {
		`rmgr: Heap        len (rec/tot):     54/   150, tx:        731, lsn: 0/01A2B3C8, prev 0/01A2B390, desc: INSERT off 3 flags 0x00, blkref #0: rel 1663/5/16384 blk 0 FPW`,
		WALRecord{Manager: "Heap", XID: 731, LSN: "0/01A2B3C8", Desc: "INSERT off 3 flags 0x00, blkref #0: rel 1663/5/16384 blk 0 FPW", Relations: []WALRelation{{5, 16384}}},
	},
	"two blocks, one of another fork": {
		`rmgr: Heap2       len (rec/tot):     64/  8256, tx:          0, lsn: 0/01500028, prev 0/014FFFF0, desc: VISIBLE cutoff xid 0 flags 0x03, blkref #0: rel 1663/16401/2619 fork vm blk 0 FPW, blkref #1: rel 1663/16401/2619 blk 3`,
		WALRecord{Manager: "Heap2", LSN: "0/01500028", Desc: "VISIBLE cutoff xid 0 flags 0x03, blkref #0: rel 1663/16401/2619 fork vm blk 0 FPW, blkref #1: rel 1663/16401/2619 blk 3", Relations: []WALRelation{{16401, 2619}, {16401, 2619}}},
	},
	"no block": {
		`rmgr: Transaction len (rec/tot):     34/    34, tx:        732, lsn: 0/01A2B460, prev 0/01A2B3C8, desc: COMMIT 2026-01-01 00:00:00.000000 UTC`,
		WALRecord{Manager: "Transaction", XID: 732, LSN: "0/01A2B460", Desc: "COMMIT 2026-01-01 00:00:00.000000 UTC"},
	},
	"a message": {
		`rmgr: LogicalMessage len (rec/tot):     59/    59, tx:        733, lsn: 0/01A2B488, prev 0/01A2B460, desc: MESSAGE transactional, prefix "pgleap"; payload (3 bytes): 61 62 63`,
		WALRecord{Manager: "LogicalMessage", XID: 733, LSN: "0/01A2B488", Desc: `MESSAGE transactional, prefix "pgleap"; payload (3 bytes): 61 62 63`},
	},
}

func TestParseWALRecord(t *testing.T) {
	for name, test := range waldumpLines {
		got, err := parseWALRecord(test.line)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, line := range []string{
		"", "rmgr: Heap", `rmgr: Heap len (rec/tot): 1/ 1, tx: 99999999999, lsn: 0/1, prev 0/0, desc: INSERT`,
		`rmgr: Heap len (rec/tot): 1/ 1, tx: 9, lsn: 0/1, prev 0/0, desc: INSERT, blkref #0: rel 1663/5/99999999999 blk 0`,
		`rmgr: Heap len (rec/tot): 1/ 1, tx: 9, lsn: 0/1, prev 0/0, desc: INSERT, blkref #0: rel 1663/99999999999/1 blk 0`,
	} {
		if got, err := parseWALRecord(line); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
}

func FuzzParseWALRecord(f *testing.F) {
	for _, test := range waldumpLines {
		f.Add(test.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		record, err := parseWALRecord(line)
		if err == nil && (record.Manager == "" || record.LSN == "") {
			t.Errorf("%q is read as %+v", line, record)
		}
	})
}
