package pgbin

import (
	"strings"
	"testing"
)

const controlData = `pg_control version number:            1700
Catalog version number:               202406281
Database system identifier:           7512345678901234567
Database cluster state:               shut down
Latest checkpoint location:           0/1949F58
Latest checkpoint's TimeLineID:       1
Maximum data alignment:               8
Database block size:                  8192
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           1
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
`

func TestParseControlData(t *testing.T) {
	data, err := parseControlData(controlData)
	if err != nil || data.SystemIdentifier != "7512345678901234567" || data.WALSegmentSize != 16<<20 || !data.DataChecksums || !data.CharSigned {
		t.Errorf("got %+v, %v", data, err)
	}
	for _, without := range []string{"Database system identifier", "Database cluster state", "Bytes per WAL segment", "Data page checksum version"} {
		if data, err := parseControlData(strings.Replace(controlData, without, "Other", 1)); err == nil {
			t.Errorf("without %q: got %+v", without, data)
		}
	}
}

// FuzzParseControlData: what has no identifier, no state or a number that is none is an error, and nothing else.
func FuzzParseControlData(f *testing.F) {
	f.Add(controlData)
	f.Add("Database system identifier: 1\nDatabase cluster state:\n")
	f.Add("pg_control version number: -1\x00\n:::\n")
	f.Fuzz(func(t *testing.T, text string) {
		data, err := parseControlData(text)
		if err == nil && (data.SystemIdentifier == "" || data.State == "" || len(data.Values) < 15) || err != nil && data.Values != nil {
			t.Errorf("%q: got %+v, %v", text, data, err)
		}
	})
}
