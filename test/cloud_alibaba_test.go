package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// alibabaTask is an upgrade as the vendor's published sample shows it, numbers as numbers. The
// SDK's own struct lacks some of it.
type alibabaTask struct {
	TaskID                                        int64 `json:"TaskId"`
	SourceInsName, TargetInsName                  string
	SourceMajorVersion, TargetMajorVersion        int
	StartTime, SwitchTime, SwitchEndTime, EndTime int64
	Result, UpgradeMode, CollectStatMode, Detail  string
	CutOver                                       bool   `json:"cutOver"`
	LatencyMB                                     *int64 `json:"totalLogicRepLatencyMB"`
	DelayTime                                     *int64 `json:"totalLogicRepDelayTime"`
	Host                                          string `json:"zeroDownTimeConnectionString"`
	Port                                          int    `json:"zeroDownTimePort"`
}

// atAlibaba is a version as this vendor writes it.
func atAlibaba(major int) string { return fmt.Sprintf("%d.0", major) }

// refusedByAlibaba wants an error as the SDK understands it.
func (s *scene) refusedByAlibaba(err error, status int, code string) {
	s.t.Helper()
	refused, ok := errors.AsType[*sdkerrors.ServerError](err)
	if !ok {
		s.t.Errorf("the answer is %v, want a refusal with %s", err, code)
		return
	}
	if refused.HttpStatus() != status || refused.ErrorCode() != code || refused.Message() == "" || refused.RequestId() == "" {
		s.t.Errorf("refused with status %d, want %d and %s: %v", refused.HttpStatus(), status, code, refused)
	}
}

// listedAtAlibaba wants the instance as it is now: its version, and the endpoint, which never changes.
func (c *clouds) listedAtAlibaba(status string) {
	c.t.Helper()
	c.must(c.server.JSON(c.ctx, &c.instance, "instance", "show", id))
	version := atAlibaba(int(c.instance.Cluster.Version.Major()))
	host, port := c.instance.Endpoint.Listen.Host, strconv.Itoa(c.instance.Endpoint.Listen.Port)

	list := alibaba.CreateDescribeDBInstancesRequest()
	list.DBInstanceId = id
	listed, err := c.alibaba.DescribeDBInstances(list)
	c.must(err)
	if n := len(listed.Items.DBInstance); n != 1 || listed.TotalRecordCount != 1 {
		c.t.Fatalf("%d instances are called %s", n, id)
	}
	row := listed.Items.DBInstance[0]
	got := []string{row.DBInstanceId, row.Engine, row.EngineVersion, row.DBInstanceStatus, row.ConnectionString, row.LockMode}
	want := []string{id, "PostgreSQL", version, status, host, "Unlock"}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("DescribeDBInstances (-want +got):\n%s", diff)
	}

	about := alibaba.CreateDescribeDBInstanceAttributeRequest()
	about.DBInstanceId = id
	attributes, err := c.alibaba.DescribeDBInstanceAttribute(about)
	c.must(err)
	a := attributes.Items.DBInstanceAttribute[0]
	got = []string{a.DBInstanceId, a.Engine, a.EngineVersion, a.DBInstanceStatus, a.ConnectionString, a.Port}
	if diff := cmp.Diff(append(want[:5:5], port), got); diff != "" {
		c.t.Errorf("DescribeDBInstanceAttribute (-want +got):\n%s", diff)
	}

	where := alibaba.CreateDescribeDBInstanceNetInfoRequest()
	where.DBInstanceId = id
	reached, err := c.alibaba.DescribeDBInstanceNetInfo(where)
	c.must(err)
	n := reached.DBInstanceNetInfos.DBInstanceNetInfo[0]
	if n.ConnectionString != host || n.Port != port || n.PGBouncerPort != port {
		c.t.Errorf("DescribeDBInstanceNetInfo tells of %s:%s (PgBouncer %s), want %s:%s", n.ConnectionString, n.Port, n.PGBouncerPort, host, port)
	}
}

// nothingYetAtAlibaba: an upgrade wants a report, and a verb an upgrade.
func (c *clouds) nothingYetAtAlibaba() {
	c.t.Helper()
	if response, tasks := c.alibabaUpgrades(); len(tasks) != 0 || response.TotalRecordCount != 0 {
		c.t.Errorf("there are upgrades already: %+v", tasks)
	}
	_, err := c.alibaba.UpgradeDBInstanceMajorVersion(c.upgradeRequest())
	c.refusedByAlibaba(err, http.StatusBadRequest, "InvalidUpgradePrecheckResult")
	for _, verb := range []string{"switch", "interrupt", "cancel"} {
		_, err := c.say(verb)
		c.refusedByAlibaba(err, http.StatusBadRequest, "InvalideStatus.Format")
	}
}

// precheck checks for an upgrade without downtime, which the SDK does not know by name.
func (c *clouds) precheck() {
	request := alibaba.CreateUpgradeDBInstanceMajorVersionPrecheckRequest()
	request.DBInstanceId, request.TargetMajorVersion = id, atAlibaba(c.to)
	request.QueryParams["UpgradeMode"] = "zeroDownTimeUpgrade"
	started, err := c.alibaba.UpgradeDBInstanceMajorVersionPrecheck(request)
	c.must(err)
	if started.DBInstanceName != id || started.TargetMajorVersion != atAlibaba(c.to) {
		c.t.Errorf("the precheck is of %s to %s", started.DBInstanceName, started.TargetMajorVersion)
	}

	about := alibaba.CreateDescribeUpgradeMajorVersionPrecheckTaskRequest()
	about.DBInstanceId, about.TaskId = id, requests.Integer(started.TaskId)
	var task alibaba.TasksInDescribeUpgradeMajorVersionPrecheckTask
	c.must(harness.Await(c.ctx, patience, "the precheck to end", func(context.Context) error {
		response, err := c.alibaba.DescribeUpgradeMajorVersionPrecheckTask(about)
		if err != nil || len(response.Items) != 1 {
			return harness.Final(fmt.Errorf("%d prechecks: %w", len(response.Items), err))
		}
		if task = response.Items[0]; task.Result == "Running" {
			return errors.New("it runs")
		}
		return nil
	}))
	if strconv.Itoa(task.TaskId) != started.TaskId || task.Result != "Success" && task.Result != "warning" {
		c.t.Errorf("precheck %s came to %+v", started.TaskId, task)
	}
	if task.SourceMajorVersion != atAlibaba(c.from) || task.TargetMajorVersion != atAlibaba(c.to) || !strings.HasPrefix(task.Detail, "[user_check_report]\n") {
		c.t.Errorf("the report is %+v", task)
	}
	if checked, until := c.millis(task.CheckTime), c.millis(task.EffectiveTime); until.Sub(checked) != 7*24*time.Hour || time.Since(checked) > patience {
		c.t.Errorf("checked at %s, valid until %s", checked, until)
	}
}

// millis reads a time as this vendor writes it.
func (s *scene) millis(text string) time.Time {
	s.t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	s.must(err)
	return time.UnixMilli(n)
}

func (c *clouds) upgradeRequest() *alibaba.UpgradeDBInstanceMajorVersionRequest {
	request := alibaba.CreateUpgradeDBInstanceMajorVersionRequest()
	request.DBInstanceId, request.TargetMajorVersion = id, atAlibaba(c.to)
	request.PayType, request.CollectStatMode = "Postpaid", "After"
	request.QueryParams["UpgradeMode"] = "zeroDownTimeUpgrade"
	return request
}

// startUpgrade starts the upgrade, and repeats itself as a client does that has lost the answer.
func (c *clouds) startUpgrade() int64 {
	first := c.upgradeRequest()
	first.ClientToken = "the-one-upgrade"
	started, err := c.alibaba.UpgradeDBInstanceMajorVersion(first)
	c.must(err)
	again := c.upgradeRequest()
	again.ClientToken = first.ClientToken
	repeated, err := c.alibaba.UpgradeDBInstanceMajorVersion(again)
	c.must(err)
	if started.DBInstanceId != id || started.TaskId == 0 || repeated.TaskId != started.TaskId || repeated.RequestId == started.RequestId {
		c.t.Errorf("started %+v, repeated %+v", started, repeated)
	}
	_, err = c.alibaba.UpgradeDBInstanceMajorVersion(c.upgradeRequest())
	if refused, ok := errors.AsType[*sdkerrors.ServerError](err); !ok || refused.ErrorCode() != "InvalideStatus.Format" && refused.ErrorCode() != "MirrorInsExists" {
		c.t.Errorf("a second upgrade: %v", err)
	}
	return started.TaskId
}

// alibabaUpgrades lists the upgrades, as the SDK decodes them and as they are.
func (c *clouds) alibabaUpgrades() (*alibaba.DescribeUpgradeMajorVersionTasksResponse, []alibabaTask) {
	c.t.Helper()
	request := alibaba.CreateDescribeUpgradeMajorVersionTasksRequest()
	request.DBInstanceId, request.PageSize = id, requests.NewInteger(30)
	response, err := c.alibaba.DescribeUpgradeMajorVersionTasks(request)
	c.must(err)
	var body struct {
		RequestID                                     string `json:"RequestId"`
		PageNumber, PageRecordCount, TotalRecordCount int
		Items                                         []alibabaTask
	}
	decoder := json.NewDecoder(strings.NewReader(response.GetHttpContentString()))
	decoder.DisallowUnknownFields()
	c.must(decoder.Decode(&body))
	if body.PageNumber != 1 || body.PageRecordCount != 30 || body.TotalRecordCount != len(body.Items) || len(response.Items) != len(body.Items) {
		c.t.Errorf("the page is %s", response.GetHttpContentString())
	}
	return response, body.Items
}

// followedAtAlibaba waits until the target has caught up, and connects to it where it is said to be.
func (c *clouds) followedAtAlibaba(number int64) {
	var now alibabaTask
	var text string
	c.must(harness.Await(c.ctx, patience, "the target to have caught up", func(context.Context) error {
		response, tasks := c.alibabaUpgrades()
		if len(tasks) != 1 || tasks[0].Result != "Running" {
			return harness.Final(fmt.Errorf("the upgrades are %+v", tasks))
		}
		now, text = tasks[0], response.GetHttpContentString()
		if now.LatencyMB == nil || now.DelayTime == nil || *now.LatencyMB > 8 || *now.DelayTime < 0 || *now.DelayTime > 4 {
			return fmt.Errorf("it is %+v", now)
		}
		return nil
	}))
	for _, name := range []string{ // other clients look for these very names
		"cutOver", "totalLogicRepLatencyMB", "totalLogicRepDelayTime", "zeroDownTimeConnectionString", "zeroDownTimePort",
	} {
		if !strings.Contains(text, `"`+name+`":`) {
			c.t.Errorf("there is no %s in %s", name, text)
		}
	}
	task, err := c.server.Task(c.ctx, number)
	c.must(err)
	if now.TaskID != number || now.StartTime != task.StartedAt.UnixMilli() || now.EndTime != 0 || now.SwitchTime != 0 || now.CutOver || now.UpgradeMode != "switch" {
		c.t.Errorf("while it runs it is %+v, in truth %+v", now, task)
	}
	if now.Host != "127.0.0.1" || now.Port != task.Plan.Target.Port {
		c.t.Errorf("the target is said to be at %s:%d, in truth at port %d", now.Host, now.Port, task.Plan.Target.Port)
	}
	var major int
	var follows bool
	c.must(c.source.Upgraded("", "", now.Port).QueryRow(c.ctx, harness.Bank, `
		SELECT current_setting('server_version_num')::int / 10000,
			EXISTS (SELECT FROM pg_subscription WHERE subname = '`+upgrade.Subscription+`')`, &major, &follows))
	if major != c.to || !follows {
		c.t.Errorf("at port %d there is a PostgreSQL %d, following: %v", now.Port, major, follows)
	}
}

// say says a verb of the switchover. The SDK does not know the operation, which is what it has common
// requests for.
func (c *clouds) say(verb string) (answer string, err error) {
	q := requests.NewCommonRequest()
	q.Version, q.ApiName, q.Method = "2014-08-15", "SwitchOverMajorVersionUpgrade", requests.POST
	q.Domain = c.alibaba.Domain
	q.QueryParams["DBInstanceName"] = id
	q.FormParams["Type"], q.FormParams["SwitchoverTimeout"] = verb, "30"
	response, err := c.alibaba.ProcessCommonRequest(q)
	if err != nil {
		return "", err
	}
	return response.GetHttpContentString(), nil
}

// switchOverAtAlibaba switches, and waits for the end of the upgrade.
func (c *clouds) switchOverAtAlibaba() {
	_, err := c.say("interrupt")
	c.refusedByAlibaba(err, http.StatusBadRequest, "InvalideStatus.Format") // there is no switchover
	_, err = c.say("jump")
	c.refusedByAlibaba(err, http.StatusBadRequest, "Parameters.Invalid")
	said, err := c.say("switch")
	c.must(err)
	var members map[string]any
	c.must(json.Unmarshal([]byte(said), &members))
	if len(members) != 1 || members["RequestId"] == nil {
		c.t.Errorf("the answer is %s, want a request's id alone", said)
	}
	c.must(harness.Await(c.ctx, patience, "the upgrade to end", func(context.Context) error {
		if _, tasks := c.alibabaUpgrades(); len(tasks) != 1 || tasks[0].Result == "Running" {
			return fmt.Errorf("the upgrades are %+v", tasks)
		}
		return nil
	}))
}

// interruptAtAlibaba ends a switchover that a transaction holds up. Clients go on, and the upgrade synchronizes again.
func (c *clouds) interruptAtAlibaba(number int64) {
	release := c.hold("held-at-alibaba")
	c.pausing(func() {
		_, err := c.say("switch")
		c.must(err)
	})
	_, err := c.say("interrupt")
	c.must(err)
	c.goesOn(15 * time.Second)
	release()
	c.notSwitched(number, "")
	c.listedAtAlibaba("TransingToOthers")
	if _, tasks := c.alibabaUpgrades(); tasks[0].Result != "Running" || tasks[0].CutOver || !strings.Contains(tasks[0].Detail, "interrupt") {
		c.t.Errorf("after an interrupted switchover the upgrade is %+v", tasks[0])
	}
	c.synchronized(number)
}

// cancelAtAlibaba abandons an upgrade: while it synchronizes, and not before.
func (c *clouds) cancelAtAlibaba(number int64, phase upgrade.Phase) {
	c.t.Helper()
	_, err := c.say("cancel")
	if phase != upgrade.PhaseSynchronizing {
		c.refusedByAlibaba(err, http.StatusBadRequest, "InvalideStatus.Format")
		return
	}
	c.must(err)
	_, err = c.server.AwaitEnd(c.ctx, number, patience)
	c.must(err)
	_, tasks := c.alibabaUpgrades()
	ended := " --- The upgrade has ended: cancelled, cancelled by the user.\n"
	if got := tasks[0]; got.TaskID != number || got.Result != "Failed" || !strings.HasSuffix(got.Detail, ended) {
		c.t.Errorf("the cancelled upgrade is %+v", got)
	}
	c.listedAtAlibaba("Running")
}

// toldByAlibaba compares the history with the native API, whoever asks and however. To the clouds the upgrade has ended
// when clients had switched: they know no way back.
func (c *clouds) toldByAlibaba(task upgrade.Task) {
	response, tasks := c.alibabaUpgrades()
	if len(tasks) != 1 {
		c.t.Fatalf("the upgrades are %+v", tasks)
	}
	got := tasks[0]
	want := alibabaTask{
		TaskID: task.Number, SourceInsName: id, TargetInsName: id, SourceMajorVersion: c.from, TargetMajorVersion: c.to,
		StartTime: task.StartedAt.UnixMilli(), EndTime: task.Switchover.EndedAt.UnixMilli(),
		SwitchTime: task.Switchover.StartedAt.UnixMilli(), SwitchEndTime: task.Switchover.EndedAt.UnixMilli(),
		Result: "Success", UpgradeMode: "switch", CollectStatMode: "After", CutOver: true, Detail: got.Detail,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("DescribeUpgradeMajorVersionTasks (-in truth +told):\n%s", diff)
	}
	if times := []int64{got.StartTime, got.SwitchTime, got.SwitchEndTime, got.EndTime}; !slices.IsSorted(times) || times[0] == times[3] {
		c.t.Errorf("start, switchover, its end and the end are at %v", times)
	}
	c.tellsAll(task, got.Detail)

	asXML := alibaba.CreateDescribeUpgradeMajorVersionTasksRequest()
	asXML.DBInstanceId, asXML.TargetMajorVersion, asXML.Method, asXML.AcceptFormat = id, atAlibaba(c.to), requests.GET, "XML"
	parsed, err := c.alibaba.DescribeUpgradeMajorVersionTasks(asXML)
	c.must(err)
	if diff := cmp.Diff(response.Items, parsed.Items); diff != "" || parsed.TotalRecordCount != 1 {
		c.t.Errorf("asked with GET for XML (-JSON +XML):\n%s", diff)
	}
	c.toldInV3(response.GetHttpContentString())
}

// tellsAll makes sure that a log tells of the beginning and the end of an upgrade, of each phase and of each
// event, and of nothing else.
func (c *clouds) tellsAll(task upgrade.Task, log string) {
	c.t.Helper()
	events, err := c.server.Events(c.ctx, task.Number, 0)
	c.must(err)
	var want []string
	tell := func(at time.Time, text string) {
		text = strings.Join(strings.Fields(text), " ")
		first, size := utf8.DecodeRuneInString(text)
		if word, _, _ := strings.Cut(text, " "); !strings.Contains(word, "_") { // a program's name stays as it is
			first = unicode.ToUpper(first)
		}
		want = append(want, at.UTC().Format(time.DateTime)+" --- "+string(first)+strings.TrimSuffix(text[size:], ".")+".")
	}
	tell(task.StartedAt, "the upgrade begins")
	for _, span := range task.Phases {
		if span.Phase != upgrade.PhasePrecheck { // with which the upgrade begins
			tell(span.StartedAt, fmt.Sprintf("phase %q begins", span.Phase))
		}
	}
	for _, e := range events {
		tell(e.At, e.Text)
	}
	tell(*task.EndedAt, "the upgrade has ended: succeeded")
	got := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("the log (-events +log):\n%s", diff)
	}
}

// toldInV3 asks the same with the vendor's other signature.
func (c *clouds) toldInV3(before string) {
	c.t.Helper()
	answer, body := v3Call{
		key: c.key, action: "DescribeUpgradeMajorVersionTasks", query: map[string]string{"DBInstanceId": id, "PageSize": "30"},
	}.call(c.scene)
	items := func(text string) string {
		var page struct{ Items json.RawMessage }
		c.must(json.Unmarshal([]byte(text), &page))
		return string(page.Items)
	}
	if answer != http.StatusOK || items(body) != items(before) {
		c.t.Errorf("signed with ACS3-HMAC-SHA256 the answer is status %d: %s", answer, body)
	}
}

// removeFormer gives up what the upgrade has left, and its way back, if that is still open. What serves cannot be given
// up.
func (c *clouds) removeFormer(number int64) {
	former := fmt.Sprintf("%s-old-%d", id, number)
	about := alibaba.CreateDescribeDBInstanceAttributeRequest()
	about.DBInstanceId = former
	there, err := c.alibaba.DescribeDBInstanceAttribute(about)
	c.must(err)
	if a := there.Items.DBInstanceAttribute[0]; a.EngineVersion != atAlibaba(c.from) || a.Port != strconv.Itoa(c.source.Port) || a.LockMode == "Unlock" {
		c.t.Errorf("the former cluster is %+v", a)
	}

	remove := alibaba.CreateDeleteDBInstanceRequest()
	remove.DBInstanceId = id
	_, err = c.alibaba.DeleteDBInstance(remove)
	c.refusedByAlibaba(err, http.StatusBadRequest, "InvalideStatus.Format")

	remove = alibaba.CreateDeleteDBInstanceRequest()
	remove.DBInstanceId, remove.ReleasedKeepPolicy = former, "None"
	_, err = c.alibaba.DeleteDBInstance(remove)
	c.must(err)
	_, err = c.server.AwaitEnd(c.ctx, number, patience) // a way back is ended after the answer
	c.must(err)
	c.must(harness.Await(c.ctx, 10*time.Second, "the former cluster to be down", func(context.Context) error {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.source.Port)))
		if err == nil {
			return errors.Join(errors.New("it listens"), conn.Close())
		}
		return nil
	}))
	version, err := os.ReadFile(filepath.Join(c.source.Pgdata, "PG_VERSION"))
	if err != nil || strings.TrimSpace(string(version)) != strconv.Itoa(c.from) {
		c.t.Errorf("the former cluster's data directory is gone: %v", err)
	}
	_, err = c.alibaba.DescribeDBInstanceAttribute(about)
	c.refusedByAlibaba(err, http.StatusNotFound, "InvalidDBInstanceName.NotFound")
	_, err = c.alibaba.DeleteDBInstance(remove)
	c.refusedByAlibaba(err, http.StatusBadRequest, "ProductInstanceReleased")
	c.must(c.target().QueryRow(c.ctx, harness.Bank, "SELECT 1", new(int))) // which serves on
}
