package aliyun

import (
	"math"
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// upgradeTask is an upgrade as DescribeUpgradeMajorVersionTasks lists it.
type upgradeTask struct {
	id               int64
	source, target   string // ids of the instances
	from, to         upgrade.Major
	start            int64 // milliseconds since 1970, as all times here
	switchStart      int64 // 0: there was no switchover yet
	switchEnd        int64
	end              int64 // 0: still running
	result           string
	mode, statistics string
	cutOver          bool
	following        *following
	detail           string
}

// following is what is known of the target while it follows the source.
type following struct {
	host string
	port int
	// lag is in megabytes and seconds; nil until it has been measured.
	lag *lag
}

type lag struct{ megabytes, seconds int64 }

// The vendor's words for how an upgrade stands. It has none for one that was cancelled.
const (
	resultRunning = "Running"
	resultSuccess = "Success"
	resultFailed  = "Failed"
)

// newUpgradeTask translates an upgrade. The instance keeps its id, whatever cluster it has, so that
// it is source and target at once, unless a clone is made beside it.
func newUpgradeTask(s control.Summary, newline string) upgradeTask {
	t := upgradeTask{
		id: s.Number, source: s.Instance, target: s.Instance,
		from: s.Source.Major(), to: s.Target,
		result: upgradeResult(s.Status), mode: taskMode(s), statistics: statisticsText(s.Statistics),
		cutOver: s.Switched, following: follows(s), detail: separated(s.Log, newline),
	}
	if clone := cloneOf(s); clone != "" {
		t.target = clone
	}
	t.setTimes(s)
	return t
}

// setTimes keeps to the order that users rely on: start, switchover, end of the switchover, end.
// The times come from several hosts. One before its predecessor is taken for it.
func (t *upgradeTask) setTimes(s control.Summary) {
	t.start = s.StartedAt.UnixMilli()
	latest := t.start
	after := func(at *time.Time) int64 {
		if at == nil {
			return 0
		}
		latest = max(latest, at.UnixMilli())
		return latest
	}
	t.switchStart = after(s.SwitchStartedAt)
	t.switchEnd = after(s.SwitchEndedAt)
	t.end = after(s.EndedAt)
}

func upgradeResult(s upgrade.Status) string {
	switch s {
	case upgrade.StatusRunning:
		return resultRunning
	case upgrade.StatusSucceeded:
		return resultSuccess
	}
	return resultFailed
}

// follows tells where the target is and how far behind, as long as it follows the source: on the way back it is the
// source that follows.
func follows(s control.Summary) *following {
	if s.Mode != upgrade.ZeroDowntime || s.Running == nil || s.Running.Plan == nil || s.Running.OnTarget() {
		return nil
	}
	if phase := s.Running.Phase; phase != upgrade.PhaseSynchronizing && phase != upgrade.PhaseRehearsal && phase != upgrade.PhaseSwitchover {
		return nil
	}
	f := &following{host: upgrade.Loopback, port: s.Running.Plan.Target.Port}
	if p := s.Running.Progress; p != nil && p.Lag != nil {
		f.lag = &lag{megabytes: megabytes(p.Lag.Bytes), seconds: wholeSeconds(p.Lag.ETASeconds)}
	}
	return f
}

// megabytes rounds up: 0 means that nothing is missing.
func megabytes(bytes int64) int64 {
	const size = 1 << 20
	if bytes <= 0 {
		return 0
	}
	return min((bytes-1)/size+1, math.MaxInt32)
}

// wholeSeconds rounds up, too. -1 means never.
func wholeSeconds(s float64) int64 {
	switch {
	case s < 0 || math.IsNaN(s):
		return -1
	case s > math.MaxInt32: // what clients can decode
		return math.MaxInt32
	}
	return int64(math.Ceil(s))
}

// upgradeTasks is a page of upgrades. It writes its own JSON: this is the answer that is asked for
// most, and reflection would take longer than everything else.
type upgradeTasks struct {
	page       page
	total      int
	items      []upgradeTask
	documented bool // times and versions as text, as the vendor documents, not as its sample shows
}

// MarshalJSON makes encoding/json write the same.
func (u upgradeTasks) MarshalJSON() ([]byte, error) { return u.appendJSON(nil), nil }

// appendJSON writes the answer.
func (u upgradeTasks) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"PageNumber":`...), int64(u.page.number), 10)
	b = strconv.AppendInt(append(b, `,"PageRecordCount":`...), int64(u.page.size), 10)
	b = strconv.AppendInt(append(b, `,"TotalRecordCount":`...), int64(u.total), 10)
	b = append(b, `,"Items":[`...)
	for i := range u.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.items[i].appendJSON(b, u.documented)
	}
	return append(b, "]}"...)
}

// appendJSON writes one upgrade. What does not exist is left out.
func (t *upgradeTask) appendJSON(b []byte, documented bool) []byte {
	b = strconv.AppendInt(append(b, `{"TaskId":`...), t.id, 10)
	b = appendText(append(b, `,"SourceInsName":`...), t.source)
	b = appendText(append(b, `,"TargetInsName":`...), t.target)
	b = appendMajor(append(b, `,"SourceMajorVersion":`...), t.from, documented)
	b = appendMajor(append(b, `,"TargetMajorVersion":`...), t.to, documented)
	b = appendTime(b, `,"StartTime":`, t.start, documented)
	b = appendTime(b, `,"SwitchTime":`, t.switchStart, documented)
	b = appendTime(b, `,"SwitchEndTime":`, t.switchEnd, documented)
	b = appendTime(b, `,"EndTime":`, t.end, documented)
	b = appendText(append(b, `,"Result":`...), t.result)
	b = appendText(append(b, `,"UpgradeMode":`...), t.mode)
	if t.statistics != "" {
		b = appendText(append(b, `,"CollectStatMode":`...), t.statistics)
	}
	b = strconv.AppendBool(append(b, `,"cutOver":`...), t.cutOver)
	if t.following != nil {
		b = t.following.appendJSON(b)
	}
	b = appendText(append(b, `,"Detail":`...), t.detail)
	return append(b, '}')
}

func (f *following) appendJSON(b []byte) []byte {
	if f.lag != nil {
		b = strconv.AppendInt(append(b, `,"totalLogicRepLatencyMB":`...), f.lag.megabytes, 10)
		b = strconv.AppendInt(append(b, `,"totalLogicRepDelayTime":`...), f.lag.seconds, 10)
	}
	b = appendText(append(b, `,"zeroDownTimeConnectionString":`...), f.host)
	return strconv.AppendInt(append(b, `,"zeroDownTimePort":`...), int64(f.port), 10)
}

// appendMajor writes a major version: 17, or "17.0" as documented.
func appendMajor(b []byte, m upgrade.Major, documented bool) []byte {
	if documented {
		return append(strconv.AppendInt(append(b, '"'), int64(m), 10), `.0"`...)
	}
	return strconv.AppendInt(b, int64(m), 10)
}

// appendTime writes milliseconds since 1970: as a number, or as text as documented.
func appendTime(b []byte, name string, at int64, documented bool) []byte {
	if at == 0 {
		return b
	}
	b = append(b, name...)
	if documented {
		return append(strconv.AppendInt(append(b, '"'), at, 10), '"')
	}
	return strconv.AppendInt(b, at, 10)
}
