package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/test/harness"
)

// The vendors' APIs open to who holds an access key, as far as its policy lets them, and to each request
// once; without keys they are not there. Secrets stay secret.
func TestCloudDoorsAreClosed(t *testing.T) {
	t.Setenv("PGLEAP_LOG_LEVEL", "debug") // even then no secret is logged
	from, to := versions(t)
	s := newScene(t, from, to)
	s.within("no key", func() { s.noDoors(harness.AccessKey{ID: "PGLEAPNOBODY", Secret: "none"}) })

	full, err := s.server.NewAccessKey(s.ctx, "--description", "everything")
	s.must(err)
	reader, err := s.server.NewAccessKey(s.ctx, "--policy", "read-only")
	s.must(err)
	s.within("read-only key", func() { s.readsOnly(reader) })
	s.within("keys for one instance", s.oneInstance)
	s.within("strangers", func() { s.strangers(full) })
	s.within("replay and skew, Alibaba", func() { s.onceAtAlibaba(full) })
	s.within("replay and skew, Huawei", func() { s.onceAtHuawei(full) })
	s.within("record", func() { s.recorded(full, reader) })
	s.within("rotated key", func() {
		var rotated harness.AccessKey
		s.must(s.server.JSON(s.ctx, &rotated, "access-key", "rotate", full.ID))
		s.strangers(rotated)
		_, err := s.describe(full)
		s.refusedByAlibaba(err, http.StatusBadRequest, "SignatureDoesNotMatch")
		s.keepsSecret(rotated.Secret)
	})
	s.within("disabled key", func() {
		s.must(s.server.JSON(s.ctx, nil, "access-key", "disable", reader.ID))
		_, err := s.describe(reader)
		s.refusedByAlibaba(err, http.StatusBadRequest, "InvalidAccessKeyId.Inactive")
		_, err = s.askHuawei(reader, id)
		s.refusedByHuawei(err, http.StatusUnauthorized, "APIGW.0301")
		s.must(s.server.JSON(s.ctx, nil, "access-key", "disable", full.ID))
		s.noDoors(full)
	})
	s.keepsSecret(full.Secret)
	s.keepsSecret(reader.Secret)
}

// describe asks Alibaba's API for the upgrades of the instance.
func (s *scene) describe(key harness.AccessKey) (*alibaba.DescribeUpgradeMajorVersionTasksResponse, error) {
	s.t.Helper()
	client, err := s.server.Alibaba(key)
	s.must(err)
	request := alibaba.CreateDescribeUpgradeMajorVersionTasksRequest()
	request.DBInstanceId = id
	return client.DescribeUpgradeMajorVersionTasks(request)
}

// askHuawei asks Huawei's API for the upgrades of an instance.
func (s *scene) askHuawei(key harness.AccessKey, instance string) (*model.ListUpgradeHistoriesResponse, error) {
	s.t.Helper()
	client, err := s.server.Huawei(key)
	s.must(err)
	return client.ListUpgradeHistories(&model.ListUpgradeHistoriesRequest{InstanceId: instance})
}

// noDoors makes sure that nothing tells of the vendors' APIs, signed requests or not.
func (s *scene) noDoors(key harness.AccessKey) {
	s.t.Helper()
	address, err := s.server.Address()
	s.must(err)
	var bodies []string
	ask := func(r *http.Request) {
		status, body := s.send(r)
		if status != http.StatusNotFound {
			s.t.Errorf("%s %s: status %d: %s", r.Method, r.URL, status, body)
		}
		bodies = append(bodies, body)
	}
	for _, path := range []string{
		"/", "/?Action=DescribeDBInstances", "/aliyun/", "/nothing",
		"/v3", "/v3/projects", "/v3/auth/tokens", "/v3/" + harness.HuaweiProject + "/instances",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.NewRequestWithContext(s.ctx, method, address+path, strings.NewReader("Action=DescribeRegions"))
			s.must(err)
			ask(r)
		}
	}
	ask(v3Call{key: key, action: "DescribeRegions"}.request(s))
	for _, body := range bodies {
		if body != bodies[0] {
			s.t.Errorf("the answers differ: %q, %q", bodies[0], body)
		}
	}
	_, err = s.askHuawei(key, id)
	if err == nil || !strings.Contains(err.Error(), "404") {
		s.t.Errorf("Huawei's SDK is told %v", err)
	}
}

// readsOnly: a key that may look may not touch, and does not learn by that what there is.
func (s *scene) readsOnly(key harness.AccessKey) {
	if _, err := s.describe(key); err != nil {
		s.t.Errorf("it may not describe: %v", err)
	}
	if _, err := s.askHuawei(key, s.instance.UUID+"in03"); err != nil {
		s.t.Errorf("it may not list: %v", err)
	}
	for _, action := range []string{"UpgradeDBInstanceMajorVersion", "DeleteDBInstance", "SwitchOverMajorVersionUpgrade"} {
		name := "DBInstanceId"
		if action == "SwitchOverMajorVersionUpgrade" {
			name = "DBInstanceName"
		}
		var refusals []string
		for _, instance := range []string{id, "nobody"} {
			status, body := v3Call{key: key, action: action, query: map[string]string{name: instance}}.call(s)
			var refusal map[string]any
			s.must(json.Unmarshal([]byte(body), &refusal))
			if status != http.StatusForbidden || refusal["Code"] != "Forbidden.RAM" {
				s.t.Errorf("%s of %s: status %d: %s", action, instance, status, body)
			}
			refusals = append(refusals, strings.ReplaceAll(body, fmt.Sprint(refusal["RequestId"]), "ID"))
		}
		if refusals[0] != refusals[1] {
			s.t.Errorf("%s tells an instance that is there (%s) from one that is not (%s)", action, refusals[0], refusals[1])
		}
	}
	s.forbiddenAtHuawei(key)
}

// forbiddenAtHuawei is the same at the other vendor's.
func (s *scene) forbiddenAtHuawei(key harness.AccessKey) {
	s.t.Helper()
	client, err := s.server.Huawei(key)
	s.must(err)
	var refusals []string
	for _, instance := range []string{s.instance.UUID + "in03", strings.Repeat("0", 32) + "in03"} {
		_, err := client.UpgradeDbMajorVersion(&model.UpgradeDbMajorVersionRequest{
			InstanceId: instance, Body: &model.UpgradePgMajorVersion{TargetVersion: fmt.Sprint(s.to)},
		})
		said := s.refusedByHuawei(err, http.StatusForbidden, "APIGW.0302")
		refusals = append(refusals, strings.ReplaceAll(said, instance, "ID"))
	}
	if refusals[0] != refusals[1] {
		s.t.Errorf("an instance that is there is refused with %q, one that is not with %q", refusals[0], refusals[1])
	}
}

// oneInstance: what the policy of a key allows for one instance it allows for no other one, whether that is there or not.
func (s *scene) oneInstance() {
	keyFor := func(instance string) *clouds {
		document := fmt.Sprintf(`{"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["rds:Describe*", "rds:SwitchOver*"],
			"Resource": "acs:rds:*:*:dbinstance/%s"}]}`, instance)
		file := filepath.Join(s.t.TempDir(), "policy.json")
		s.must(os.WriteFile(file, []byte(document), 0o600))
		key, err := s.server.NewAccessKey(s.ctx, "--policy", file)
		s.must(err)
		client, err := s.server.Alibaba(key)
		s.must(err)
		return &clouds{scene: s, key: key, alibaba: client}
	}
	describe := func(c *clouds, instance string) (string, error) {
		request := alibaba.CreateDescribeUpgradeMajorVersionTasksRequest()
		request.DBInstanceId = instance
		response, err := c.alibaba.DescribeUpgradeMajorVersionTasks(request)
		if refused, ok := errors.AsType[*sdkerrors.ServerError](err); ok {
			said := strings.ReplaceAll(fmt.Sprint(refused.Message(), refused.AccessDeniedDetail()), refused.RequestId(), "ID")
			return strings.ReplaceAll(said, instance, "INSTANCE"), err
		}
		return response.GetHttpContentString(), err
	}
	own, other := keyFor(id), keyFor("billing")
	_, err := describe(own, id)
	s.must(err)
	_, err = own.say("switch") // it may: there is no upgrade to be switched over
	s.refusedByAlibaba(err, http.StatusBadRequest, "InvalideStatus.Format")
	change := alibaba.CreateDeleteDBInstanceRequest()
	change.DBInstanceId = id
	_, err = own.alibaba.DeleteDBInstance(change)
	s.refusedByAlibaba(err, http.StatusForbidden, "Forbidden.RAM")

	_, err = describe(other, "billing")
	s.refusedByAlibaba(err, http.StatusNotFound, "InvalidDBInstanceName.NotFound")
	there, err := describe(other, id)
	s.refusedByAlibaba(err, http.StatusForbidden, "Forbidden.RAM")
	absent, err := describe(other, "nobody")
	s.refusedByAlibaba(err, http.StatusForbidden, "Forbidden.RAM")
	if there != absent {
		s.t.Errorf("an instance that is there is refused with %q, one that is not with %q", there, absent)
	}
	_, err = other.say("switch")
	s.refusedByAlibaba(err, http.StatusForbidden, "Forbidden.RAM")
	for _, c := range []*clouds{own, other} {
		s.must(s.server.JSON(s.ctx, nil, "access-key", "disable", c.key.ID))
	}
}

// strangers do not get in, and whoever holds the key does.
func (s *scene) strangers(key harness.AccessKey) {
	if _, err := s.describe(key); err != nil {
		s.t.Errorf("the key's holder: %v", err)
	}
	if _, err := s.askHuawei(key, id); err != nil {
		s.t.Errorf("the key's holder: %v", err)
	}
	wrong := harness.AccessKey{ID: key.ID, Secret: key.Secret + "x"}
	unknown := harness.AccessKey{ID: "PGLEAP00000000000000", Secret: key.Secret}
	_, err := s.describe(wrong)
	s.refusedByAlibaba(err, http.StatusBadRequest, "SignatureDoesNotMatch")
	_, err = s.describe(unknown)
	s.refusedByAlibaba(err, http.StatusNotFound, "InvalidAccessKeyId.NotFound")
	for _, other := range []harness.AccessKey{wrong, unknown} {
		_, err = s.askHuawei(other, id)
		s.refusedByHuawei(err, http.StatusUnauthorized, "APIGW.0301")
	}
	address, err := s.server.Address()
	s.must(err)
	for path, want := range map[string]int{"/?Action=DescribeRegions": http.StatusBadRequest, "/v3/projects": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, address+path, nil)
		s.must(err)
		if status, body := s.send(r); status != want {
			s.t.Errorf("GET %s without a signature: status %d, want %d: %s", path, status, want, body)
		}
	}
}

// onceAtAlibaba: a request gets in once, and only just after it was signed.
func (s *scene) onceAtAlibaba(key harness.AccessKey) {
	for _, test := range []struct {
		name string
		call v3Call
		want string // an error's code
	}{
		{"new", v3Call{nonce: "the-first"}, ""},
		{"its nonce again", v3Call{nonce: "the-first"}, "SignatureNonceUsed"},
		{"a slow clock", v3Call{skew: -14 * time.Minute}, ""},
		{"a clock that is too slow", v3Call{skew: -16 * time.Minute}, "InvalidTimeStamp.Expired"},
		{"a fast clock", v3Call{skew: 14 * time.Minute}, ""},
		{"a clock that is too fast", v3Call{skew: 16 * time.Minute}, "InvalidTimeStamp.Expired"},
	} {
		test.call.key, test.call.action, test.call.query = key, "DescribeDBInstanceAttribute", map[string]string{"DBInstanceId": id}
		status, body := test.call.call(s)
		var said struct{ Code string }
		s.must(json.Unmarshal([]byte(body), &said))
		if said.Code != test.want || (status == http.StatusOK) != (test.want == "") {
			s.t.Errorf("%s: status %d, want %q: %s", test.name, status, test.want, body)
		}
	}
	captured := v3Call{key: key, action: "DescribeRegions"}.request(s)
	if status, body := s.send(captured); status != http.StatusOK {
		s.t.Errorf("the request is refused with status %d: %s", status, body)
	}
	s.replayed(captured)
	s.server.Kill()
	s.must(s.server.Start(s.ctx))
	address, err := s.server.Address()
	s.must(err)
	now, err := url.Parse(address)
	s.must(err)
	captured.URL.Host = now.Host // where it listens now; the signed header Host stays
	s.replayed(captured)
}

// replayed wants a request refused that was let in before.
func (s *scene) replayed(captured *http.Request) {
	s.t.Helper()
	if status, body := s.send(captured); status != http.StatusBadRequest || !strings.Contains(body, `"SignatureNonceUsed"`) {
		s.t.Errorf("the very same request again: status %d: %s", status, body)
	}
}

// onceAtHuawei: the same, where requests have no nonce: it is the signature that may come once.
func (s *scene) onceAtHuawei(key harness.AccessKey) {
	client, err := s.server.Huawei(key)
	s.must(err)
	inspect := func(at time.Time) error { // an instance that is not there
		invoker := client.UpgradeDbMajorVersionPreCheckInvoker(&model.UpgradeDbMajorVersionPreCheckRequest{
			InstanceId: strings.Repeat("0", 32) + "in03", Body: &model.PostgresqlPreCheckUpgradeMajorVersionReq{TargetVersion: fmt.Sprint(s.to)},
		})
		invoker.AddHeaders(map[string]string{"X-Sdk-Date": at.UTC().Format("20060102T150405Z")})
		_, err := invoker.Invoke()
		return err
	}
	now := time.Now()
	s.refusedByHuawei(inspect(now), http.StatusNotFound, "DBS.200002")
	s.refusedByHuawei(inspect(now), http.StatusUnauthorized, "APIGW.0301")
	s.refusedByHuawei(inspect(now.Add(14*time.Minute)), http.StatusNotFound, "DBS.200002")
	for _, skew := range []time.Duration{-16 * time.Minute, 16 * time.Minute} {
		s.refusedByHuawei(inspect(now.Add(skew)), http.StatusUnauthorized, "APIGW.0301")
	}
}

// recorded makes sure that each call is on record, also one that was refused, and that no secret is.
func (s *scene) recorded(keys ...harness.AccessKey) {
	_, err := s.describe(keys[0])
	s.must(err)
	status, body := v3Call{key: keys[1], action: "DeleteDBInstance", query: map[string]string{"DBInstanceId": id}}.call(s)
	var refusal struct {
		RequestID string `json:"RequestId"`
	}
	s.must(json.Unmarshal([]byte(body), &refusal))
	if status != http.StatusForbidden {
		s.t.Errorf("DeleteDBInstance: status %d: %s", status, body)
	}
	_, err = s.askHuawei(keys[0], id)
	s.must(err)
	type call struct{ Who, What, Object, Result, RequestID string }
	var calls []call
	find := func(fits func(call) bool) error {
		if err := s.server.Get(s.ctx, "/calls?limit=1000", &calls); err != nil {
			return harness.Final(err)
		}
		if !slices.ContainsFunc(calls, fits) {
			return fmt.Errorf("it is not among %d calls", len(calls))
		}
		return nil
	}
	for name, fits := range map[string]func(call) bool{
		"Alibaba's": func(c call) bool {
			return c.Who == "access key "+keys[0].ID && c.What == "aliyun DescribeUpgradeMajorVersionTasks" && c.Object == id && c.Result == "ok"
		},
		"the refused one": func(c call) bool {
			return c.Who == "access key "+keys[1].ID && c.What == "aliyun DeleteDBInstance" && c.Object == id &&
				strings.HasPrefix(c.Result, "Forbidden.RAM") && c.RequestID == refusal.RequestID
		},
		"Huawei's": func(c call) bool {
			return c.Who == "access key "+keys[0].ID && c.What == "huawei ListUpgradeHistories" && c.Object == id && c.Result == "ok" && c.RequestID != ""
		},
	} {
		s.must(harness.Await(s.ctx, 10*time.Second, name+" call in the record", func(context.Context) error { return find(fits) }))
	}
	for _, c := range calls {
		for _, key := range keys {
			if strings.Contains(fmt.Sprint(c), key.Secret) {
				s.t.Errorf("the record has a secret: %+v", c)
			}
		}
	}
}
