package pgbin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// States of a cluster as pg_controldata prints them.
const (
	StateShutDown     = "shut down"
	StateInProduction = "in production"
)

// ControlData is what a cluster's pg_control says.
type ControlData struct {
	SystemIdentifier     string
	State                string
	ControlVersion       int
	CatalogVersion       int
	TimelineID           int
	CheckpointLSN        string // of the latest checkpoint record
	RedoLSN              string // where recovery from it would begin
	MinRecoveryEndingLSN string
	MaxDataAlignment     int
	BlockSize            int
	WALBlockSize         int
	WALSegmentSize       int64
	MaxConnections       int
	MaxWorkerProcesses   int
	MaxWALSenders        int
	MaxPreparedXacts     int
	MaxLocksPerXact      int
	WALLevel             string
	DataChecksums        bool
	CharSigned           bool              // true when a version does not say: x86 was the only choice before 18
	Values               map[string]string // every line, by its label
}

// PgControldata reads pg_control of a cluster, running or not.
func PgControldata(ctx context.Context, as Caller, bindir, pgdata string) (ControlData, error) {
	out, err := as.run(ctx, bindir, "pg_controldata", "--pgdata="+pgdata)
	if err != nil {
		return ControlData{}, fmt.Errorf("read control data of %s: %w", pgdata, err)
	}
	data, err := parseControlData(out.Stdout)
	if err != nil {
		return ControlData{}, fmt.Errorf("read control data of %s: %w", pgdata, err)
	}
	return data, nil
}

func parseControlData(text string) (ControlData, error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if label, value, ok := strings.Cut(line, ":"); ok {
			values[strings.TrimSpace(label)] = strings.TrimSpace(value)
		}
	}
	data := ControlData{
		SystemIdentifier:     values["Database system identifier"],
		State:                values["Database cluster state"],
		CheckpointLSN:        values["Latest checkpoint location"],
		RedoLSN:              values["Latest checkpoint's REDO location"],
		MinRecoveryEndingLSN: values["Minimum recovery ending location"],
		WALLevel:             values["wal_level setting"],
		CharSigned:           values["Default char data signedness"] != "unsigned",
		Values:               values,
	}
	if data.SystemIdentifier == "" || data.State == "" {
		return ControlData{}, fmt.Errorf("unreadable output of pg_controldata: no system identifier or no state")
	}
	var segment, checksums int
	numbers := map[string]*int{
		"pg_control version number":      &data.ControlVersion,
		"Catalog version number":         &data.CatalogVersion,
		"Latest checkpoint's TimeLineID": &data.TimelineID,
		"Maximum data alignment":         &data.MaxDataAlignment,
		"Database block size":            &data.BlockSize,
		"WAL block size":                 &data.WALBlockSize,
		"Bytes per WAL segment":          &segment,
		"Data page checksum version":     &checksums,
		"max_connections setting":        &data.MaxConnections,
		"max_worker_processes setting":   &data.MaxWorkerProcesses,
		"max_wal_senders setting":        &data.MaxWALSenders,
		"max_prepared_xacts setting":     &data.MaxPreparedXacts,
		"max_locks_per_xact setting":     &data.MaxLocksPerXact,
	}
	for label, number := range numbers {
		var err error
		if *number, err = strconv.Atoi(values[label]); err != nil {
			return ControlData{}, fmt.Errorf("unreadable output of pg_controldata: %s is %q", label, values[label])
		}
	}
	data.WALSegmentSize, data.DataChecksums = int64(segment), checksums != 0
	return data, nil
}
