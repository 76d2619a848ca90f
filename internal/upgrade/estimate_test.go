package upgrade

import (
	"fmt"
	"testing"
	"time"
)

// aWorkload is what invariants begin with.
func aWorkload() Workload {
	return Workload{
		DataBytes: 10 << 30, Files: 3000, Databases: 3, Relations: 800, Sequences: 50, LargeObjects: 10,
		WALRate: 1 << 20, MaxWALSize: 1 << 30, SharedBuffers: 128 << 20,
	}
}

func aSpeed() Speed { return Speed{ReadRate: 500 << 20, WriteRate: 200 << 20} }

func estimated(mode Mode, transfer Transfer, w Workload, s Speed) Estimate {
	return NewEstimate(Plan{
		Mode: mode, Target: Cluster{Version: 170011}, Options: Options{Transfer: transfer}.WithDefaults(),
	}, w, s)
}

func TestMoreNeverTakesLess(t *testing.T) {
	more := map[string]func(*Workload, *Speed){
		"data":                    func(w *Workload, _ *Speed) { w.DataBytes *= 3 },
		"files beside the data":   func(w *Workload, _ *Speed) { w.OtherBytes += 1 << 30 },
		"files":                   func(w *Workload, _ *Speed) { w.Files *= 3 },
		"databases":               func(w *Workload, _ *Speed) { w.Databases *= 3 },
		"relations":               func(w *Workload, _ *Speed) { w.Relations *= 3 },
		"sequences":               func(w *Workload, _ *Speed) { w.Sequences *= 300 },
		"large objects":           func(w *Workload, _ *Speed) { w.LargeObjects *= 30000 },
		"contents of those":       func(w *Workload, _ *Speed) { w.LargeObjectBytes += 1 << 30 },
		"unlogged tables":         func(w *Workload, _ *Speed) { w.UnloggedBytes += 1 << 30 },
		"WAL":                     func(w *Workload, _ *Speed) { w.WALRate *= 30 },
		"more WAL than can be":    func(w *Workload, _ *Speed) { w.WALRate *= 1e6 },
		"WAL between checkpoints": func(w *Workload, _ *Speed) { w.MaxWALSize *= 3 },
		"buffers":                 func(w *Workload, _ *Speed) { w.SharedBuffers *= 3 },
		"a slower disk to read":   func(_ *Workload, s *Speed) { s.ReadRate /= 3 },
		"a slower disk to write":  func(_ *Workload, s *Speed) { s.WriteRate /= 3 },
		"a slower pg_upgrade":     func(_ *Workload, s *Speed) { s.SchemaUpgrade, s.SchemaRelations = time.Hour, 800 },
		"a part not rehearsed":    func(w *Workload, s *Speed) { s.SchemaUpgrade, s.SchemaRelations = 20*time.Second, 100; w.Relations++ },
	}
	for _, mode := range []Mode{InPlace, BlueGreen, ZeroDowntime} {
		for _, transfer := range Transfers() {
			before := estimated(mode, transfer, aWorkload(), aSpeed())
			for what, change := range more {
				w, s := aWorkload(), aSpeed()
				change(&w, &s)
				after := estimated(mode, transfer, w, s)
				name := fmt.Sprintf("%s, %s, more %s", mode, transfer, what)
				if after.Disk < before.Disk || after.Memory < before.Memory || after.LeastMemory < before.LeastMemory {
					t.Errorf("%s: takes less room: %+v, then %+v", name, before, after)
				}
				if after.Total < before.Total || after.Pause < before.Pause {
					t.Errorf("%s: takes less time: %s with a pause of %s, then %s with %s", name, before.Total, before.Pause, after.Total, after.Pause)
				}
				for i, p := range after.Phases {
					if p.Duration < before.Phases[i].Duration {
						t.Errorf("%s: %s takes %s, then %s", name, p.Phase, before.Phases[i].Duration, p.Duration)
					}
				}
			}
		}
	}
}

func TestEstimateIsConsistent(t *testing.T) {
	for _, mode := range []Mode{InPlace, BlueGreen, ZeroDowntime} {
		for _, transfer := range Transfers() {
			e := estimated(mode, transfer, aWorkload(), aSpeed())
			name := fmt.Sprintf("%s, %s", mode, transfer)
			if e.LeastMemory > e.Memory || e.Recommended.LeastMemoryGB > e.Recommended.MemoryGB {
				t.Errorf("%s: must have more memory than it should: %+v", name, e)
			}
			if e.Pause > e.Total || e.Pause <= 0 {
				t.Errorf("%s: a pause of %s in %s", name, e.Pause, e.Total)
			}
			if have := e.Recommended.DiskGB << 30; have < e.Disk+e.Workload.DataBytes {
				t.Errorf("%s: recommends %d bytes of disk for %d", name, have, e.Disk+e.Workload.DataBytes)
			}
		}
	}
	waits := map[Mode]time.Duration{}
	for _, way := range estimated(ZeroDowntime, TransferAuto, aWorkload(), aSpeed()).Ways {
		waits[way.Mode] = max(waits[way.Mode], way.Pause)
	}
	if waits[ZeroDowntime] >= waits[BlueGreen] || waits[BlueGreen] >= waits[InPlace] {
		t.Errorf("pauses: got %v, want zero-downtime the shortest, and in place with a copy the longest", waits)
	}
	alone := Plan{Mode: BlueGreen, Target: Cluster{Version: 170011}, Options: Options{CloneOnly: true}}
	if e := NewEstimate(alone, aWorkload(), aSpeed()); e.Pause != 0 || e.Total == 0 {
		t.Errorf("a clone alone: got a pause of %s, %s in all", e.Pause, e.Total)
	}
}

func TestEstimateGoesByTheRehearsal(t *testing.T) {
	w := Workload{Databases: 1, Relations: 1000}
	for _, c := range []struct {
		name string
		s    Speed
		want time.Duration // of pg_upgrade
	}{
		{"nothing measured", Speed{}, 4 * time.Second},
		{"all rehearsed", Speed{SchemaUpgrade: 30 * time.Second, SchemaRelations: 1000}, 30 * time.Second},
		{"half rehearsed", Speed{SchemaUpgrade: 13 * time.Second, SchemaRelations: 500}, 23 * time.Second},
	} {
		for _, p := range estimated(ZeroDowntime, TransferAuto, w, c.s).Phases {
			if p.Phase == PhaseUpgrade && p.Duration != c.want {
				t.Errorf("%s: got %s, want %s", c.name, p.Duration, c.want)
			}
		}
	}
}

func TestDiskNeeded(t *testing.T) {
	const gb = 1 << 30
	w := Workload{DataBytes: 100 * gb, Databases: 1, MaxWALSize: gb}
	for _, c := range []struct {
		mode     Mode
		transfer Transfer
		least    int64
		most     int64
	}{
		{InPlace, TransferLink, 0, gb},
		{InPlace, TransferClone, 0, gb},
		{InPlace, TransferSwap, 0, gb},
		{InPlace, TransferCopy, 100 * gb, 101 * gb},
		{InPlace, TransferCopyFileRange, 100 * gb, 101 * gb},
		{BlueGreen, TransferAuto, 106 * gb, 107 * gb},
		{ZeroDowntime, TransferAuto, 106 * gb, 107 * gb},
		{Logical, TransferAuto, 121 * gb, 122 * gb},
	} {
		if got := w.DiskNeeded(c.mode, c.transfer); got < c.least || got > c.most {
			t.Errorf("%s by %s: got %d MB", c.mode, c.transfer, got>>20)
		}
	}
}

func TestCompare(t *testing.T) {
	at := func(s int) *time.Time { v := time.Unix(int64(s), 0); return &v }
	e := Estimate{Pause: time.Second, Phases: []PhaseEstimate{{PhaseBaseBackup, 10 * time.Second}, {PhaseSynchronizing, 4 * time.Second}}}
	task := Task{
		Switchover: &Switchover{Pause: 20 * time.Millisecond},
		Phases: []PhaseSpan{
			{Phase: PhasePrecheck, StartedAt: *at(0), EndedAt: at(5)},
			{Phase: PhaseBaseBackup, StartedAt: *at(5), EndedAt: at(17)},
			{Phase: PhaseSynchronizing, StartedAt: *at(17), EndedAt: at(20)},
			{Phase: PhaseRehearsal, StartedAt: *at(20), EndedAt: at(21)},
			{Phase: PhaseSynchronizing, StartedAt: *at(21), EndedAt: at(23)},
			{Phase: PhaseFinishing, StartedAt: *at(23)},
		},
	}
	got := Compare(Report{Number: 3, Estimate: &e}, task)
	if got.Report != 3 || got.Pause != (DurationCompared{time.Second, 20 * time.Millisecond}) {
		t.Errorf("got %+v", got)
	}
	if got.Phases[0].Actual != 12*time.Second || got.Phases[1].Actual != 5*time.Second || got.Total != (DurationCompared{14 * time.Second, 17 * time.Second}) {
		t.Errorf("phases: got %+v, total %+v", got.Phases, got.Total)
	}
	if Compare(Report{}, task) != nil {
		t.Error("compared with an estimate that was not made")
	}
}

// What a switchover reads and copies while clients wait counts, and only there.
func TestPauseHasWhatTheSwitchoverCarries(t *testing.T) {
	for mode, want := range map[Mode]time.Duration{ZeroDowntime: 2*time.Second + 7*time.Second, BlueGreen: 0, InPlace: 0} {
		w := aWorkload()
		before := estimated(mode, TransferAuto, w, aSpeed()).Pause
		w.LargeObjectBytes, w.UnloggedBytes = 1000<<20, 1000<<20
		if got := estimated(mode, TransferAuto, w, aSpeed()).Pause - before; got != want {
			t.Errorf("%s: %s more, want %s", mode, got, want)
		}
	}
}
