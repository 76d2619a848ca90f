package step

import (
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Short host activities: they answer within seconds and change nothing.
const (
	// Discover lists the clusters of the host. Argument: none (nil); result: []Discovered.
	Discover = "Discover"
	// RecheckFindings looks again whether what an upgrade left to be mended is. Argument:
	// RecheckFindingsArgs; result: []upgrade.OpenFinding, those that are open still.
	RecheckFindings = "RecheckFindings"
	// Installations lists the versions of PostgreSQL that are installed completely.
	// Argument: none (nil); result: []upgrade.VersionNum.
	Installations = "Installations"
	// RetireCluster stops a former cluster. Argument: upgrade.Cluster; result: Done.
	RetireCluster = "RetireCluster"
	// Inspect asks a running cluster who it is. Argument: InspectArgs; result: upgrade.Cluster.
	Inspect = "Inspect"
	// ChooseTarget decides on the target of an upgrade, and refuses what cannot be.
	// Argument: ChooseTargetArgs; result: upgrade.Cluster.
	ChooseTarget = "ChooseTarget"
	// CheckEndpoint tells whether the endpoint is there and leads to the cluster.
	// Argument: CheckEndpointArgs; result: Done.
	CheckEndpoint = "CheckEndpoint"
	// Fingerprint tells what a report would see now. Argument: upgrade.Plan; result: upgrade.Fingerprint.
	Fingerprint = "Fingerprint"
)

// Host activities around the endpoint.
const (
	// MakeEndpoint starts a PgBouncer for an instance, or adopts one. Idempotent.
	// Argument: MakeEndpointArgs; result: upgrade.Endpoint.
	MakeEndpoint = "MakeEndpoint"
	// RemoveEndpoint stops an owned PgBouncer and removes its files; an adopted one is left alone.
	// Argument: upgrade.Endpoint.
	RemoveEndpoint = "RemoveEndpoint"
)

// Host activities of an upgrade, in the order of the story. Unless noted, the argument is
// upgrade.Plan and the result is Done.
const (
	Precheck         = "Precheck" // argument: PrecheckArgs; result: upgrade.Report
	PrepareSource    = "PrepareSource"
	BaseBackup       = "BaseBackup"   // long
	StreamClone      = "StreamClone"  // long: until the clone streams and is close behind
	CreateSlots      = "CreateSlots"  // long: waits for running transactions; result: Handover
	PromoteClone     = "PromoteClone" // argument: HandoverArgs
	InitTarget       = "InitTarget"
	PgUpgrade        = "PgUpgrade" // long
	StartTarget      = "StartTarget"
	Subscribe        = "Subscribe" // argument: HandoverArgs
	UpdateExtensions = "UpdateExtensions"
	// PrepareWayBack makes what is needed to go back after the switchover.
	PrepareWayBack    = "PrepareWayBack"
	CollectStatistics = "CollectStatistics" // long
	// RefreshMaterializedViews fills the target's materialized views from what it holds by now.
	RefreshMaterializedViews = "RefreshMaterializedViews" // long
	// Synchronize follows the lag until it is cancelled, or, when asked to, until the lag is small, or until
	// there is something to be told. Argument: SynchronizeArgs; result: Synchronized.
	Synchronize = "Synchronize" // long
	// SwitchOver is the critical section; argument: SwitchOverArgs; result: upgrade.Switchover. Not
	// switching is a result, not an error: it says why. After a crash it finishes or undoes what
	// its journal tells.
	SwitchOver = "SwitchOver"
	// Verify compares all that both sides held in the snapshots that an attempt has kept.
	// Argument: VerifyArgs; result: upgrade.Verification.
	Verify = "Verify" // long
	// OpenWayBack lets the side that clients have left follow the other one after an attempt that
	// switched, and proves that what is written arrives. Argument: OpenWayBackArgs; result: Done.
	OpenWayBack = "OpenWayBack"
	// FenceForGood bars the pg_hba.conf of the plan's source after the switchover.
	FenceForGood = "FenceForGood"
	// CloseWayBack drops the slots of the way back, which fill the disk of the side that serves. The upgrade is
	// finished later. Result: Done.
	CloseWayBack = "CloseWayBack"
	// Finish removes what the replication needed, on both sides, and reports the target as it is now.
	Finish = "Finish" // result: FinishResult
	// Discard undoes everything before the switchover: the source is as it was, the target gone.
	Discard = "Discard"
)

// Done is the result of a step that only has something to tell.
type Done struct {
	Events []upgrade.Event `json:"events,omitempty"`
	// Findings are what could not be done, and waits to be mended; nil: it was not looked for.
	Findings []upgrade.OpenFinding `json:"findings"`
}

// RecheckFindingsArgs names a cluster and what is open of it.
type RecheckFindingsArgs struct {
	Cluster  upgrade.Cluster       `json:"cluster"`
	Findings []upgrade.OpenFinding `json:"findings"`
	// Retry does again what could not be done.
	Retry bool `json:"retry,omitempty"`
}

// Discovered is a cluster found on the host.
type Discovered struct {
	Cluster upgrade.Cluster `json:"cluster"`
	Running bool            `json:"running"`
	// Problem tells why the cluster cannot be used as it is, in a sentence. Empty: none is known.
	Problem string `json:"problem,omitempty"`
}

// InspectArgs finds a cluster by its data directory, or else by its port.
type InspectArgs struct {
	Pgdata    string `json:"pgdata,omitempty"`
	Port      int    `json:"port,omitempty"`
	Superuser string `json:"superuser,omitempty"` // default: the bootstrap superuser, then the owner's name
}

// ChooseTargetArgs is what the user wants of the target.
type ChooseTargetArgs struct {
	Source upgrade.Cluster `json:"source"`
	Major  upgrade.Major   `json:"major"`
	Pgdata string          `json:"pgdata,omitempty"` // empty: beside the source's, by the host's custom
	Port   int             `json:"port,omitempty"`   // 0: a free one
	// InPlace says that the target takes the source's place, and its service with it.
	InPlace bool `json:"inPlace,omitempty"`
}

// MakeEndpointArgs is what the user wants of the endpoint.
type MakeEndpointArgs struct {
	Instance string          `json:"instance"`
	Cluster  upgrade.Cluster `json:"cluster"`
	// Endpoint with Owned set and Listen.Port (0: a free one) makes one; otherwise Console and
	// Ini tell which PgBouncer to adopt.
	Endpoint upgrade.Endpoint `json:"endpoint"`
}

// CheckEndpointArgs names an endpoint and the cluster that it must lead to.
type CheckEndpointArgs struct {
	Endpoint upgrade.Endpoint `json:"endpoint"`
	Cluster  upgrade.Cluster  `json:"cluster"`
}

// Slot is a logical slot of one database on the source: its only one, or that of a table group.
type Slot struct {
	Database    string `json:"database"`
	DatabaseOID uint32 `json:"databaseOID"`     // on the source
	Group       int    `json:"group,omitempty"` // counted from 1; 0: it delivers all tables
	Name        string `json:"name"`
	LSN         string `json:"lsn"` // its consistent point
}

// Handover is the exact point at which physical replication ends and logical replication begins.
type Handover struct {
	Done
	LSN   string `json:"lsn"` // X: not before any slot's consistent point
	Slots []Slot `json:"slots"`
}

// HandoverArgs is a plan with its hand-over.
type HandoverArgs struct {
	Plan     upgrade.Plan `json:"plan"`
	Handover Handover     `json:"handover"`
}

// SynchronizeArgs says when Synchronize ends by itself.
type SynchronizeArgs struct {
	Plan upgrade.Plan `json:"plan"`
	// UntilReady ends it as soon as a switchover can be expected to succeed.
	UntilReady bool `json:"untilReady"`
	// Told is what the user was told before, see Synchronized.
	Told map[string]int `json:"told,omitempty"`
	// TellNews lets FollowSource end, too, when there is something to be told. A server of an older program would take
	// that for a clone that has caught up.
	TellNews bool `json:"tellNews,omitempty"`
}

// Synchronized is why Synchronize, or FollowSource, ended by itself.
type Synchronized struct {
	Done
	// Told is what the user has been told, with what the events tell: of the slots of others that keep WAL on the
	// side that follows, by slot, of what is kept for the upgrade, and whether the lag could be measured. It is for
	// Synchronize alone to read. nil: it ended for something else.
	Told map[string]int `json:"told,omitempty"`
}

// Phase is that of an upgrade while the step runs.
func (a SynchronizeArgs) Phase() upgrade.Phase {
	if a.Plan.Reversed {
		return upgrade.PhaseFollowing
	}
	return upgrade.PhaseSynchronizing
}

// OpenWayBackArgs names the attempt that switched. The plan is that attempt's.
type OpenWayBackArgs struct {
	Plan    upgrade.Plan `json:"plan"`
	Attempt int          `json:"attempt"`
}

// SwitchOverArgs numbers the attempts of an upgrade to switch over: each has a journal of its own.
type SwitchOverArgs struct {
	Plan    upgrade.Plan `json:"plan"`
	Attempt int          `json:"attempt"`
	// SettleOnly ends the attempt, if it had begun, instead of beginning it.
	SettleOnly bool `json:"settleOnly,omitempty"`
	// Rehearse ends it before the commit point.
	Rehearse bool `json:"rehearse,omitempty"`
	// Keep keeps the snapshots of both sides for Verify.
	Keep bool `json:"keep,omitempty"`
	// NotAfter is when it is too late to begin a switch to a clone; zero: never.
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Phase is that of an upgrade while the step runs.
func (a SwitchOverArgs) Phase() upgrade.Phase {
	switch {
	case a.Rehearse:
		return upgrade.PhaseRehearsal
	case a.Plan.Reversed:
		return upgrade.PhaseSwitchback
	}
	return upgrade.PhaseSwitchover
}

// VerifyArgs names an attempt.
type VerifyArgs struct {
	Plan    upgrade.Plan `json:"plan"`
	Attempt int          `json:"attempt"`
}

// FinishResult tells how the target stands when the upgrade is over.
type FinishResult struct {
	Done
	Cluster  upgrade.Cluster  `json:"cluster"`
	Endpoint upgrade.Endpoint `json:"endpoint"`
	// Switchover is the one that led clients to the target, from its journal; nil after an upgrade in place.
	Switchover *upgrade.Switchover `json:"switchover,omitempty"`
}
