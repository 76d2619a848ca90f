package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// clouds shows the upgrade once more, as the SDKs of two clouds see it: unmodified, with pgleap as their
// endpoint.
func (d *demo) clouds(ctx context.Context) error {
	d.title("The same upgrade, through the SDKs of two clouds")
	d.command("access-key", "create", "--policy", "read-only")
	key, err := d.server.NewAccessKey(ctx, "--policy", "read-only")
	if err != nil {
		return err
	}
	if err := d.askAlibaba(key); err != nil {
		return fmt.Errorf("ask through Alibaba Cloud's SDK: %w", err)
	}
	if err := d.askHuawei(ctx, key); err != nil {
		return fmt.Errorf("ask through Huawei Cloud's SDK: %w", err)
	}
	return nil
}

func (d *demo) askAlibaba(key harness.AccessKey) error {
	client, err := d.server.Alibaba(key)
	if err != nil {
		return err
	}
	request := alibaba.CreateDescribeUpgradeMajorVersionTasksRequest()
	request.DBInstanceId = instance
	response, err := client.DescribeUpgradeMajorVersionTasks(request)
	if err != nil {
		return err
	}
	var lacking struct { // what this SDK's own structs do not have
		Items []struct{ StartTime, SwitchTime, SwitchEndTime, EndTime int64 }
	}
	if err := json.Unmarshal(response.GetHttpContentBytes(), &lacking); err != nil {
		return err
	}
	d.say("Alibaba Cloud: DescribeUpgradeMajorVersionTasks")
	for i, task := range response.Items {
		times := lacking.Items[i]
		d.say("   TaskId %d, %s: %s to %s, %s (UpgradeMode %s, CollectStatMode %s)", task.TaskId, task.SourceInsName,
			task.SourceMajorVersion, task.TargetMajorVersion, task.Result, task.UpgradeMode, task.CollectStatMode)
		d.say("   StartTime %s, SwitchTime %s, SwitchEndTime %s (%d ms later), EndTime %s", clock(times.StartTime),
			clock(times.SwitchTime), clock(times.SwitchEndTime), times.SwitchEndTime-times.SwitchTime, clock(times.EndTime))
		log := strings.Split(strings.TrimSpace(task.Detail), "\n")
		d.say("   Detail has %d lines: ..., %q", len(log), log[len(log)-1])
	}
	return nil
}

// clock is a time of milliseconds since 1970.
func clock(millis int64) string { return time.UnixMilli(millis).UTC().Format("15:04:05.000") }

func (d *demo) askHuawei(ctx context.Context, key harness.AccessKey) error {
	client, err := d.server.Huawei(key)
	if err != nil {
		return err
	}
	var now upgrade.Instance
	if err := d.server.JSON(ctx, &now, "instance", "show", instance); err != nil {
		return err
	}
	id := now.UUID + "in03" // the ids of this cloud's PostgreSQL instances end so
	status, err := client.ShowUpgradeDbMajorVersionStatus(&model.ShowUpgradeDbMajorVersionStatusRequest{InstanceId: id, Action: "upgrade"})
	if err != nil {
		return err
	}
	d.say("Huawei Cloud: ShowUpgradeDbMajorVersionStatus")
	d.say("   status %s, target_version %s, start_time %s", *status.Status, *status.TargetVersion, *status.StartTime)
	histories, err := client.ListUpgradeHistories(&model.ListUpgradeHistoriesRequest{InstanceId: id})
	if err != nil {
		return err
	}
	d.say("Huawei Cloud: ListUpgradeHistories")
	for _, r := range *histories.UpgradeReports {
		d.say("   %s to %s: %s, from %s to %s", r.SrcDatabaseVersion, r.DstDatabaseVersion, r.Result, r.StartTime, r.EndTime)
		d.say("   clients moved: %t, at %s (%s)", r.IsPrivateIpChanged, r.PrivateIpChangeTime, r.StatisticsCollectionMode)
	}
	return nil
}
