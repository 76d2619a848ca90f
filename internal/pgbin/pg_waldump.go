package pgbin

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Waldump reads the WAL of a cluster, running or not, between two LSNs.
type Waldump struct {
	Bindir   string
	Pgdata   string
	Timeline int
	Start    string // an LSN at which a record begins
	End      string // an LSN at which one ends
}

// WALRecord is what pg_waldump says of a record.
type WALRecord struct {
	Manager   string // the resource manager, such as "Heap"
	XID       uint32 // 0: none
	LSN       string
	Desc      string
	Relations []WALRelation // whose blocks it changes
}

// WALRelation is the file of a relation, by the oid of its database (0: it is shared) and its filenode.
type WALRelation struct{ Database, Filenode uint32 }

// Run hands every record to each. It fails when the WAL is not there any more.
func (d Waldump) Run(ctx context.Context, as Caller, each func(WALRecord)) error {
	command := as.call(d.Bindir, "pg_waldump", "--path="+d.Pgdata+"/pg_wal", "--timeline="+strconv.Itoa(d.Timeline), "--start="+d.Start, "--end="+d.End)
	var unreadable error
	command.OnLine = func(line string) {
		if !strings.HasPrefix(line, "rmgr: ") {
			return // a word about where it begins
		}
		record, err := parseWALRecord(line)
		if err != nil {
			unreadable = err
			return
		}
		each(record)
	}
	if _, err := as.Runner.Run(ctx, command); err != nil {
		return fmt.Errorf("read WAL from %s to %s: %w", d.Start, d.End, err)
	}
	return unreadable
}

var (
	// walRecord is a line as pg_waldump.c prints it (XLogDumpDisplayRecord), the same from 13 on.
	walRecord = regexp.MustCompile(`^rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*\d+, tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, desc: (.*)$`)
	// walBlock is one of the blocks at its end. What comes before may be text of a client's.
	walBlock = regexp.MustCompile(`, blkref #\d+: rel \d+/(\d+)/(\d+) `)
)

func parseWALRecord(line string) (WALRecord, error) {
	found := walRecord.FindStringSubmatch(line)
	if found == nil {
		return WALRecord{}, fmt.Errorf("unreadable output of pg_waldump: %.200q", line)
	}
	record := WALRecord{Manager: found[1], LSN: found[3], Desc: found[4]}
	xid, err := strconv.ParseUint(found[2], 10, 32)
	if err != nil {
		return record, fmt.Errorf("unreadable output of pg_waldump: xid %q", found[2])
	}
	record.XID = uint32(xid)
	for _, block := range walBlock.FindAllStringSubmatch(record.Desc+" ", -1) {
		database, err := strconv.ParseUint(block[1], 10, 32)
		if err != nil {
			return record, fmt.Errorf("unreadable output of pg_waldump: database %q", block[1])
		}
		filenode, err := strconv.ParseUint(block[2], 10, 32)
		if err != nil {
			return record, fmt.Errorf("unreadable output of pg_waldump: filenode %q", block[2])
		}
		record.Relations = append(record.Relations, WALRelation{Database: uint32(database), Filenode: uint32(filenode)})
	}
	return record, nil
}
