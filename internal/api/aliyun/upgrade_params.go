package aliyun

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// needed refuses a request without one of these. It is for what the vendor's metadata calls
// optional, and the operation cannot do without.
func needed(p params, names ...string) error {
	for _, name := range names {
		if p.text(name) == "" {
			return fail("RequiredParam.NotFound", fmt.Sprintf("Parameter %s is mandatory for this operation.", name))
		}
	}
	return nil
}

// requestedTarget reads TargetMajorVersion.
func requestedTarget(p params) (upgrade.Major, error) {
	major, ok := parseMajor(p.text("TargetMajorVersion"))
	if !ok {
		return 0, fail("InvalidEngineVersion", `TargetMajorVersion must be a major version of PostgreSQL, such as "17.0".`)
	}
	return major, nil
}

// targetRefused tells a target that is not newer from one that is not installed: for the vendor
// that makes a difference.
func (a *api) targetRefused(ctx context.Context, id string, target upgrade.Major, err error) error {
	if upgrade.CauseOf(err) != upgrade.CauseTarget {
		return err
	}
	instance, unknown := a.control.Instance(ctx, id)
	if unknown != nil || target <= instance.Cluster.Version.Major() {
		return err
	}
	return fail("TargetEngineVersion.Parameters.NotFound", explained(err))
}

// requestedStatistics reads CollectStatMode. Without it they are collected afterwards, which keeps
// nobody waiting.
func requestedStatistics(p params) (upgrade.Statistics, error) {
	switch p.text("CollectStatMode") {
	case "Before":
		return upgrade.StatisticsBefore, nil
	case "After", "":
		return upgrade.StatisticsAfter, nil
	}
	return "", fail("InvalidCollectStats", "CollectStatMode must be Before or After.")
}

// checkPayment: clients must send PayType, and it means nothing here.
func checkPayment(p params) error {
	return oneOf(p, "PayType", "InvalidPayType", "Postpaid", "Prepaid", "Serverless")
}

// requestedSwitch reads how a mode is to switch. A blue-green upgrade makes a copy only, unless it was told
// to switch over. An upgrade in place is its own switch. A zero-downtime upgrade waits for
// SwitchOverMajorVersionUpgrade, here as there.
func requestedSwitch(p params, mode upgrade.Mode) (upgrade.Options, error) {
	options := upgrade.Options{Switch: upgrade.SwitchManual}
	switchOver, given, err := p.boolean("SwitchOver")
	if err != nil {
		return options, fail("InvalidSwitchOver", "SwitchOver must be true or false.")
	}
	if err := oneOf(p, "SwitchTimeMode", "InvalidSwitchTimeMode", "Immediate", "MaintainTime"); err != nil {
		return options, err
	}
	if text := p.text("SwitchTime"); text != "" {
		if _, err := time.Parse("2006-01-02T15:04:05Z", text); err != nil {
			return options, fail("InvalidSwitchTime", "SwitchTime must be a time in UTC such as 2026-03-01T18:00:00Z.")
		}
	}
	inWindow := p.text("SwitchTimeMode") == "MaintainTime"
	switch {
	case mode == upgrade.BlueGreen && switchOver:
		options.Switch, options.SwitchInWindow = upgrade.SwitchAuto, inWindow
	case mode == upgrade.BlueGreen:
		options.CloneOnly = true
	case mode == upgrade.InPlace && given && !switchOver:
		return options, fail("InvalidSwitchOver", "An inPlaceUpgrade upgrades the instance itself: SwitchOver must be true, or be left out.")
	case mode == upgrade.InPlace:
		options.SwitchInWindow = inWindow
	}
	return options, nil
}

// checkStorage checks what a cloud would need to make a disk. local_ssd is what pgleap itself
// calls the storage of its instances.
func checkStorage(p params) error {
	if text := p.text("DBInstanceStorage"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > math.MaxInt32 {
			return fail("InvalidDBInstanceStorage", "DBInstanceStorage must be a whole number of gigabytes.")
		}
	}
	return oneOf(p, "DBInstanceStorageType", "InvalidDBInstanceStorageType",
		"cloud_ssd", "cloud_essd", "cloud_essd2", "cloud_essd3", "general_essd", localStorage)
}

// checkReduced refuses a target with less room than the source uses, as the last precheck that passed has seen it.
// Without one the upgrade is refused anyway. In place there is no other disk.
func (a *api) checkReduced(ctx context.Context, p params, request control.UpgradeRequest) error {
	gigabytes, err := strconv.ParseInt(p.text("DBInstanceStorage"), 10, 64)
	if err != nil || request.Mode == upgrade.InPlace { // checkStorage has looked at it
		return nil //nolint:nilerr // it is not given
	}
	used, err := a.used(ctx, request)
	if err != nil {
		return fromRecord(err)
	}
	const gigabyte = 1 << 30
	if gigabytes*gigabyte >= used {
		return nil
	}
	return fail("InvalidReduceDiskSize", fmt.Sprintf("DBInstanceStorage is %d GB, and instance %s uses %d GB.",
		gigabytes, request.Instance, (used+gigabyte-1)/gigabyte))
}

// used is how many bytes of data an instance has; 0: no precheck has told.
func (a *api) used(ctx context.Context, request control.UpgradeRequest) (int64, error) {
	passed, _, err := a.control.History(ctx, control.HistoryFilter{
		Instance: request.Instance, Kind: upgrade.TaskPrecheck, Target: request.Target, Passed: true, Limit: 1,
	})
	if err != nil || len(passed) == 0 {
		return 0, err
	}
	number := passed[0].Number
	reports, err := a.control.Reports(ctx, []int64{number})
	if err != nil || reports[number].Estimate == nil {
		return 0, err
	}
	return reports[number].Estimate.Workload.DataBytes, nil
}

// checkNetwork checks what a cloud would need to connect the target.
func checkNetwork(p params) error {
	if err := oneOf(p, "InstanceNetworkType", "VpcNetworkTypeNotSupport", networkType); err != nil {
		return err
	}
	if text := p.text("VPCId"); text != "" && !isCloudID(text) {
		return fail("InvalidVPCId", "VPCId must be made of letters, digits and hyphens.")
	}
	if text := p.text("VSwitchId"); text != "" {
		ids := strings.Split(text, ",")
		if len(ids) > 2 || !isCloudID(ids[0]) || !isCloudID(ids[len(ids)-1]) {
			return fail("InvalidVswitchId", "VSwitchId must be one id, or two joined by a comma, made of letters, digits and hyphens.")
		}
	}
	if text := p.text("PrivateIpAddress"); text != "" {
		if _, err := netip.ParseAddr(text); err != nil {
			return fail("Parameters.Invalid", "PrivateIpAddress must be an IP address.")
		}
	}
	return nil
}

// isCloudID tells whether a text can be the id of something in a cloud.
func isCloudID(text string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return text != "" && len(text) <= 128 && strings.Trim(text, allowed) == ""
}

// oneOf refuses a parameter, if it is given, that is none of the values.
func oneOf(p params, name, code string, values ...string) error {
	if text := p.text(name); text == "" || slices.Contains(values, text) {
		return nil
	}
	choice := strings.Join(values, ", ")
	if len(values) > 1 {
		choice = "one of " + choice
	}
	return fail(code, fmt.Sprintf("%s must be %s.", name, choice))
}
