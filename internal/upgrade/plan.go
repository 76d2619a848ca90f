package upgrade

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Mode is a way to upgrade.
type Mode string

// The modes. Only zero-downtime is built so far.
const (
	InPlace      Mode = "in-place"
	BlueGreen    Mode = "blue-green"
	ZeroDowntime Mode = "zero-downtime"
	Logical      Mode = "logical"
)

// Statistics says when the target's statistics are collected.
type Statistics string

// Before blocks the switchover until the statistics are there; After does not.
const (
	StatisticsBefore Statistics = "before"
	StatisticsAfter  Statistics = "after"
)

// Switch says who starts the switchover.
type Switch string

// Manual waits for `pgleap switchover ID switch`; Auto switches as soon as the lag is small.
const (
	SwitchManual Switch = "manual"
	SwitchAuto   Switch = "auto"
)

// The bounds of switchoverTimeout, and what is used when none is given.
const (
	MinSwitchoverTimeout     = 10 * time.Second
	MaxSwitchoverTimeout     = 3600 * time.Second
	DefaultSwitchoverTimeout = 60 * time.Second
)

// DefaultMaxRetainedWAL is the cap on WAL that the source keeps for the upgrade, in bytes.
const DefaultMaxRetainedWAL = 16 << 30

// Options are the user's choices.
type Options struct {
	Statistics        Statistics    `json:"statistics"`
	Switch            Switch        `json:"switch"`
	SwitchoverTimeout time.Duration `json:"switchoverTimeout"`
	// SkipRehearsal lets SwitchAuto switch without a rehearsal.
	SkipRehearsal bool `json:"skipRehearsal,omitempty"`
	// TerminateDirectClients allows the switchover to terminate sessions that do not
	// come through the endpoint. Without it such sessions make the switchover refuse.
	TerminateDirectClients bool `json:"terminateDirectClients,omitempty"`
	// Accepted lists findings that the user takes upon himself, each as
	// "check-id:object", such as "unlogged-tables:app.public.cache".
	Accepted []string `json:"accepted,omitempty"`
	// MaxRetainedWAL is the number of bytes of WAL the source may keep for the
	// upgrade. Beyond it the upgrade is cancelled.
	MaxRetainedWAL int64 `json:"maxRetainedWAL"`
	// Jobs is the parallelism of pg_upgrade and of the statistics.
	Jobs int `json:"jobs"`
}

// WithDefaults fills in what the user left open.
func (o Options) WithDefaults() Options {
	if o.Statistics == "" {
		o.Statistics = StatisticsBefore
	}
	if o.Switch == "" {
		o.Switch = SwitchManual
	}
	if o.SwitchoverTimeout == 0 {
		o.SwitchoverTimeout = DefaultSwitchoverTimeout
	}
	if o.MaxRetainedWAL == 0 {
		o.MaxRetainedWAL = DefaultMaxRetainedWAL
	}
	if o.Jobs == 0 {
		o.Jobs = 2
	}
	return o
}

// Validate checks the options that are set.
func (o Options) Validate() error {
	if !slices.Contains([]Statistics{StatisticsBefore, StatisticsAfter}, o.Statistics) {
		return fmt.Errorf("statistics %q: choose %q or %q", o.Statistics, StatisticsBefore, StatisticsAfter)
	}
	if !slices.Contains([]Switch{SwitchManual, SwitchAuto}, o.Switch) {
		return fmt.Errorf("switch %q: choose %q or %q", o.Switch, SwitchManual, SwitchAuto)
	}
	if o.SwitchoverTimeout < MinSwitchoverTimeout || o.SwitchoverTimeout > MaxSwitchoverTimeout {
		return fmt.Errorf("switchoverTimeout %s: choose between %s and %s", o.SwitchoverTimeout, MinSwitchoverTimeout, MaxSwitchoverTimeout)
	}
	if o.MaxRetainedWAL < 64<<20 {
		return fmt.Errorf("maxRetainedWAL %d bytes: choose at least 64 MiB", o.MaxRetainedWAL)
	}
	if o.Jobs < 1 || o.Jobs > 64 {
		return fmt.Errorf("jobs %d: choose between 1 and 64", o.Jobs)
	}
	return nil
}

// Plan is the frozen decision. Everything an activity needs to know is in it.
type Plan struct {
	Number   int64   `json:"number"` // 1 to 2^31-1, shared by prechecks and upgrades
	ID       string  `json:"id"`     // UUID
	Instance string  `json:"instance"`
	Mode     Mode    `json:"mode"`
	Source   Cluster `json:"source"`
	// Target is the cluster to be made: version, bindir, pgdata, port and manager are decided,
	// what only a running server can tell is empty.
	Target   Cluster  `json:"target"`
	Endpoint Endpoint `json:"endpoint"`
	Options  Options  `json:"options"`
}

// Workdir is the directory beside the target's pgdata, on the same file system
// and owned by the cluster's owner, that holds what PostgreSQL's programs need for an upgrade only:
// the clone, the passfile, and the logs of the servers.
func (p Plan) Workdir() string { return p.Target.Pgdata + ".pgleap" }

// ClonePgdata is the data directory of the physical clone.
func (p Plan) ClonePgdata() string { return filepath.Join(p.Workdir(), "clone") }

// Passfile is the .pgpass file with the password of pgleap's role.
func (p Plan) Passfile() string { return filepath.Join(p.Workdir(), "passfile") }

// The names of what pgleap creates in clusters. Each is removed when the upgrade ends.
const (
	Role           = "pgleap" // its role: superuser, for replication and the switchover
	Schema         = "pgleap" // its schema, with the marker table
	Publication    = "pgleap_forward"
	Subscription   = "pgleap_forward"
	BaseBackupSlot = "pgleap_base_backup"
)

// SlotName is the name of the logical slot of a database, by the database's oid on the source.
func SlotName(databaseOID uint32) string { return fmt.Sprintf("pgleap_%d", databaseOID) }
