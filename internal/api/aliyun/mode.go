package aliyun

import (
	"fmt"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The vendor's words for the modes, in requests and in the list of prechecks.
const (
	inPlaceUpgrade      = "inPlaceUpgrade"
	blueGreenDeployment = "blueGreenDeployment"
	zeroDownTimeUpgrade = "zeroDownTimeUpgrade"
)

// The vendor's words in the list of upgrades, where UpgradeMode tells something else: whether a
// switchover belongs to the task.
const (
	upgradeModeClone  = "clone"
	upgradeModeSwitch = "switch"
)

// requestedMode reads UpgradeMode. Without it, it is blue-green: older clients cannot send it, and
// that is what the vendor did before there were others.
func requestedMode(p params) (upgrade.Mode, error) {
	switch text := p.text("UpgradeMode"); text {
	case inPlaceUpgrade:
		return upgrade.InPlace, nil
	case blueGreenDeployment, "":
		return upgrade.BlueGreen, nil
	case zeroDownTimeUpgrade:
		return upgrade.ZeroDowntime, nil
	}
	return "", fail("InvalidUpgradeMode", fmt.Sprintf("UpgradeMode must be %s, %s or %s.",
		inPlaceUpgrade, blueGreenDeployment, zeroDownTimeUpgrade))
}

// modeText is the vendor's word for a mode. One that it does not have keeps its name.
func modeText(m upgrade.Mode) string {
	switch m {
	case upgrade.InPlace:
		return inPlaceUpgrade
	case upgrade.BlueGreen:
		return blueGreenDeployment
	case upgrade.ZeroDowntime:
		return zeroDownTimeUpgrade
	}
	return string(m)
}

// taskMode tells whether a switchover belongs to an upgrade. It always does, but to a blue-green
// upgrade that was to make a copy only, whatever becomes of it.
func taskMode(s control.Summary) string {
	if s.CloneOnly {
		return upgradeModeClone
	}
	return upgradeModeSwitch
}

// cloneOf is the instance that an upgrade makes beside its own, or was to make.
func cloneOf(s control.Summary) string {
	if s.CloneOnly {
		return upgrade.CloneID(s.Instance, s.Number)
	}
	return ""
}

// statisticsText is the vendor's word for when statistics are collected.
func statisticsText(s upgrade.Statistics) string {
	switch s {
	case upgrade.StatisticsBefore:
		return "Before"
	case upgrade.StatisticsAfter:
		return "After"
	}
	return ""
}
