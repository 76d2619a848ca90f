package test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// Alibaba Cloud's SDK upgrades an instance in place, under load: clients wait behind PgBouncer, and go on at
// the same port.
func TestAlibabaUpgradesInPlace(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	c := newClouds(s)
	s.write()
	c.precheckAtAlibaba("inPlaceUpgrade")
	number := c.startAtAlibaba("inPlaceUpgrade", map[string]string{"SwitchOver": "true", "SwitchTimeMode": "Immediate"})
	task := c.endsAtAlibaba(number)
	s.goesOn(patience)
	s.load.Stop()
	target := s.target()
	if target.Port != s.source.Port || target.Pgdata == s.source.Pgdata {
		t.Errorf("the instance is at port %d in %s, the source was at %d in %s", target.Port, target.Pgdata, s.source.Port, s.source.Pgdata)
	}
	s.accept(s.prove(target))
	c.toldInChinese(c.huaweiUpgrade().Detail)
	t.Logf("nobody served for %s", task.Switchover.Pause.Round(time.Millisecond))
}

// The same SDK makes an upgraded clone, and then lets an upgraded clone take the place of the source.
func TestAlibabaUpgradesBlueGreen(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	c := newClouds(s)
	s.write()
	c.precheckAtAlibaba("blueGreenDeployment")
	s.within("clone", func() {
		number := c.startAtAlibaba("blueGreenDeployment", map[string]string{"SwitchOver": "false"})
		task := c.endsAtAlibaba(number)
		s.goesOn(patience)
		var major int
		s.must(s.source.Upgraded("", "", task.Plan.Target.Port).QueryRow(s.ctx, harness.Bank, "SELECT current_setting('server_version_num')::int / 10000", &major))
		s.must(s.server.JSON(s.ctx, &s.instance, "instance", "show", id))
		if major != to || s.instance.Cluster.Port != s.source.Port {
			s.t.Errorf("the clone is a PostgreSQL %d, the instance is at port %d", major, s.instance.Cluster.Port)
		}
		s.must(s.source.Upgraded(task.Plan.Target.Bindir, task.Plan.Target.Pgdata, task.Plan.Target.Port).Stop(s.ctx))
		c.toldAsClone(number, true)
	})
	s.within("switch", func() {
		window := c.setWindow(time.Now().Add(6 * time.Hour))
		number := c.startAtAlibaba("blueGreenDeployment", map[string]string{"SwitchOver": "true", "SwitchTimeMode": "MaintainTime"})
		c.waitsForItsWindow(window)
		_, err := c.say("switch")
		s.must(err)
		c.endsAtAlibaba(number)
		s.succeeds(number)
		c.toldAsClone(number, false)
		c.removeFormer(number)
	})
}

// setWindow gives the instance a maintenance window of an hour.
func (c *clouds) setWindow(from time.Time) string {
	c.t.Helper()
	const minute = "15:04Z"
	window := from.UTC().Format(minute) + "-" + from.Add(time.Hour).UTC().Format(minute)
	set := alibaba.CreateModifyDBInstanceMaintainTimeRequest()
	set.DBInstanceId, set.MaintainTime = id, window
	_, err := c.alibaba.ModifyDBInstanceMaintainTime(set)
	c.must(err)
	if got := c.attribute().MaintainTime; got != window {
		c.t.Errorf("the window is %s, want %s", got, window)
	}
	return window
}

// attribute is the instance as DescribeDBInstanceAttribute tells.
func (c *clouds) attribute() alibaba.DBInstanceAttribute {
	c.t.Helper()
	about := alibaba.CreateDescribeDBInstanceAttributeRequest()
	about.DBInstanceId = id
	told, err := c.alibaba.DescribeDBInstanceAttribute(about)
	c.must(err)
	return told.Items.DBInstanceAttribute[0]
}

// waitsForItsWindow: the upgrade says that it waits, follows the source, and does not switch over.
func (c *clouds) waitsForItsWindow(window string) {
	c.t.Helper()
	waits := func(context.Context) error {
		_, tasks := c.alibabaUpgrades()
		switch now := tasks[0]; {
		case now.Result != "Running" || now.SwitchTime != 0:
			return harness.Final(fmt.Errorf("it is %+v", now))
		case !strings.Contains(now.Detail, "waits for the maintenance window "+window):
			return fmt.Errorf("it has said %s", now.Detail)
		}
		return nil
	}
	c.must(harness.Await(c.ctx, patience, "the upgrade to wait for its window", waits))
	c.goesOn(patience)
	c.must(waits(c.ctx))
	if status := c.attribute().DBInstanceStatus; status != "TransingToOthers" {
		c.t.Errorf("while its upgrade waits for the window the instance is %s", status)
	}
}

// toldAsClone wants both clouds to tell whether an upgrade made a clone or moved the clients.
func (c *clouds) toldAsClone(number int64, clone bool) {
	c.t.Helper()
	_, tasks := c.alibabaUpgrades()
	told := tasks[0]
	mode := map[bool]string{true: "clone", false: "switch"}[clone]
	if told.TaskID != number || told.UpgradeMode != mode || told.CutOver == clone || (told.TargetInsName != told.SourceInsName) != clone {
		c.t.Errorf("Alibaba Cloud's SDK tells %+v, want a %s", told, mode)
	}
	if told.StartTime > told.SwitchTime || told.SwitchTime > told.SwitchEndTime || told.SwitchEndTime > told.EndTime {
		c.t.Errorf("times in another order: %+v", told)
	}
	response, err := c.huawei.ListUpgradeHistories(&model.ListUpgradeHistoriesRequest{InstanceId: c.huaweiID})
	c.must(err)
	if r := (*response.UpgradeReports)[0]; r.Result != "success" || r.IsPrivateIpChanged == clone || (r.PrivateIpChangeTime == "") != clone || (r.DstInstanceId != r.SrcInstanceId) != clone {
		c.t.Errorf("Huawei Cloud's SDK tells %s, want a %s", r, mode)
	}
}

// Huawei Cloud's SDK upgrades an instance by its only way, which is blue-green: an inspection, the upgrade,
// and clients are on the target.
func TestHuaweiUpgrades(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	c := newClouds(s)
	s.write()
	c.inspect(1)
	s.within("clone", func() {
		c.upgradeAtHuawei(model.UpgradePgMajorVersion{TargetVersion: strconv.Itoa(to), IsChangePrivateIp: false})
		task := c.newest()
		c.toldAsClone(task.Number, true)
		s.must(s.source.Upgraded(task.Plan.Target.Bindir, task.Plan.Target.Pgdata, task.Plan.Target.Port).Stop(s.ctx))
	})
	c.upgradeAtHuawei(model.UpgradePgMajorVersion{
		TargetVersion: strconv.Itoa(to), IsChangePrivateIp: true, StatisticsCollectionMode: new("after_change_private_ip"),
	})
	number := c.newest().Number
	s.succeeds(number)
	c.toldAsClone(number, false)
	c.toldInChinese(c.huaweiUpgrades(2)[1].Detail)
}

// upgradeAtHuawei carries out an upgrade, and wants it to succeed.
func (c *clouds) upgradeAtHuawei(wanted model.UpgradePgMajorVersion) {
	c.t.Helper()
	started, err := c.huawei.UpgradeDbMajorVersion(&model.UpgradeDbMajorVersionRequest{InstanceId: c.huaweiID, Body: &wanted})
	c.must(err)
	if text(started.JobId) == "" {
		c.t.Errorf("the answer is %s", started)
	}
	c.must(harness.Await(c.ctx, patience, "the upgrade to end", func(context.Context) error {
		status, err := c.huaweiStatus("upgrade", nil)
		if err != nil {
			return harness.Final(err)
		}
		if text(status.Status) == "running" {
			return errors.New("it runs")
		}
		return nil
	}))
	if job := c.huaweiJob(text(started.JobId)); job.Status.Value() != "Completed" {
		c.t.Errorf("the job is %s", job)
	}
}

// newest is the instance's last task.
func (c *clouds) newest() upgrade.Task {
	c.t.Helper()
	var tasks []upgrade.Task
	c.must(c.server.JSON(c.ctx, &tasks, "tasks", id))
	return tasks[0]
}

// precheckAtAlibaba prechecks for a mode, and wants it to pass.
func (c *clouds) precheckAtAlibaba(mode string) {
	c.t.Helper()
	request := alibaba.CreateUpgradeDBInstanceMajorVersionPrecheckRequest()
	request.DBInstanceId, request.TargetMajorVersion = id, atAlibaba(c.to)
	request.QueryParams["UpgradeMode"] = mode
	started, err := c.alibaba.UpgradeDBInstanceMajorVersionPrecheck(request)
	c.must(err)
	about := alibaba.CreateDescribeUpgradeMajorVersionPrecheckTaskRequest()
	about.DBInstanceId, about.TaskId = id, requests.Integer(started.TaskId)
	c.must(harness.Await(c.ctx, patience, "the precheck to end", func(context.Context) error {
		response, err := c.alibaba.DescribeUpgradeMajorVersionPrecheckTask(about)
		if err != nil || len(response.Items) != 1 {
			return harness.Final(fmt.Errorf("%d prechecks: %w", len(response.Items), err))
		}
		switch task := response.Items[0]; task.Result {
		case "Running":
			return errors.New("it runs")
		case "Success", "warning":
			return nil
		default:
			return harness.Final(fmt.Errorf("it came to %s: %s", task.Result, task.Detail))
		}
	}))
}

// startAtAlibaba starts an upgrade in a mode.
func (c *clouds) startAtAlibaba(mode string, more map[string]string) int64 {
	c.t.Helper()
	request := alibaba.CreateUpgradeDBInstanceMajorVersionRequest()
	request.DBInstanceId, request.TargetMajorVersion = id, atAlibaba(c.to)
	request.PayType, request.CollectStatMode = "Postpaid", "After"
	request.QueryParams["UpgradeMode"] = mode
	for name, value := range more {
		request.QueryParams[name] = value
	}
	started, err := c.alibaba.UpgradeDBInstanceMajorVersion(request)
	c.must(err)
	return started.TaskId
}

// endsAtAlibaba waits until an upgrade has succeeded.
func (c *clouds) endsAtAlibaba(number int64) upgrade.Task {
	c.t.Helper()
	c.must(harness.Await(c.ctx, patience, "the upgrade to end", func(context.Context) error {
		_, tasks := c.alibabaUpgrades()
		for _, task := range tasks {
			switch {
			case task.TaskID != number:
			case task.Result == "Running":
				return errors.New("it runs")
			case task.Result == "Success":
				return nil
			default:
				return harness.Final(fmt.Errorf("it came to %s: %s", task.Result, task.Detail))
			}
		}
		return harness.Final(fmt.Errorf("upgrade %d is not among %+v", number, tasks))
	}))
	task, err := c.server.Task(c.ctx, number)
	c.must(err)
	return task
}
