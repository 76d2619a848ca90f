package upgrade

// What pg_upgrade adds, measured with 13 to 19: the catalogs and the dump of a database, and of a relation. A
// relation has about three files, a fresh database about three hundred, in each of two clusters.
const (
	diskPerDatabase    = 20 << 20
	diskPerRelation    = 4 << 10
	filesPerRelation   = 3
	inodesPerDatabase  = 1000
	memoryPerServer    = 256 << 20 // what sessions and pg_upgrade's programs take beside the shared buffers
	memoryPerRelation  = 8 << 10   // of pg_dump and pg_restore, which hold all definitions of a database
	spareDataPerNeeded = 20        // data grows by a twentieth meanwhile
)

// copies tells whether a way to upgrade makes a copy of the data.
func copies(mode Mode, transfer Transfer) bool {
	switch mode {
	case BlueGreen, ZeroDowntime, Logical:
		return true
	case InPlace:
	}
	return transfer == TransferCopy || transfer == TransferCopyFileRange
}

// catalogs is what the target's own catalogs and pg_upgrade's dumps take.
func (w Workload) catalogs() int64 {
	return w.Databases*diskPerDatabase + max(w.Relations, w.Files/filesPerRelation)*diskPerRelation
}

// DiskNeeded is the bytes that an upgrade takes on the target's file system. A physical clone is a full copy (a base
// backup copies files as they are, and what lies beside them) with room for its growth and for WAL, until its first
// checkpoints; pg_upgrade links the clone's files. In place only what is copied is taken twice. A logical copy is written
// anew, with its indexes.
func (w Workload) DiskNeeded(mode Mode, transfer Transfer) int64 {
	need := w.catalogs()
	switch {
	case mode == InPlace && copies(mode, transfer):
		need += w.DataBytes
	case mode == Logical:
		need += w.DataBytes + w.DataBytes/5 + w.MaxWALSize
	case mode != InPlace:
		need += w.DataBytes + w.DataBytes/spareDataPerNeeded + w.OtherBytes + w.MaxWALSize
	}
	return need
}

// InodesNeeded is the files that an upgrade adds to the target's file system: one for each, unless the source's own are
// linked or moved.
func (w Workload) InodesNeeded(mode Mode, transfer Transfer) int64 {
	if mode == InPlace && (transfer == TransferLink || transfer == TransferSwap) {
		return w.Databases * inodesPerDatabase
	}
	return w.Files + w.Databases*inodesPerDatabase
}

// memoryPerLargeObject is what pg_dump takes for each, measured with 200000 of them: before 17 each is an entry of its
// own in a dump's table of contents, then a thousand share one, and from 19 on they are copied as rows of their catalog.
func memoryPerLargeObject(target Major) int64 {
	switch {
	case target < 17:
		return 800
	case target < 19:
		return 256
	}
	return 0
}

// LeastMemory is what the host must have available: below it, it swaps or kills. Where source and target run
// beside each other the target has the same shared_buffers, and a server takes a tenth more than these.
func (w Workload) LeastMemory(mode Mode, target Major) int64 {
	need := memoryPerServer + w.Relations*memoryPerRelation + w.LargeObjects*memoryPerLargeObject(target)
	if mode != InPlace {
		need += w.SharedBuffers + w.SharedBuffers/10
	}
	return need
}

// Memory is what the host should have available: as much again for what the target reads, which the page
// cache then holds, as its shared buffers.
func (w Workload) Memory(mode Mode, target Major) int64 {
	return w.LeastMemory(mode, target) + w.SharedBuffers
}

// TotalMemory is the memory that a host should have: that of the source that runs there, and what the
// upgrade adds. least is what it must have.
func (w Workload) TotalMemory(mode Mode, target Major) (least, recommended int64) {
	source := w.SharedBuffers + w.SharedBuffers/10 + memoryPerServer
	return source + w.LeastMemory(mode, target), source + w.SharedBuffers + w.Memory(mode, target)
}

// gigabytes rounds up.
func gigabytes(bytes int64) int64 { return (bytes + 1<<30 - 1) >> 30 }
