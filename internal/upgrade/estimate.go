package upgrade

import (
	"math"
	"time"
)

// Estimate is what an upgrade will need, as its precheck measured it: docs/estimates.md tells how.
type Estimate struct {
	// Disk is the bytes needed on the target's file system, Memory and LeastMemory what the host should and
	// must have available. All are in bytes.
	Disk        int64 `json:"disk"`
	Memory      int64 `json:"memory"`
	LeastMemory int64 `json:"leastMemory"`
	// Transfer is missing in other modes than in place, and if what was asked for is refused.
	Transfer *ChosenTransfer `json:"transfer,omitempty"`
	// Phases are those that take time by themselves; how long a user waits, and keeps the way back
	// open, is not part of it.
	Phases []PhaseEstimate `json:"phases,omitempty"`
	Total  time.Duration   `json:"total"`
	// Pause is how long nobody can write.
	Pause time.Duration `json:"pause"`
	// Ways are the same numbers for the other modes and transfers.
	Ways     []Way    `json:"ways,omitempty"`
	Workload Workload `json:"workload"`
	Speed    Speed    `json:"speed"`
	// Recommended is the size of a host for the upgrade.
	Recommended Size `json:"recommended"`
}

// PhaseEstimate is how long a phase will take.
type PhaseEstimate struct {
	Phase    Phase         `json:"phase"`
	Duration time.Duration `json:"duration"`
}

// Way is a mode, with a transfer where that makes a difference, and what it would need.
type Way struct {
	Mode        Mode          `json:"mode"`
	Transfer    Transfer      `json:"transfer,omitempty"`
	Disk        int64         `json:"disk"`
	LeastMemory int64         `json:"leastMemory"`
	Total       time.Duration `json:"total"`
	Pause       time.Duration `json:"pause"`
}

// Size is that of a host, in gigabytes.
type Size struct {
	DiskGB        int64 `json:"diskGB"`
	MemoryGB      int64 `json:"memoryGB"`
	LeastMemoryGB int64 `json:"leastMemoryGB"`
}

// NewEstimate estimates the upgrade of a plan.
func NewEstimate(plan Plan, w Workload, s Speed) Estimate {
	options := plan.Options.WithDefaults()
	c := course{w: w, s: s, mode: plan.Mode, transfer: options.Transfer, options: options, target: plan.Target.Version.Major()}
	e := Estimate{
		Disk: w.DiskNeeded(c.mode, c.transfer), Memory: w.Memory(c.mode, c.target), LeastMemory: w.LeastMemory(c.mode, c.target),
		Workload: w, Speed: s, Phases: c.phases(), Pause: c.pause(),
	}
	e.Total = total(e.Phases)
	least, recommended := w.TotalMemory(c.mode, c.target)
	e.Recommended = Size{DiskGB: gigabytes(w.DataBytes + w.OtherBytes + e.Disk), MemoryGB: gigabytes(recommended), LeastMemoryGB: gigabytes(least)}
	for _, way := range []Way{
		{Mode: InPlace, Transfer: TransferLink},
		{Mode: InPlace, Transfer: TransferCopy},
		{Mode: BlueGreen},
		{Mode: ZeroDowntime},
	} {
		c.mode, c.transfer = way.Mode, way.Transfer
		way.Disk, way.LeastMemory = w.DiskNeeded(way.Mode, way.Transfer), w.LeastMemory(way.Mode, c.target)
		way.Total, way.Pause = total(c.phases()), c.pause()
		e.Ways = append(e.Ways, way)
	}
	return e
}

func total(phases []PhaseEstimate) time.Duration {
	var sum time.Duration
	for _, p := range phases {
		sum += p.Duration
	}
	return sum
}

// course is one way through an upgrade.
type course struct {
	w        Workload
	s        Speed
	mode     Mode
	transfer Transfer
	options  Options
	target   Major
}

// What takes its time whatever the size, measured on two cores: to make a data directory and servers start
// and stop, to open and close a base backup, to turn from physical to logical replication, to tidy up.
const (
	fixedPrepare    = 2 * time.Second
	fixedBaseBackup = 5 * time.Second
	fixedHandover   = 5 * time.Second
	fixedPgUpgrade  = 3 * time.Second
	fixedSubscribe  = 3 * time.Second
	fixedSwitch     = 2 * time.Second // to prepare and to note it; clients do not wait
	fixedFinish     = 3 * time.Second
	fixedStop       = time.Second
	fixedStart      = time.Second
	fixedReplay     = time.Second           // until the clone has the last of the WAL, and is promoted
	logicalPause    = 35 * time.Millisecond // of sixty switchovers under load the median was 28 ms, the longest 41 ms
	perSequence     = 20 * time.Microsecond
	perRelation     = time.Millisecond
	perLargeObject  = 150 * time.Microsecond // before 19
	perFileLinked   = 50 * time.Microsecond
	perRelAnalyzed  = 5 * time.Millisecond
	// sampled is what ANALYZE reads of a table at most: 300 rows for each of 100 buckets, each in a block of its own.
	sampled = 30_000 * 8 << 10
)

// Rates for where none were measured: those of a slow disk.
const (
	slowRead  = 100 << 20
	slowWrite = 80 << 20
)

// phases lists the mode's phases that take time, in order.
func (c course) phases() []PhaseEstimate {
	switch c.mode {
	case InPlace:
		return []PhaseEstimate{
			{PhasePrepareTarget, fixedPrepare + fixedStart},
			{PhaseUpgrade, c.pause()},
			{PhaseFinishing, fixedFinish + c.unless(c.statisticsInPause(), c.statistics())},
		}
	case BlueGreen:
		return []PhaseEstimate{
			{PhasePrepare, fixedPrepare},
			{PhaseBaseBackup, c.baseBackup()},
			c.blueGreenUpgrade(),
			{PhaseFinishing, fixedFinish + c.unless(c.statisticsInPause(), c.statistics())},
		}
	case ZeroDowntime, Logical:
	}
	before := c.baseBackup() + c.pgUpgrade(TransferLink) + c.statistics()
	return []PhaseEstimate{
		{PhasePrepare, fixedPrepare},
		{PhaseBaseBackup, c.baseBackup()},
		{PhaseHandover, fixedHandover},
		{PhaseUpgrade, c.pgUpgrade(TransferLink)},
		{PhaseSubscribe, fixedSubscribe + c.statistics()},
		{PhaseSynchronizing, c.catchUp(before)},
		{PhaseSwitchover, fixedSwitch + c.pause()},
		{PhaseFinishing, fixedFinish},
	}
}

// blueGreenUpgrade is in the pause where clients are switched.
func (c course) blueGreenUpgrade() PhaseEstimate {
	if c.options.CloneOnly {
		return PhaseEstimate{PhaseUpgrade, fixedReplay + c.pgUpgrade(TransferLink) + fixedStart}
	}
	return PhaseEstimate{PhaseSwitchover, fixedSwitch + c.pause()}
}

func (c course) unless(already bool, d time.Duration) time.Duration {
	if already {
		return 0
	}
	return d
}

// pause is how long nobody can write.
func (c course) pause() time.Duration {
	statistics := c.unless(!c.statisticsInPause(), c.statistics())
	switch {
	case c.mode == InPlace:
		return fixedStop + c.pgUpgrade(c.transfer) + fixedStart + statistics
	case c.mode == BlueGreen && c.options.CloneOnly && c.transfer == c.options.Transfer:
		return 0
	case c.mode == BlueGreen:
		return fixedReplay + fixedStop + c.pgUpgrade(TransferLink) + fixedStart + statistics
	}
	return logicalPause + scaled(perSequence, c.w.Sequences) + c.read(c.w.LargeObjectBytes) + c.copied(c.w.UnloggedBytes)
}

func (c course) statisticsInPause() bool {
	return c.mode != ZeroDowntime && c.options.Statistics == StatisticsBefore && !c.options.CloneOnly
}

// baseBackup reads all data and writes it; source and target may be on one disk, so one after the other.
func (c course) baseBackup() time.Duration {
	return fixedBaseBackup + c.copied(c.w.DataBytes+c.w.OtherBytes)
}

// read is how long it takes to read.
func (c course) read(bytes int64) time.Duration {
	return seconds(float64(bytes) / orElse(c.s.ReadRate, slowRead))
}

// copied is how long it takes to read and to write.
func (c course) copied(bytes int64) time.Duration {
	return seconds(float64(bytes)/orElse(c.s.ReadRate, slowRead) + float64(bytes)/orElse(c.s.WriteRate, slowWrite))
}

// pgUpgrade goes by the time that the schema rehearsal's took, by the number of relations, and adds what that one
// had not: the data's files, and large objects, each of which is restored by itself before 19.
func (c course) pgUpgrade(transfer Transfer) time.Duration {
	took := fixedPgUpgrade + scaled(perRelation, c.w.Relations)
	if c.s.SchemaUpgrade > 0 {
		took = c.s.SchemaUpgrade + scaled(c.measuredPerRelation(), max(0, c.w.Relations-c.s.SchemaRelations))
	}
	if c.target < 19 {
		took += scaled(perLargeObject, c.w.LargeObjects)
	}
	switch transfer {
	case TransferCopy, TransferCopyFileRange:
		return took + c.copied(c.w.DataBytes)
	case TransferAuto, TransferClone, TransferLink, TransferSwap:
	}
	return took + scaled(perFileLinked, c.w.Files)
}

// measuredPerRelation is never less than a fixed part would leave of it.
func (c course) measuredPerRelation() time.Duration {
	if c.s.SchemaRelations == 0 {
		return perRelation
	}
	return max(perRelation/2, (c.s.SchemaUpgrade-fixedPgUpgrade)/time.Duration(c.s.SchemaRelations))
}

// statistics are what ANALYZE reads. From 18 on pg_upgrade carries them over.
func (c course) statistics() time.Duration {
	took := scaled(perRelAnalyzed, c.w.Relations)
	if c.target >= 18 && c.mode != Logical {
		return took / 5
	}
	read := min(c.w.DataBytes, c.w.Relations*sampled)
	return took + seconds(float64(read)/orElse(c.s.ReadRate, slowRead))
}

// catchUp applies the WAL that the source has written meanwhile. Row by row that is slower than it was written:
// taken is a tenth of what the disk can write.
func (c course) catchUp(before time.Duration) time.Duration {
	apply := orElse(c.s.WriteRate, slowWrite) / 10
	left := max(apply-c.w.WALRate, apply/20) // if it never caught up, its lag would tell
	return time.Second + seconds(c.w.WALRate*before.Seconds()/left)
}

func orElse(rate, without float64) float64 {
	if rate > 0 {
		return rate
	}
	return without
}

// scaled and seconds do not overflow: a year is long enough.
func scaled(d time.Duration, n int64) time.Duration { return seconds(d.Seconds() * float64(n)) }

func seconds(s float64) time.Duration {
	const year = 365 * 24 * 3600
	if math.IsNaN(s) || s < 0 {
		return 0
	}
	return time.Duration(min(s, year) * float64(time.Second))
}
