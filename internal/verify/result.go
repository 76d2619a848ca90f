package verify

import (
	"fmt"
	"time"
)

// Result is what a comparison of source and target came to.
type Result struct {
	Tables int `json:"tables"` // compared
	// Rows and Bytes are those of the source that were compared. Bytes count TOAST, and what is empty.
	Rows        int64         `json:"rows"`
	Bytes       int64         `json:"bytes"`
	Duration    time.Duration `json:"duration"`
	Differences []Difference  `json:"differences,omitempty"`
	NotCompared []NotCompared `json:"notCompared,omitempty"`
}

// Identical tells whether the comparison proves that both sides are the same: nothing differs, and
// nothing was left out but what an upgrade does not carry by its nature.
func (r Result) Identical() bool {
	for _, left := range r.NotCompared {
		if !left.Expected {
			return false
		}
	}
	return len(r.Differences) == 0
}

// Difference is an object of a database that is not the same on both sides.
type Difference struct {
	Kind     string `json:"kind"` // rows, sequence, large object, or what the catalogs call the object
	Database string `json:"database"`
	Object   string `json:"object"`
	Detail   string `json:"detail"` // a sentence
	// Total is the number of rows that differ, at least if AtLeast; Rows are the first of them.
	Total   int64 `json:"total,omitempty"`
	AtLeast bool  `json:"atLeast,omitempty"`
	Rows    []Row `json:"rows,omitempty"`
}

// String is the difference in one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s, %s %s: %s", d.Database, d.Kind, d.Object, d.Detail)
}

// How a row differs.
const (
	Changed = "changed"
	Missing = "missing" // it is on the source only
	Extra   = "extra"   // it is on the target only
)

// Row is a row that differs.
type Row struct {
	Change string `json:"change"`
	// Key are the names and texts of the key's columns. A table without a key has none.
	Key []KeyColumn `json:"key,omitempty"`
	// Hash is that of the row in a table without a key.
	Hash string `json:"hash,omitempty"`
	// Columns are those that differ, when the row changed.
	Columns []string `json:"columns,omitempty"`
	// Source and Target are the values: of the columns that differ, or of all when the row is on one
	// side only. They are there only if Options.Values asked for them.
	Source []Value `json:"source,omitempty"`
	Target []Value `json:"target,omitempty"`
}

// KeyColumn is a column of a key.
type KeyColumn struct {
	Column string `json:"column"`
	Text   string `json:"text"`
}

// Value is that of a column. Text is nil for NULL, and cut where it is long.
type Value struct {
	Column string  `json:"column"`
	Text   *string `json:"text"`
}

// NotCompared is an object that was left out.
type NotCompared struct {
	Database string `json:"database"`
	Object   string `json:"object"`
	Reason   string `json:"reason"`
	// Expected tells that it is never the same, as an unlogged table.
	Expected bool `json:"expected,omitempty"`
}

// Progress is how far a comparison is. Bytes count both sides.
type Progress struct {
	Tables     int    `json:"tables"`
	TablesDone int    `json:"tablesDone"`
	Bytes      int64  `json:"bytes"`
	BytesDone  int64  `json:"bytesDone"`
	Rows       int64  `json:"rows"`  // of the source so far
	Table      string `json:"table"` // the last that something was read of
}
