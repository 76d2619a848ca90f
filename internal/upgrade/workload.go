package upgrade

import "time"

// Workload is what an upgrade has to carry, as a precheck counted it.
type Workload struct {
	DataBytes int64 `json:"dataBytes"` // of all tablespaces
	// OtherBytes are those of the data directory beside them that a base backup copies, such as logs.
	OtherBytes   int64 `json:"otherBytes,omitempty"`
	Files        int64 `json:"files"` // of all databases
	Databases    int64 `json:"databases"`
	Relations    int64 `json:"relations"` // the users' own
	Sequences    int64 `json:"sequences"`
	LargeObjects int64 `json:"largeObjects"`
	// LargeObjectBytes and UnloggedBytes are what a switchover to a replica has to read, and to copy, while clients
	// wait: without what the user has accepted to lose.
	LargeObjectBytes int64 `json:"largeObjectBytes,omitempty"`
	UnloggedBytes    int64 `json:"unloggedBytes,omitempty"`
	// WALRate is what the source writes, in bytes per second, while the precheck ran; 0: it was not sampled.
	WALRate float64 `json:"walRate"`
	// MaxWALSize and SharedBuffers are the source's settings, in bytes.
	MaxWALSize    int64 `json:"maxWALSize"`
	SharedBuffers int64 `json:"sharedBuffers"`
}

// Speed is what was measured on the target's host. What is 0 was not measured.
type Speed struct {
	// ReadRate and WriteRate are of a file in the target's file system, in bytes per second.
	ReadRate  float64 `json:"readRate,omitempty"`
	WriteRate float64 `json:"writeRate,omitempty"`
	// SchemaUpgrade is how long pg_upgrade took for a copy without data, of so many relations and databases.
	SchemaUpgrade   time.Duration `json:"schemaUpgrade,omitempty"`
	SchemaRelations int64         `json:"schemaRelations,omitempty"`
	SchemaDatabases int64         `json:"schemaDatabases,omitempty"`
}

// Measured tells whether anything was.
func (s Speed) Measured() bool { return s.WriteRate > 0 || s.SchemaUpgrade > 0 }
