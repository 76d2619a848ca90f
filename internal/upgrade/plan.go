package upgrade

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"
)

// Mode is a way to upgrade.
type Mode string

// The modes. Logical is not built yet.
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
	// LongSwitchoverTimeout is what is used where pg_upgrade is within the pause.
	LongSwitchoverTimeout = 10 * time.Minute
)

// DefaultMaxRetainedWAL is the cap on WAL that the source keeps for the upgrade, in bytes.
const DefaultMaxRetainedWAL = 16 << 30

// The bounds of the schema rehearsal when the user gives none. pg_upgrade takes about a minute for ten
// thousand tables on two cores that have nothing else to do, and to make the copy takes as long.
const (
	DefaultSchemaRehearsalTimeout = 10 * time.Minute
	DefaultSchemaRehearsalDisk    = 4 << 30
)

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
	// upgrade. Beyond it the upgrade fails and is undone, or is finished where clients are on the target.
	MaxRetainedWAL int64 `json:"maxRetainedWAL"`
	// Jobs is the parallelism of pg_upgrade and of the statistics; 0: as the host's processors allow.
	Jobs int `json:"jobs"`

	// SkipSchemaRehearsal leaves the upgrade of a copy without data out of the precheck; the rehearsal
	// gives up after SchemaRehearsalTimeout, and takes at most SchemaRehearsalDisk bytes. 0 means the default.
	SkipSchemaRehearsal    bool          `json:"skipSchemaRehearsal,omitempty"`
	SchemaRehearsalTimeout time.Duration `json:"schemaRehearsalTimeout,omitempty"`
	SchemaRehearsalDisk    int64         `json:"schemaRehearsalDisk,omitempty"`

	// SkipSwitchback finishes a zero-downtime upgrade as soon as it has switched over: without a way back.
	SkipSwitchback bool `json:"skipSwitchback,omitempty"`
	// AllowDDL lets definitions change during a zero-downtime upgrade: what can be replayed on the
	// other side is, the rest stops the switchover. Without it they are blocked.
	AllowDDL bool `json:"allowDDL,omitempty"`
	// FullIdentity gives tables without a usable replica identity REPLICA IDENTITY FULL for the time of
	// the upgrade. Without it they are blockers.
	FullIdentity bool `json:"fullIdentity,omitempty"`
	// ShowValues keeps, with the task, the values of rows that a verification finds different, not only their keys.
	ShowValues bool `json:"showValues,omitempty"`
	// TableGroups is the number of subscriptions per database that share its tables.
	TableGroups int `json:"tableGroups,omitempty"`

	// Transfer is how pg_upgrade takes over the data files of an in-place upgrade.
	Transfer Transfer `json:"transfer,omitempty"`
	// CloneOnly makes the upgraded clone of a blue-green upgrade, and leaves clients where they are.
	CloneOnly bool `json:"cloneOnly,omitempty"`
	// SwitchInWindow lets a blue-green or in-place upgrade wait for the instance's maintenance window to switch.
	SwitchInWindow bool `json:"switchInWindow,omitempty"`

	// WaitForStandbys lets the switchover wait until the target has standbys as the source has: clients
	// wait while they are copied, where the target does not run before. Without them it does not switch.
	WaitForStandbys bool `json:"waitForStandbys,omitempty"`
	// SkipStandbys makes no standbys of the target.
	SkipStandbys bool `json:"skipStandbys,omitempty"`
	// CloneFrom is the standby, on the source's host, that the clone is copied from, to spare the source: its
	// data directory, or HOST:PORT.
	CloneFrom string `json:"cloneFrom,omitempty"`
}

// MaxTableGroups caps Options.TableGroups: each group is a walsender that decodes all WAL.
const MaxTableGroups = 8

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
	if o.TableGroups == 0 {
		o.TableGroups = 1
	}
	if o.Transfer == "" {
		o.Transfer = TransferAuto
	}
	return o
}

// SchemaRehearsalBounds are how long a schema rehearsal may take, and how many bytes of disk.
func (o Options) SchemaRehearsalBounds() (timeout time.Duration, disk int64) {
	timeout, disk = o.SchemaRehearsalTimeout, o.SchemaRehearsalDisk
	if timeout == 0 {
		timeout = DefaultSchemaRehearsalTimeout
	}
	if disk == 0 {
		disk = DefaultSchemaRehearsalDisk
	}
	return timeout, disk
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
	if o.Jobs < 0 || o.Jobs > 64 {
		return fmt.Errorf("jobs %d: choose between 1 and 64", o.Jobs)
	}
	if o.TableGroups < 1 || o.TableGroups > MaxTableGroups {
		return fmt.Errorf("tableGroups %d: choose between 1 and %d", o.TableGroups, MaxTableGroups)
	}
	if o.AllowDDL && o.TableGroups > 1 {
		return errors.New("allowDDL does not go with tableGroups above 1: groups have no order among them")
	}
	if _, port, err := net.SplitHostPort(o.CloneFrom); o.CloneFrom != "" && !filepath.IsAbs(o.CloneFrom) && (err != nil || port == "") {
		return fmt.Errorf("cloneFrom %q: give a data directory, or HOST:PORT", o.CloneFrom)
	}
	if o.WaitForStandbys && o.SkipStandbys {
		return errors.New("waitForStandbys does not go with skipStandbys")
	}
	if timeout, disk := o.SchemaRehearsalBounds(); timeout < time.Second || disk < 64<<20 {
		return fmt.Errorf("schemaRehearsalTimeout %s, schemaRehearsalDisk %d bytes: choose at least 1s and 64 MiB", timeout, disk)
	}
	if !slices.Contains(Transfers(), o.Transfer) {
		return fmt.Errorf("transfer %q: choose one of %q", o.Transfer, Transfers())
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
	// Hooks are what is run around the switch; nil: nothing.
	Hooks *Hooks `json:"hooks,omitempty"`
	// Reversed tells that Source and Target are exchanged: the plan is that of a switchback.
	Reversed bool `json:"reversed,omitempty"`
}

// Back is the plan of the way back: clients are at what was the target.
func (p Plan) Back() Plan {
	p.Source, p.Target = p.Target, p.Source
	p.Reversed = !p.Reversed
	return p
}

// Involves tells whether a cluster, known by its data directory, is one of the two that clients go between.
func (p Plan) Involves(c Cluster) bool {
	is := func(one Cluster) bool {
		return one.Host == c.Host && filepath.Clean(one.Pgdata) == filepath.Clean(c.Pgdata)
	}
	return is(p.Source) || is(p.Target)
}

// Follows is the name of the subscriptions on the plan's target, which follow the plan's source.
func (p Plan) Follows() string {
	if p.Reversed {
		return BackSubscription
	}
	return Subscription
}

// OppositeSlot is the name of the slot on the plan's target, in the database with an oid there, from
// which the other side follows when clients have come to the target.
func (p Plan) OppositeSlot(databaseOID uint32) string {
	if p.Reversed {
		return SlotName(databaseOID)
	}
	return BackSlotName(databaseOID)
}

// made is the cluster that the upgrade makes, whichever way the plan goes.
func (p Plan) made() Cluster {
	if p.Reversed {
		return p.Source
	}
	return p.Target
}

// Workdir is the directory beside the pgdata of the cluster that the upgrade makes, on the same file system
// and owned by the cluster's owner, that holds what PostgreSQL's programs need for an upgrade only:
// the clone, the passfile, and the logs of the servers.
func (p Plan) Workdir() string { return p.made().Pgdata + ".pgleap" }

// ClonePgdata is the data directory of the physical clone.
func (p Plan) ClonePgdata() string { return filepath.Join(p.Workdir(), "clone") }

// Passfile is the .pgpass file with the password of pgleap's role.
func (p Plan) Passfile() string { return filepath.Join(p.Workdir(), "passfile") }

// The names of what pgleap creates in clusters. Each is removed when the upgrade ends.
const (
	// VerificationSession is the application_name of its sessions that compare both sides, or hold what is compared.
	VerificationSession = "pgleap verification"
	Role                = "pgleap" // its role: superuser, for replication and the switchover
	Schema              = "pgleap" // its schema, with the marker table
	Publication         = "pgleap_forward"
	Subscription        = "pgleap_forward" // on the target: it follows the source
	BackSubscription    = "pgleap_back"    // on the source: it follows the target after a switchover
	BaseBackupSlot      = "pgleap_base_backup"
)

// SlotName is the name of the logical slot of a database on the source, by the database's oid there.
func SlotName(databaseOID uint32) string { return fmt.Sprintf("pgleap_%d", databaseOID) }

// BackSlotName is the name of the logical slot of a database on the target, by the database's oid there.
func BackSlotName(databaseOID uint32) string { return fmt.Sprintf("pgleap_back_%d", databaseOID) }
