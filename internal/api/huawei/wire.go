package huawei

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// wireTime is the vendor's form: an offset without a colon, never Z.
const wireTime = "2006-01-02T15:04:05-0700"

// clock writes times in the zone of the service.
type clock struct{ zone *time.Location }

func (c clock) format(at time.Time) string { return at.In(c.zone).Format(wireTime) }

// formatSome returns "" for a moment that has not come, so that its member can be left out.
func (c clock) formatSome(at *time.Time) string {
	if at == nil {
		return ""
	}
	return c.format(*at)
}

// version is a version as clients give it: major, major.minor or major.minor.patch.
var version = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,5}){0,2}$`)

// majorOf reads a version. Only the major version matters: which minor one is there is a question
// of what is installed.
func majorOf(text string) (upgrade.Major, bool) {
	if !version.MatchString(text) {
		return 0, false
	}
	major, _, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(major)
	return upgrade.Major(n), err == nil && n > 0
}

// instanceSuffix ends the id of every PostgreSQL instance at this vendor, nodeSuffix that of a node.
const (
	instanceSuffix = "in03"
	nodeSuffix     = "no03"
)

// formerID is the id of a former cluster in this API, where an id must have 32 hex digits.
func formerID(id string) string { return derived("former", id) + instanceSuffix }

// derived returns 32 hex digits that stand for something, always the same.
func derived(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + name))
	return hex.EncodeToString(sum[:16])
}

// result is how a task stands in the vendor's words.
func result(s upgrade.Status) string {
	switch s {
	case upgrade.StatusRunning:
		return "running"
	case upgrade.StatusSucceeded:
		return "success"
	default:
		return "failed"
	}
}

// The vendor's words for when statistics are collected.
const (
	statisticsBefore = "before_change_private_ip"
	statisticsAfter  = "after_change_private_ip"
)

func statisticsMode(s upgrade.Statistics) string {
	switch s {
	case upgrade.StatisticsBefore:
		return statisticsBefore
	case upgrade.StatisticsAfter:
		return statisticsAfter
	}
	return ""
}
