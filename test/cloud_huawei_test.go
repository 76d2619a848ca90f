package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// refusedByHuawei wants an error as the SDK understands it, and returns what it says.
func (s *scene) refusedByHuawei(err error, status int, code string) string {
	s.t.Helper()
	refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err)
	if !ok {
		s.t.Errorf("the answer is %v, want a refusal with %s", err, code)
		return ""
	}
	if refused.StatusCode != status || refused.ErrorCode != code || refused.ErrorMessage == "" || refused.RequestId == "" {
		s.t.Errorf("refused with %+v, want status %d and %s", refused, status, code)
	}
	return refused.ErrorMessage
}

// atHuawei writes a time as this vendor does.
func atHuawei(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05-0700") }

// text is what a pointer of the SDK's points to.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// listedAtHuawei wants the instance as it is now.
func (c *clouds) listedAtHuawei(status string) {
	c.t.Helper()
	c.must(c.server.JSON(c.ctx, &c.instance, "instance", "show", id))
	version, endpoint := c.instance.Cluster.Version, c.instance.Endpoint.Listen
	response, err := c.huawei.ListInstances(&model.ListInstancesRequest{
		Name: new(id), DatastoreType: new(model.GetListInstancesRequestDatastoreTypeEnum().POSTGRE_SQL),
	})
	c.must(err)
	if *response.TotalCount != 1 || len(*response.Instances) != 1 {
		c.t.Fatalf("the instances are %s", response)
	}
	i := (*response.Instances)[0]
	got := []string{i.Id, i.Name, i.Status, i.Datastore.Type.Value(), i.Datastore.Version, text(i.Datastore.CompleteVersion), fmt.Sprint(i.PrivateIps, i.Port)}
	want := []string{
		c.huaweiID, id, status, "PostgreSQL", fmt.Sprint(version.Major()), version.String(),
		fmt.Sprint([]string{endpoint.Host}, endpoint.Port),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("ListInstances (-want +got):\n%s", diff)
	}
}

// huaweiStatus asks where the last check or upgrade stands.
func (c *clouds) huaweiStatus(action string, language *string) (*model.ShowUpgradeDbMajorVersionStatusResponse, error) {
	return c.huawei.ShowUpgradeDbMajorVersionStatus(&model.ShowUpgradeDbMajorVersionStatusRequest{
		InstanceId: c.huaweiID, Action: action, XLanguage: language,
	})
}

// nothingYetAtHuawei: what has never run has no status, and says so in the reader's language.
func (c *clouds) nothingYetAtHuawei() {
	c.t.Helper()
	for _, action := range []string{"check", "upgrade"} {
		_, err := c.huaweiStatus(action, new("en-us"))
		english := c.refusedByHuawei(err, http.StatusBadRequest, "DBS.200086")
		_, err = c.huaweiStatus(action, new("zh-cn"))
		chinese := c.refusedByHuawei(err, http.StatusBadRequest, "DBS.200086")
		isHan := func(r rune) bool { return unicode.Is(unicode.Han, r) }
		if strings.ContainsFunc(english, isHan) || !strings.ContainsFunc(chinese, isHan) {
			c.t.Errorf("action %s: in English %q, in Chinese %q", action, english, chinese)
		}
	}
}

// offeredAtHuawei wants the installed versions above the instance's own, the target among them or not.
func (c *clouds) offeredAtHuawei(target bool) {
	c.t.Helper()
	response, err := c.huawei.ShowAvailableVersion(&model.ShowAvailableVersionRequest{InstanceId: c.huaweiID})
	c.must(err)
	majors := make([]int, len(*response.AvailableVersions))
	for i, version := range *response.AvailableVersions {
		major, _, _ := strings.Cut(version, ".")
		majors[i], err = strconv.Atoi(major)
		c.must(err)
	}
	own := int(c.instance.Cluster.Version.Major())
	older := func(major int) bool { return major <= own }
	if slices.Contains(majors, c.to) != target || !slices.IsSorted(majors) || slices.ContainsFunc(majors, older) {
		c.t.Errorf("to an instance of version %d, %v are available", own, *response.AvailableVersions)
	}
}

// inspect checks for the way this vendor upgrades. There are so many inspections then, those through other
// APIs among them.
func (c *clouds) inspect(inspections int32) {
	started, err := c.huawei.UpgradeDbMajorVersionPreCheck(&model.UpgradeDbMajorVersionPreCheckRequest{
		InstanceId: c.huaweiID, Body: &model.PostgresqlPreCheckUpgradeMajorVersionReq{TargetVersion: strconv.Itoa(c.to)},
	})
	c.must(err)
	var status *model.ShowUpgradeDbMajorVersionStatusResponse
	c.must(harness.Await(c.ctx, patience, "the inspection to end", func(context.Context) error {
		status, err = c.huaweiStatus("check", nil)
		if err != nil {
			return harness.Final(err)
		}
		if text(status.Status) == "running" {
			return errors.New("it runs")
		}
		return nil
	}))
	if text(status.Status) != "success" || text(status.CheckExpirationTime) == "" || text(status.Detail) == "" {
		c.t.Fatalf("the inspection came to %s", status)
	}
	histories, err := c.huawei.ListInspectionHistories(&model.ListInspectionHistoriesRequest{InstanceId: c.huaweiID, IsAvailable: new(true)})
	c.must(err)
	if *histories.TotalCount != inspections {
		c.t.Fatalf("the inspections are %s", histories)
	}
	newest := (*histories.InspectionReports)[0]
	got := []string{newest.Id, newest.CheckTime, newest.ExpirationTime, newest.TargetVersion, newest.Result, newest.Detail}
	want := []string{
		text(started.ReportId), text(status.StartTime), text(status.CheckExpirationTime), text(status.TargetVersion), "success", text(status.Detail),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("ListInspectionHistories (-status +history):\n%s", diff)
	}
	if job := c.huaweiJob(newest.Id); job.Status.Value() != "Completed" {
		c.t.Errorf("the inspection's job is %s", job)
	}
}

func (c *clouds) huaweiJob(uuid string) *model.GetJobInfoResponseBodyJob {
	c.t.Helper()
	response, err := c.huawei.ListJobInfo(&model.ListJobInfoRequest{Id: uuid})
	c.must(err)
	if response.Job.Id != uuid || response.Job.Instance.Id != c.huaweiID || response.Job.Instance.Name != id {
		c.t.Errorf("job %s is %s", uuid, response.Job)
	}
	return response.Job
}

// useToken asks without a signature, with a token that was given for the access key.
func (c *clouds) useToken() {
	address, err := c.server.Address()
	c.must(err)
	body, err := json.Marshal(map[string]any{"auth": map[string]any{"identity": map[string]any{
		"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{"name": c.key.ID, "password": c.key.Secret}},
	}}})
	c.must(err)
	r, err := http.NewRequestWithContext(c.ctx, http.MethodPost, address+"/v3/auth/tokens", strings.NewReader(string(body)))
	c.must(err)
	r.Header.Set("Content-Type", "application/json")
	response, err := c.server.Send(r)
	c.must(err)
	c.must(response.Body.Close())
	token := response.Header.Get("X-Subject-Token")
	if response.StatusCode != http.StatusCreated || token == "" {
		c.t.Fatalf("POST /v3/auth/tokens: %s, token %q", response.Status, token)
	}
	for _, test := range []struct {
		token string
		want  int
	}{{token, http.StatusOK}, {strings.ToUpper(token), http.StatusUnauthorized}, {"", http.StatusUnauthorized}} {
		path := address + "/v3/" + harness.HuaweiProject + "/instances/" + c.huaweiID + "/major-version/status?action=check"
		r, err := http.NewRequestWithContext(c.ctx, http.MethodGet, path, nil)
		c.must(err)
		if test.token != "" {
			r.Header.Set("X-Auth-Token", test.token)
		}
		if status, body := c.send(r); status != test.want {
			c.t.Errorf("with the token %q the answer is status %d: %s", test.token, status, body)
		}
	}
	c.keepsSecret(token)
}

// huaweiUpgrade is the only upgrade in the history.
func (c *clouds) huaweiUpgrade() model.UpgradeReports { return c.huaweiUpgrades(1)[0] }

// huaweiUpgrades are so many, the one that ended first being the first.
func (c *clouds) huaweiUpgrades(want int32) []model.UpgradeReports {
	c.t.Helper()
	response, err := c.huawei.ListUpgradeHistories(&model.ListUpgradeHistoriesRequest{
		InstanceId: c.huaweiID, Limit: new(int32(100)), Order: new("ASC"), SortField: new("end_time"),
	})
	c.must(err)
	if *response.TotalCount != want || len(*response.UpgradeReports) != int(want) {
		c.t.Fatalf("the upgrades are %s", response)
	}
	return *response.UpgradeReports
}

// followedAtHuawei looks at an upgrade that runs.
func (c *clouds) followedAtHuawei(number int64) {
	task, err := c.server.Task(c.ctx, number)
	c.must(err)
	status, err := c.huaweiStatus("upgrade", nil)
	c.must(err)
	if text(status.Status) != "running" || text(status.StartTime) != atHuawei(task.StartedAt) || status.CheckExpirationTime != nil ||
		!strings.HasPrefix(text(status.TargetVersion), strconv.Itoa(c.to)) {
		c.t.Errorf("the status is %s, in truth %+v", status, task)
	}
	if r := c.huaweiUpgrade(); r.Id != task.ID || r.Result != "running" || r.EndTime != "" || r.IsPrivateIpChanged || r.PrivateIpChangeTime != "" {
		c.t.Errorf("the history has %s", r)
	}
	job := c.huaweiJob(task.ID)
	percent, err := strconv.Atoi(strings.TrimSuffix(text(job.Process), "%"))
	if err != nil || percent < 0 || percent > 99 || job.Status.Value() != "Running" || job.Ended != nil {
		c.t.Errorf("the job is %s", job)
	}
	_, err = c.huawei.UpgradeDbMajorVersionPreCheck(&model.UpgradeDbMajorVersionPreCheckRequest{
		InstanceId: c.huaweiID, Body: &model.PostgresqlPreCheckUpgradeMajorVersionReq{TargetVersion: strconv.Itoa(c.to)},
	})
	c.refusedByHuawei(err, http.StatusConflict, "DBS.200019")
}

// toldByHuawei compares the history with the native API.
func (c *clouds) toldByHuawei(task upgrade.Task) {
	got := c.huaweiUpgrade()
	want := model.UpgradeReports{
		Id: task.ID, StartTime: atHuawei(task.StartedAt), EndTime: atHuawei(task.Switchover.EndedAt),
		SrcInstanceId: c.huaweiID, SrcDatabaseVersion: task.Source.String(), DstInstanceId: c.huaweiID, DstDatabaseVersion: got.DstDatabaseVersion,
		Result: "success", IsPrivateIpChanged: true, PrivateIpChangeTime: atHuawei(task.Switchover.EndedAt),
		StatisticsCollectionMode: "after_change_private_ip", Detail: got.Detail,
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.DstDatabaseVersion, strconv.Itoa(c.to)) {
		c.t.Errorf("ListUpgradeHistories (-in truth +told), to version %s:\n%s", got.DstDatabaseVersion, diff)
	}
	c.tellsAll(task, got.Detail)
	status, err := c.huaweiStatus("upgrade", nil)
	c.must(err)
	if text(status.Status) != "success" || text(status.StartTime) != got.StartTime || text(status.TargetVersion) != got.DstDatabaseVersion || text(status.Detail) != got.Detail {
		c.t.Errorf("the status is %s, the history has %s", status, got)
	}
	c.toldInChinese(got.Detail)
	if job := c.huaweiJob(task.ID); job.Status.Value() != "Completed" || text(job.Ended) != got.EndTime || text(job.Process) != "" || job.FailReason != nil {
		c.t.Errorf("the job is %s", job)
	}
}

// toldInChinese wants the same log in the reader's language: line by line, and most of them not in English.
func (c *clouds) toldInChinese(log string) {
	c.t.Helper()
	status, err := c.huaweiStatus("upgrade", new("zh-cn"))
	c.must(err)
	english, chinese := strings.Split(log, "\n"), strings.Split(text(status.Detail), "\n")
	if len(english) != len(chinese) {
		c.t.Fatalf("in English there are %d lines, in Chinese %d", len(english), len(chinese))
	}
	same := 0
	for i, line := range chinese {
		at, _, _ := strings.Cut(english[i], " --- ")
		if !strings.HasPrefix(line, at) {
			c.t.Errorf("line %d is %q, in English %q", i+1, line, english[i])
		}
		if line == english[i] && line != "" {
			same++
			c.t.Logf("only in English: %s", line)
		}
	}
	if same > len(english)/3 {
		c.t.Errorf("%d of %d lines are in English", same, len(english))
	}
}
