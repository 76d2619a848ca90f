package aliyun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whatever the clocks of the hosts said, a client sees times that follow each other.
func TestTimesFollowEachOther(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 14))
	instant := func() *time.Time {
		if random.IntN(4) == 0 {
			return nil
		}
		at := noon.Add(time.Duration(random.Int64N(int64(2*time.Hour))) - time.Hour)
		return &at
	}
	for range 20_000 {
		var s control.Summary
		s.StartedAt = noon.Add(time.Duration(random.Int64N(int64(time.Hour))))
		s.SwitchStartedAt, s.SwitchEndedAt, s.EndedAt = instant(), instant(), instant()
		for _, documented := range []bool{false, true} {
			task := newUpgradeTask(s, "\n")
			var emitted map[string]any
			d := json.NewDecoder(bytes.NewReader(task.appendJSON(nil, documented)))
			d.UseNumber()
			if err := d.Decode(&emitted); err != nil {
				t.Fatal(err)
			}
			last := int64(math.MinInt64)
			for _, name := range []string{"StartTime", "SwitchTime", "SwitchEndTime", "EndTime"} {
				if emitted[name] == nil {
					continue
				}
				at, err := strconv.ParseInt(fmt.Sprint(emitted[name]), 10, 64)
				if err != nil || at < last {
					t.Fatalf("%s is %v, after %d (%v); of %+v", name, emitted[name], last, err, s)
				}
				last = at
			}
			for name, at := range map[string]*time.Time{"SwitchTime": s.SwitchStartedAt, "SwitchEndTime": s.SwitchEndedAt, "EndTime": s.EndedAt} {
				if (emitted[name] == nil) != (at == nil) {
					t.Fatalf("%s is %v, of %v", name, emitted[name], at)
				}
			}
		}
	}
}

// reference is an upgrade as encoding/json writes it.
type reference struct {
	TaskID                       int64 `json:"TaskId"`
	SourceInsName                string
	TargetInsName                string
	SourceMajorVersion           any
	TargetMajorVersion           any
	StartTime                    any
	SwitchTime                   any `json:",omitempty"`
	SwitchEndTime                any `json:",omitempty"`
	EndTime                      any `json:",omitempty"`
	Result                       string
	UpgradeMode                  string
	CollectStatMode              string `json:",omitempty"`
	CutOver                      bool   `json:"cutOver"`
	TotalLogicRepLatencyMB       *int64 `json:"totalLogicRepLatencyMB,omitempty"`
	TotalLogicRepDelayTime       *int64 `json:"totalLogicRepDelayTime,omitempty"`
	ZeroDownTimeConnectionString string `json:"zeroDownTimeConnectionString,omitempty"`
	ZeroDownTimePort             int    `json:"zeroDownTimePort,omitempty"`
	Detail                       string
}

func referenceOf(u upgradeTask, documented bool) reference {
	at := func(ms int64) any {
		switch {
		case ms == 0:
			return nil
		case documented:
			return strconv.FormatInt(ms, 10)
		}
		return ms
	}
	version := func(m upgrade.Major) any {
		if documented {
			return majorText(m)
		}
		return m
	}
	r := reference{
		TaskID: u.id, SourceInsName: u.source, TargetInsName: u.target,
		SourceMajorVersion: version(u.from), TargetMajorVersion: version(u.to),
		StartTime: at(u.start), SwitchTime: at(u.switchStart), SwitchEndTime: at(u.switchEnd), EndTime: at(u.end),
		Result: u.result, UpgradeMode: u.mode, CollectStatMode: u.statistics, CutOver: u.cutOver, Detail: u.detail,
	}
	if f := u.following; f != nil {
		r.ZeroDownTimeConnectionString, r.ZeroDownTimePort = f.host, f.port
		if f.lag != nil {
			r.TotalLogicRepLatencyMB, r.TotalLogicRepDelayTime = &f.lag.megabytes, &f.lag.seconds
		}
	}
	return r
}

// randomTask has texts that a careless encoder stumbles over.
func randomTask(random *rand.Rand) upgradeTask {
	text := func() string {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.IntN(256))
		}
		return string(b)
	}
	u := upgradeTask{
		id: random.Int64N(math.MaxInt32), source: text(), target: text(), from: 15, to: 17, start: 1 + random.Int64(),
		switchStart: random.Int64N(2) * random.Int64(), switchEnd: random.Int64N(2) * random.Int64(), end: random.Int64N(2) * random.Int64(),
		result: resultRunning, mode: upgradeModeSwitch, statistics: []string{"", "After"}[random.IntN(2)],
		cutOver: random.IntN(2) == 0, detail: text(),
	}
	if random.IntN(2) == 0 {
		u.following = &following{host: upgrade.Loopback, port: 5433}
		if random.IntN(2) == 0 {
			u.following.lag = &lag{megabytes: random.Int64N(math.MaxInt32), seconds: -1}
		}
	}
	return u
}

func TestUpgradeTasksAreEncodedAsByEncodingJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		answer := upgradeTasks{page: page{number: n + 1, size: 30}, total: n, documented: n%2 == 0}
		want := struct {
			PageNumber, PageRecordCount, TotalRecordCount int
			Items                                         []reference
		}{n + 1, 30, n, []reference{}}
		for range n % 4 {
			u := randomTask(random)
			answer.items = append(answer.items, u)
			want.Items = append(want.Items, referenceOf(u, answer.documented))
		}
		expected, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.appendJSON(nil); !bytes.Equal(got, expected) {
			t.Fatalf("got  %s\nwant %s", got, expected)
		}
		if got, err := encode(answer); err != nil || !bytes.Equal(got, expected) {
			t.Fatalf("through encoding/json: got %s (%v)\nwant %s", got, err, expected)
		}
	}
}

func TestLagIsRoundedUp(t *testing.T) {
	for _, c := range []struct {
		lag  upgrade.Lag
		want lag
	}{
		{upgrade.Lag{}, lag{0, 0}},
		{upgrade.Lag{Bytes: 1, ETASeconds: 0.001}, lag{1, 1}},
		{upgrade.Lag{Bytes: 1 << 20, ETASeconds: 1}, lag{1, 1}},
		{upgrade.Lag{Bytes: 1<<20 + 1, ETASeconds: 1.5}, lag{2, 2}},
		{upgrade.Lag{Bytes: -5, ETASeconds: -1}, lag{0, -1}},
		{upgrade.Lag{Bytes: math.MaxInt64, ETASeconds: math.Inf(1)}, lag{math.MaxInt32, math.MaxInt32}},
		{upgrade.Lag{ETASeconds: math.NaN()}, lag{0, -1}},
	} {
		if got := (lag{megabytes(c.lag.Bytes), wholeSeconds(c.lag.ETASeconds)}); got != c.want {
			t.Errorf("%+v: got %+v, want %+v", c.lag, got, c.want)
		}
	}
}

// The target's address is told as long as it follows the source, the lag once it is measured.
func TestFollowing(t *testing.T) {
	measured := &upgrade.Progress{Lag: &upgrade.Lag{Bytes: 3 << 20, ETASeconds: 4}}
	for _, c := range []struct {
		name     string
		mode     upgrade.Mode
		phase    upgrade.Phase
		progress *upgrade.Progress
		told     bool
		lag      *lag
	}{
		{"rehearsing", upgrade.ZeroDowntime, upgrade.PhaseRehearsal, measured, true, &lag{3, 4}},
		{"synchronizing", upgrade.ZeroDowntime, upgrade.PhaseSynchronizing, measured, true, &lag{3, 4}},
		{"switching over", upgrade.ZeroDowntime, upgrade.PhaseSwitchover, measured, true, &lag{3, 4}},
		{"not measured yet", upgrade.ZeroDowntime, upgrade.PhaseSynchronizing, &upgrade.Progress{}, true, nil},
		{"no progress yet", upgrade.ZeroDowntime, upgrade.PhaseSynchronizing, nil, true, nil},
		{"before", upgrade.ZeroDowntime, upgrade.PhaseSubscribe, measured, false, nil},
		{"afterwards", upgrade.ZeroDowntime, upgrade.PhaseFinishing, measured, false, nil},
		{"cleaning up", upgrade.ZeroDowntime, upgrade.PhaseCleanup, measured, false, nil},
		{"another mode", upgrade.BlueGreen, upgrade.PhaseSynchronizing, measured, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s control.Summary
			s.Mode = c.mode
			s.Running = &upgrade.Task{Phase: c.phase, Progress: c.progress, Plan: &upgrade.Plan{Target: upgrade.Cluster{Port: 5433}}}
			got := follows(s)
			if (got != nil) != c.told {
				t.Fatalf("got %+v", got)
			}
			if !c.told {
				return
			}
			if got.host != "127.0.0.1" || got.port != 5433 {
				t.Errorf("got address %s, port %d", got.host, got.port)
			}
			if (got.lag == nil) != (c.lag == nil) || got.lag != nil && *got.lag != *c.lag {
				t.Errorf("got lag %+v, want %+v", got.lag, c.lag)
			}
		})
	}
	for name, s := range map[string]upgrade.Switchover{"switched": {Switched: true}, "did not get back": {Back: true}} {
		var there control.Summary
		there.Mode = upgrade.ZeroDowntime
		there.Running = &upgrade.Task{Phase: upgrade.PhaseRehearsal, Progress: measured, Switchover: &s, Plan: &upgrade.Plan{}}
		if got := follows(there); got != nil {
			t.Errorf("a rehearsal of the way back, %s: got %+v", name, got)
		}
	}
	if got := follows(control.Summary{}); got != nil {
		t.Errorf("ended: got %+v", got)
	}
}

func TestUpgradeMode(t *testing.T) {
	for _, c := range []struct {
		name      string
		mode      upgrade.Mode
		switched  bool
		cloneOnly bool
		want      string
	}{
		{"zero-downtime", upgrade.ZeroDowntime, false, false, "switch"},
		{"in-place", upgrade.InPlace, false, false, "switch"},
		{"blue-green, a copy only", upgrade.BlueGreen, false, true, "clone"},
		{"blue-green, switched", upgrade.BlueGreen, true, false, "switch"},
		{"blue-green, going to switch, or failed before", upgrade.BlueGreen, false, false, "switch"},
	} {
		var s control.Summary
		s.Mode, s.Switched, s.CloneOnly = c.mode, c.switched, c.cloneOnly
		if got := taskMode(s); got != c.want {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
}

func BenchmarkUpgradeTasks(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	answer := upgradeTasks{page: page{number: 1, size: 30}, total: 30}
	for range 30 {
		u := randomTask(random)
		u.detail = "2026-03-01 12:00:00 --- Phase \"synchronizing\" begins.\n"
		answer.items = append(answer.items, u)
	}
	b.ReportAllocs()
	for b.Loop() {
		answer.appendJSON(make([]byte, 0, 32<<10))
	}
}
