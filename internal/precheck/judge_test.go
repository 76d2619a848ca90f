package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Checks that judge facts, without asking a server.
func TestChecksOfFacts(t *testing.T) {
	plan := func(target upgrade.VersionNum) upgrade.Plan {
		return upgrade.Plan{Instance: "shop", Target: upgrade.Cluster{Version: target}}
	}
	settings := func(name, value, unit string) postgres.Settings {
		return postgres.Settings{name: {Name: name, Value: value, Unit: unit}}
	}
	for _, c := range []struct {
		name  string
		check Check
		facts Facts
		want  []Found
	}{
		{"an upgrade", versions, Facts{Version: 150018, Plan: plan(170011)}, nil},
		{"the same version", versions, Facts{Version: 170005, Plan: plan(170011)}, []Found{{Object: "17.5 to 17.11", Note: "the target is not newer"}}},
		{"downwards", versions, Facts{Version: 170005, Plan: plan(150018)}, []Found{{Object: "17.5 to 15.18", Note: "the target is not newer"}}},
		{"an old source", versions, Facts{Version: 120022, Plan: plan(170011)}, []Found{{Object: "12.22 to 17.11", Note: "a source of version 12 is not supported"}}},
		{"a new target", versions, Facts{Version: 150018, Plan: plan(200000)}, []Found{{Object: "15.18 to 20.0", Note: "a target of version 20 is not supported"}}},

		{"a good source minor", sourceMinor, Facts{Version: 150016}, nil},
		{"bullseye's 13", sourceMinor, Facts{Version: 130016}, []Found{{Object: "13.16", Note: "13.22 or later is advised"}}},
		{"a first minor", sourceMinor, Facts{Version: 180000}, []Found{{Object: "18.0", Note: "18.2 or later is advised"}}},

		{"a good target minor", targetMinor, Facts{Plan: plan(170005)}, nil},
		{"another target major", targetMinor, Facts{Plan: plan(180000)}, nil},
		{"a bad target minor", targetMinor, Facts{Plan: plan(170004)}, []Found{{Object: "17.4", Note: "17.5 or later is needed"}}},

		{"no endpoint", endpoint, Facts{Plan: plan(170011)}, []Found{{Object: "shop"}}},
		{"an endpoint", endpoint, Facts{Plan: upgrade.Plan{Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer}}}, nil},

		{"replica is enough for 19", walLevel, Facts{Plan: upgrade.Plan{Mode: upgrade.ZeroDowntime}, Version: 190000, Settings: settings("wal_level", "replica", "")}, nil},
		{"minimal is not enough for 19", walLevel, Facts{Plan: upgrade.Plan{Mode: upgrade.ZeroDowntime}, Version: 190000, Settings: settings("wal_level", "minimal", "")}, []Found{{Object: "wal_level = minimal", SQL: "ALTER SYSTEM SET wal_level = 'logical'"}}},
		{"replica is enough without logical slots", walLevel, Facts{Plan: upgrade.Plan{Mode: upgrade.BlueGreen}, Version: 150018, Settings: settings("wal_level", "replica", "")}, nil},
		{"minimal is not", walLevel, Facts{Plan: upgrade.Plan{Mode: upgrade.BlueGreen}, Version: 150018, Settings: settings("wal_level", "minimal", "")}, []Found{{Object: "wal_level = minimal", SQL: "ALTER SYSTEM SET wal_level = 'replica'"}}},
		{
			"a restart is missing", walLevel,
			Facts{Plan: upgrade.Plan{Mode: upgrade.ZeroDowntime}, Version: 150018, Settings: postgres.Settings{"wal_level": {Name: "wal_level", Value: "replica", PendingRestart: true}}},
			[]Found{{Object: "wal_level = replica", Note: "another value is set and waits for a restart of the source", SQL: "ALTER SYSTEM SET wal_level = 'logical'"}},
		},

		{"extensions that write", backgroundExtensions, Facts{Settings: settings("shared_preload_libraries", `pg_stat_statements, "$libdir/pg_cron",timescaledb.so`, "")}, []Found{{Object: "pg_cron"}, {Object: "timescaledb"}}},

		{"no checksums", dataChecksums, Facts{Settings: settings("data_checksums", "off", "")}, []Found{{Object: "data_checksums = off"}}},
		{"checksums", dataChecksums, Facts{Settings: settings("data_checksums", "on", "")}, nil},

		{
			"too little memory", memory,
			Facts{Workload: Known(upgrade.Workload{SharedBuffers: 1 << 30}, nil), Host: Host{MemoryAvailable: Known(int64(1)<<30, nil)}},
			[]Found{{Object: "shared_buffers = 1.0 GB", Note: "1.0 GB available, about 1.3 GB needed"}},
		},
		{
			"enough memory", memory,
			Facts{Workload: Known(upgrade.Workload{SharedBuffers: 128 << 20}, nil), Host: Host{MemoryAvailable: Known(int64(1)<<30, nil)}},
			nil,
		},

		{"huge pages if there are any", hugePages, Facts{Version: 130016, Settings: settings("huge_pages", "try", "")}, nil},
		{"too few huge pages", hugePages, Facts{Version: 150018, Settings: hugePageSettings("0"), Host: Host{HugePages: Known(map[int64]int64{0: 140 << 20, 1 << 30: 1 << 30}, nil)}}, []Found{{
			Object: "huge_pages = on", Note: "140.0 MB free in huge pages, about 140.8 MB needed", SQL: "ALTER SYSTEM SET huge_pages = 'try'",
		}}},
		{"enough huge pages", hugePages, Facts{Version: 150018, Settings: hugePageSettings("0"), Host: Host{HugePages: Known(map[int64]int64{0: 142 << 20}, nil)}}, nil},
		{"enough of another size", hugePages, Facts{Version: 150018, Settings: hugePageSettings("1048576"), Host: Host{HugePages: Known(map[int64]int64{0: 0, 1 << 30: 1 << 30}, nil)}}, nil},
		{"too few for the clone, which is like the source", hugePages, Facts{
			Version: 150018, Settings: hugePageSettings("0"), Plan: upgrade.Plan{Mode: upgrade.BlueGreen},
			Host: Host{HugePages: Known(map[int64]int64{0: 150 << 20}, nil), HugePagesHeld: Known(int64(152)<<20, nil), Configuration: Known(Configuration{SharedMemory: 146 << 20}, nil)},
		}, []Found{{Object: "huge_pages = on", Note: "150.0 MB free in huge pages, about 152.0 MB needed", SQL: "ALTER SYSTEM SET huge_pages = 'try'"}}},
		{"those of the source are too few for the target, in place", hugePages, Facts{
			Version: 150018, Settings: hugePageSettings("0"), Plan: upgrade.Plan{Mode: upgrade.InPlace},
			Host: Host{HugePages: Known(map[int64]int64{0: 0}, nil), HugePagesHeld: Known(int64(144)<<20, nil), Configuration: Known(Configuration{SharedMemory: 146 << 20}, nil)},
		}, []Found{{Object: "huge_pages = on", Note: "0 bytes free in huge pages, 144.0 MB that the source has, about 146.0 MB needed", SQL: "ALTER SYSTEM SET huge_pages = 'try'"}}},
		{"those of the source suffice, in place", hugePages, Facts{
			Version: 150018, Settings: hugePageSettings("0"), Plan: upgrade.Plan{Mode: upgrade.InPlace},
			Host: Host{HugePages: Known(map[int64]int64{0: 2 << 20}, nil), HugePagesHeld: Known(int64(144)<<20, nil), Configuration: Known(Configuration{SharedMemory: 146 << 20}, nil)},
		}, nil},

		{"a standby to copy", cloneFrom, Facts{}, nil},
		{"none that could be copied", cloneFrom, Facts{Host: Host{CloneFrom: "no standby is there"}}, []Found{{Object: "no standby is there"}}},
		{"a taken port", targetPlace, Facts{Host: Host{TargetProblems: []string{"port 5433 is taken"}}}, []Found{{Object: "port 5433 is taken"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.check.find(context.Background(), &c.facts, Session{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeSpace(t *testing.T) {
	const gb = 1 << 30
	need := Space{Bytes: 10 * gb, Inodes: 5000}
	target := "file system of the target's data directory"
	for _, c := range []struct {
		name           string
		target, source Space
		same           bool
		want           []Found
	}{
		{"plenty", Space{100 * gb, 1e6}, Space{100 * gb, 0}, false, nil},
		{"inodes are not counted", Space{100 * gb, 0}, Space{100 * gb, 0}, false, nil},
		{"the clone does not fit", Space{9 * gb, 1e6}, Space{100 * gb, 0}, false, []Found{{Object: target, Note: "9.0 GB free, 10.0 GB needed"}}},
		{"inodes run out", Space{90 * gb, 4999}, Space{100 * gb, 0}, false, []Found{{Object: "inodes of the file system of the target's data directory", Note: "4999 free, about 5000 needed"}}},
		{
			"the source's WAL does not fit",
			Space{90 * gb, 1e6},
			Space{3 * gb, 0},
			false,
			[]Found{{Object: "file system of the source's WAL", Note: "3.0 GB left for WAL that the slots keep, maxRetainedWAL is 4.0 GB", Severity: upgrade.Warning}},
		},
		{
			"the clone takes the source's space",
			Space{13 * gb, 1e6},
			Space{13 * gb, 0},
			true,
			[]Found{{Object: "file system of the source's WAL", Note: "3.0 GB left for WAL that the slots keep, maxRetainedWAL is 4.0 GB", Severity: upgrade.Warning}},
		},
		{"both fit", Space{14 * gb, 1e6}, Space{14 * gb, 0}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judgeSpace(need, c.target, c.source, c.same, 4*gb)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// What is copied in place counts where it goes: each file system has to have room for its own part.
func TestJudgeSpaceInPlace(t *testing.T) {
	const gb = 1 << 30
	bare, target := Space{Bytes: gb, Inodes: 1000}, Space{Bytes: 10 * gb, Inodes: 9000}
	room := func(need, free Space) Room { return Room{Dir: "/fast", Need: need, Free: free} }
	for _, c := range []struct {
		name   string
		copied Copied
		want   []string
	}{
		{"nothing is copied", Copied{}, nil},
		{"all fits", Copied{ToTarget: Space{9 * gb, 8000}, Elsewhere: []Room{room(Space{gb, 10}, Space{gb, 10})}}, nil},
		{
			"what is copied and what is added do not fit together",
			Copied{ToTarget: Space{Bytes: 9*gb + 1}},
			[]string{"file system of the target's data directory: 10.0 GB free, 10.0 GB needed"},
		},
		{"a tablespace needs none of the target's room", Copied{Elsewhere: []Room{room(Space{Bytes: 50 * gb}, Space{Bytes: 60 * gb})}}, nil},
		{
			"the target's room is none for a tablespace",
			Copied{Elsewhere: []Room{room(Space{2 * gb, 20}, Space{gb, 10})}},
			[]string{"file system of the tablespace at /fast: 1.0 GB free, 2.0 GB needed", "inodes of the file system of the tablespace at /fast: 10 free, about 20 needed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, found := range judgeSpaceInPlace(bare, target, c.copied) {
				got = append(got, found.Object+": "+found.Note)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTransferThatAutoComesTo: what auto ends at is estimated, and wanted of the disk.
func TestTransferThatAutoComesTo(t *testing.T) {
	const gb = 1 << 30
	for _, c := range []struct {
		asked, chosen upgrade.Transfer
		want          upgrade.Transfer // as if this had been asked for
	}{
		{"", "", upgrade.TransferLink}, // it could not be tried
		{upgrade.TransferAuto, upgrade.TransferLink, upgrade.TransferLink},
		{upgrade.TransferAuto, upgrade.TransferCopy, upgrade.TransferCopy},
		{"", upgrade.TransferCopy, upgrade.TransferCopy},
		{upgrade.TransferLink, "", upgrade.TransferLink}, // it is refused
	} {
		t.Run(fmt.Sprintf("%q came to %q", c.asked, c.chosen), func(t *testing.T) {
			estimate := func(asked, chosen upgrade.Transfer) *upgrade.Estimate {
				f := &Facts{Workload: Known(upgrade.Workload{DataBytes: 100 * gb, Databases: 1}, nil), Host: UnseenHost(errors.New("not of interest"))}
				f.Plan.Mode, f.Plan.Options.Transfer, f.Host.Transfer = upgrade.InPlace, asked, Known(Transfer{Chosen: upgrade.ChosenTransfer{Transfer: chosen}}, nil)
				return (&round{facts: f}).estimate(t.Context(), nil)
			}
			got, want := estimate(c.asked, c.chosen), estimate(c.want, c.want)
			if got.Pause != want.Pause || got.Disk != want.Disk {
				t.Errorf("got a pause of %s and %s on disk, want %s and %s", got.Pause, bytes(got.Disk), want.Pause, bytes(want.Disk))
			}
		})
	}
}

// TestAcceptableObjects: all that is said of an object stands beside it, and what is to be accepted yet comes first.
func TestAcceptableObjects(t *testing.T) {
	const many = upgrade.MaxObjects + 2
	var found []located
	var all []string
	for i := range many {
		object := fmt.Sprintf("shop.public.t%d", i)
		found = append(found, located{Found: Found{Object: object, Note: fmt.Sprintf("%d rows", i)}})
		all = append(all, "losing:"+object)
	}
	check := Check{ID: "losing", Acceptable: true, Why: "They get lost."}
	for _, c := range []struct {
		name        string
		accepted    []string
		first, note string
		want        upgrade.Severity
	}{
		{"nothing is accepted", nil, "shop.public.t0", "0 rows", upgrade.Blocker},
		{"another check's objects are", []string{"other:shop.public.t0"}, "shop.public.t0", "0 rows", upgrade.Blocker},
		{"what a report listed is", all[:upgrade.MaxObjects], "shop.public.t100", "100 rows", upgrade.Blocker},
		{"one is missing in the middle", slices.Delete(slices.Clone(all), 7, 8), "shop.public.t7", "7 rows", upgrade.Blocker},
		{"everything is", all, "shop.public.t0", "0 rows", upgrade.Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := finding(check, upgrade.Blocker, found, c.accepted)
			if len(f.Objects) != upgrade.MaxObjects || len(f.Notes) != upgrade.MaxObjects || f.Total != many || f.Why != check.Why {
				t.Fatalf("%d objects, %d notes of %d: %s", len(f.Objects), len(f.Notes), f.Total, f.Why)
			}
			if f.Objects[0] != c.first || f.Notes[0] != c.note || f.Described()[0] != c.first+" ("+c.note+")" {
				t.Errorf("first: got %s (%s), want %s (%s)", f.Objects[0], f.Notes[0], c.first, c.note)
			}
			if f.Severity != c.want || f.Accepted != (c.want == upgrade.Warning) {
				t.Errorf("got %s, accepted: %t", f.Severity, f.Accepted)
			}
		})
	}
	if f := finding(check, upgrade.Info, []located{{Found: Found{Object: "t"}}}, nil); f.Notes != nil || f.Described()[0] != "t" {
		t.Errorf("nothing to say: got %+v", f)
	}
	check.Acceptable = false
	if f := finding(check, upgrade.Info, found[:1], nil); f.Notes != nil || f.Objects[0] != "shop.public.t0 (0 rows)" {
		t.Errorf("what cannot be accepted: got %+v", f)
	}
}

func TestMatchesEveryStandby(t *testing.T) {
	for names, want := range map[string]bool{
		"": false, "*": true, `"*"`: true, "a, b": false, "a,*": true, "FIRST 2 (s1, *)": true, "ANY 1(*)": true,
		"2 (s1, s2)": false, "pgleap_base_backup": true, `ANY 1 ("pgleap_5", x)`: true, "my_pgleap": false, "PGLEAP": true,
	} {
		if got := matchesEveryStandby(names); got != want {
			t.Errorf("%q: got %t, want %t", names, got, want)
		}
	}
}

func FuzzLibraryNames(f *testing.F) {
	f.Add(`pg_stat_statements, "$libdir/pg_cron",timescaledb.so`)
	f.Fuzz(func(t *testing.T, list string) {
		for _, name := range libraryNames(list) {
			if name == "" {
				t.Errorf("%q: an empty name", list)
			}
		}
	})
}

func TestChecksAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if c.ID == "" || seen[c.ID] || c.Title == "" || c.Why == "" || c.Remedy == "" || len(c.Modes) == 0 || c.Find == nil || c.Scope == "" || c.Severity == "" {
			t.Errorf("check %q lacks something, or is there twice", c.ID)
		}
		seen[c.ID] = true
	}
}

// What becomes of each standby, and who must know before.
func TestJudgeStandbys(t *testing.T) {
	here := func(name, slot, problem string, free int64) Standby {
		return Standby{Standby: upgrade.Standby{Name: name, Slot: slot, Problem: problem}, Place: "/data/" + name, Free: free}
	}
	there := Standby{Standby: upgrade.Standby{Name: "far", Address: "192.0.2.7", Problem: "it is not on this host"}}
	for _, c := range []struct {
		name      string
		plan      upgrade.Plan
		streaming []streamed
		known     []Standby
		want      []Found
	}{
		{
			"one on this host gets a successor, with its slot",
			upgrade.Plan{Mode: upgrade.InPlace},
			[]streamed{{"s1", "", "x", true}, {"slot x", "", "x", false}},
			[]Standby{here("s1", "x", "", 100)},
			[]Found{{Object: "s1", Severity: upgrade.Warning, Note: "a successor is made in /data/s1 when clients are at the target"}},
		},
		{
			"before a switchover that waits",
			upgrade.Plan{Mode: upgrade.BlueGreen, Options: upgrade.Options{WaitForStandbys: true}},
			[]streamed{{"s1", "", "", true}},
			[]Standby{here("s1", "", "", 100)},
			[]Found{{Object: "s1", Severity: upgrade.Warning, Note: "a successor is made in /data/s1 while clients wait"}},
		},
		{
			"no room for it",
			upgrade.Plan{Mode: upgrade.ZeroDowntime},
			[]streamed{{"s1", "", "", true}},
			[]Standby{here("s1", "", "", 49)},
			[]Found{{Object: "s1", Note: "its successor would need 50 bytes in /data/s1, where 49 bytes are free; it gets no successor"}},
		},
		{
			"another host's, and a slot that nobody uses",
			upgrade.Plan{Mode: upgrade.InPlace},
			[]streamed{{"far", "192.0.2.7", "", true}, {"slot y", "inactive", "y", false}},
			[]Standby{there},
			[]Found{{Object: "far", Note: "it is not on this host; it gets no successor"}, {Object: "slot y", Note: "inactive"}},
		},
		{
			"one that does not stream now",
			upgrade.Plan{Mode: upgrade.InPlace},
			nil,
			[]Standby{here("s1", "", "it does not stream from the source now", 0)},
			[]Found{{Object: "s1", Severity: upgrade.Warning, Note: "it does not stream from the source now; it gets no successor"}},
		},
		{
			"one that does not stream now, and is to be waited for",
			upgrade.Plan{Mode: upgrade.BlueGreen, Options: upgrade.Options{WaitForStandbys: true}},
			nil,
			[]Standby{here("s1", "", "it does not stream from the source now", 0)},
			[]Found{{Object: "s1", Note: "it does not stream from the source now; it gets no successor"}},
		},
		{
			"none is wanted",
			upgrade.Plan{Mode: upgrade.InPlace, Options: upgrade.Options{SkipStandbys: true}},
			[]streamed{{"far", "192.0.2.7", "", true}},
			[]Standby{there},
			[]Found{{Object: "far", Severity: upgrade.Warning, Note: "it gets no successor, as you wish"}},
		},
		{
			"what streams and is no standby",
			upgrade.Plan{Mode: upgrade.InPlace},
			[]streamed{{"pg_receivewal", "", "", true}},
			nil,
			[]Found{{Object: "pg_receivewal"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judgeStandbys(c.plan, 50, c.streaming, c.known)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func hugePageSettings(size string) postgres.Settings {
	return postgres.Settings{
		"huge_pages": {Name: "huge_pages", Value: "on"}, "huge_page_size": {Name: "huge_page_size", Value: size, Unit: "kB"},
		"shared_buffers": {Name: "shared_buffers", Value: "16384", Unit: "8kB"},
	}
}

// The name is what servers of 18 have been seen to give.
func TestNotNullName(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, c := range []struct{ owner, column, want string }{
		{"t", "id", "t_id_not_null"},
		{"d", "", "d_not_null"},
		{long, "id", long[:51] + "_id_not_null"},
		{"t", long, "t_" + long[:52] + "_not_null"},
		{long, long, long[:27] + "_" + long[:26] + "_not_null"},
		{strings.Repeat("é", 31) + "x", strings.Repeat("Ü", 31), strings.Repeat("é", 13) + "_" + strings.Repeat("Ü", 13) + "_not_null"},
		{strings.Repeat("é", 31), "", strings.Repeat("é", 27) + "_not_null"},
	} {
		if got := notNullName(c.owner, c.column); got != c.want || len(got) > 63 {
			t.Errorf("%s, %s: got %s, want %s", c.owner, c.column, got, c.want)
		}
	}
}
