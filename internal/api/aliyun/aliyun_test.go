package aliyun

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func policy(t testing.TB, document string) authz.Policy {
	t.Helper()
	p, err := authz.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *door) allow(t testing.TB, document string) {
	t.Helper()
	caller := d.callers[testKey]
	caller.Policy = policy(t, document)
	d.callers[testKey] = caller
}

// Each request has all the faults of those below it too: what is said is what is looked at first.
func TestOrderOfRefusals(t *testing.T) {
	request := newV1().set("DBInstanceId", "")
	unauthorized := func(d *door) { d.allow(t, `{"Version":"1","Statement":[]}`) }
	throttled := func(d *door) { d.admit = &control.Throttled{RetryAfter: time.Second}; unauthorized(d) }
	replayed := func(d *door) { d.nonces[testKey+" n-1"] = signedAt; throttled(d) }
	wrong := request.signed().set("Signature", base64Of(make([]byte, 20)))
	expired := func(d *door) { d.now = signedAt.Add(time.Hour); replayed(d) }
	disabled := func(d *door) {
		expired(d)
		caller := d.callers[testKey]
		caller.Disabled = true
		d.callers[testKey] = caller
	}
	for _, test := range []struct {
		name   string
		c      v1
		with   func(*door)
		status int
		code   string
	}{
		{"another path", v1Path(wrong.set("Format", "odd", "Version", "1"), "/other"), disabled, 404, "InvalidAction.NotFound"},
		{"a format unknown", wrong.set("Format", "odd", "Version", "1"), disabled, 400, "Parameters.Invalid"},
		{"another version of the API", wrong.set("Version", "1", "Action", "Other"), disabled, 400, "InvalidVersion"},
		{"another action", wrong.set("Action", "Other", "AccessKeyId", "OTHER"), disabled, 404, "InvalidAction.NotFound"},
		{"another spelling of the action", wrong.set("Action", "describeUpgradeMajorVersionTasks"), disabled, 404, "InvalidAction.NotFound"},
		{"an unknown key", wrong.set("AccessKeyId", "OTHER"), disabled, 404, "InvalidAccessKeyId.NotFound"},
		{"a disabled key", wrong, disabled, 400, "InvalidAccessKeyId.Inactive"},
		{"an old request", wrong, expired, 400, "InvalidTimeStamp.Expired"},
		{"a wrong signature", wrong, replayed, 400, "SignatureDoesNotMatch"},
		{"a request sent before", request.signed(), replayed, 400, "SignatureNonceUsed"},
		{"too many requests", request.signed(), throttled, 400, "Throttling.User"},
		{"no right to", request.signed(), unauthorized, 403, "Forbidden.RAM"},
		{"a parameter missing", request.signed(), func(*door) {}, 400, "MissingDBInstanceId"},
	} {
		d := newDoor(t)
		test.with(d)
		got := d.wantCode(t, test.name, test.c.request(), test.status, test.code)
		// What one can cause who has seen one request, and has no key, is recorded within bounds.
		byKey := test.code == "Forbidden.RAM" || test.code == "MissingDBInstanceId"
		if recorded := len(d.calls) - d.strangers; (recorded == 1) != byKey {
			t.Errorf("%s: %d of %d calls are recorded without bounds", test.name, recorded, len(d.calls))
		}
		if (got.header.Get("X-Acs-Retry-After") != "") != (test.code == "Throttling.User") {
			t.Errorf("%s: x-acs-retry-after is %q", test.name, got.header.Get("X-Acs-Retry-After"))
		}
		if d.ran > 0 {
			t.Errorf("%s: the operation ran", test.name)
		}
	}
}

func v1Path(c v1, path string) v1 {
	c.path = path
	return c
}

func TestPathsAndMethods(t *testing.T) {
	for _, path := range []string{"/", "/aliyun", "/aliyun/", "/aliyun/rds"} {
		newDoor(t).wantOK(t, path, v1Path(newV1().signed(), path).request())
	}
	for _, path := range []string{"/aliyunx", "/other", "/x/aliyun/"} {
		newDoor(t).wantCode(t, path, v1Path(newV1().signed(), path).request(), 404, "InvalidAction.NotFound")
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		c := newV1()
		c.method = method
		newDoor(t).wantCode(t, method, c.signed().request(), 400, "UnsupportedHTTPMethod")
	}
}

func TestDuplicatedParameterIsRefused(t *testing.T) {
	twice := func(r *http.Request, query string) *http.Request {
		r.URL.RawQuery += query
		return r
	}
	form := newV1()
	form.form = url.Values{"PageSize": {"30"}}
	inForm := newV3().withForm(url.Values{"A": {"1"}})
	inForm.body = "A=1&A=1"
	for name, r := range map[string]*http.Request{
		"in the query, first signature":       twice(newV1().signed().request(), "&DBInstanceId=orders"),
		"with another value":                  twice(newV1().signed().request(), "&DBInstanceId=other"),
		"in another encoding":                 twice(newV1().signed().request(), "&DBInstance%49d=orders"),
		"the signature itself":                twice(newV1().signed().request(), "&Signature=x"),
		"in query and form":                   form.request(),
		"in the query, third signature":       twice(newV3().request(), "&DBInstanceId=orders"),
		"in the form, third signature":        inForm.request(),
		"in query and form, third":            newV3().withForm(url.Values{"PageSize": {"30"}}).request(),
		"a percent sign that encodes nothing": twice(newV3().request(), "&A=%zz"),
		"a byte that is no text":              twice(newV3().request(), "&A=%ff"),
		"a zero byte":                         twice(newV3().request(), "&A=%00"),
	} {
		newDoor(t).wantCode(t, name, r, 400, "Parameters.Invalid")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	large := strings.Repeat("x", maxParameters)
	many := newV1()
	for i := range maxParametersCount {
		many.query.Set(fmt.Sprintf("Tag.%d.Key", i), "k")
	}
	body := newV1()
	body.form = url.Values{"A": {large}}
	chunked := body.request()
	chunked.ContentLength = -1
	header := newV1().request()
	header.Header["X-A"] = []string{large[:maxHeader]}
	for name, r := range map[string]*http.Request{
		"a long query": newV1().set("A", large).request(), "a long body": body.request(), "a long body of unknown length": chunked,
		"query and body together": newV3().ask("A", large[:maxParameters/2]).withForm(url.Values{"B": {large[:maxParameters/2]}}).request(),
		"long headers":            header, "many parameters": many.request(),
	} {
		newDoor(t).wantCode(t, name, r, 413, "RequestEntityTooLarge")
	}
	newDoor(t).wantOK(t, "half of it", newV3().withForm(url.Values{"A": {large[:maxParameters/2]}}).request())
}

func TestServerWithoutKeysDoesNotExist(t *testing.T) {
	disabled := map[string]control.Caller{testKey: {KeyID: testKey, Disabled: true}}
	for name, r := range map[string]*http.Request{
		"nothing": httptest.NewRequest("GET", "/", nil), "another path": httptest.NewRequest("GET", "/other", nil),
		"another method": httptest.NewRequest("PUT", "/", nil), "first signature": newV1().signed().request(), "third signature": newV3().request(),
	} {
		d := newDoor(t)
		d.closed, d.callers = true, disabled
		got := d.send(t, r)
		if got.status != 404 || got.body != "404 page not found\n" || got.header.Get("X-Acs-Request-Id") != "" || len(d.calls) > 0 {
			t.Errorf("%s: %d %v %q, recorded %v", name, got.status, got.header, got.body, d.calls)
		}
	}
}

func TestPolicyDecidesBeforeAnythingIsLookedUp(t *testing.T) {
	orders := `{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:*","Resource":"acs:rds:*:1000:dbinstance/orders"}]}`
	allow := `{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:Describe*","Resource":"*"%s}]}`
	for _, test := range []struct {
		name, document string
		c              v1
		status         int
	}{
		{"the instance of the policy", orders, newV1(), 200},
		{"another one", orders, newV1().set("DBInstanceId", "payments"), 403},
		{"one that does not exist", orders, newV1().set("DBInstanceId", "missing"), 403},
		{"none", orders, newV1().without("DBInstanceId"), 403},
		{"a pattern in place of an id", orders, newV1().set("DBInstanceId", "*"), 403},
		{"no object, by an instance", orders, newV1().set("Action", "DescribeRegions"), 403},
		{"switchover by the instance", orders, newV1().set("Action", "SwitchOverMajorVersionUpgrade"), 200},
		{"switchover of another instance", orders, newV1().set("Action", "SwitchOverMajorVersionUpgrade", "DBInstanceId", "payments"), 403},
		{"no object, by everything", fmt.Sprintf(allow, ""), newV1().set("Action", "DescribeRegions"), 200},
		{"another action", fmt.Sprintf(allow, ""), newV1().set("Action", "Cached"), 403},
		{"from an address", fmt.Sprintf(allow, `,"Condition":{"IpAddress":{"acs:SourceIp":"192.0.2.0/24"}}`), newV1(), 200},
		{"from another address", fmt.Sprintf(allow, `,"Condition":{"IpAddress":{"acs:SourceIp":"198.51.100.0/24"}}`), newV1(), 403},
		{"in time", fmt.Sprintf(allow, `,"Condition":{"DateLessThan":{"acs:CurrentTime":"2026-01-02T03:04:06Z"}}`), newV1(), 200},
		{"too late", fmt.Sprintf(allow, `,"Condition":{"DateLessThan":{"acs:CurrentTime":"2026-01-02T03:04:05Z"}}`), newV1(), 403},
		{"in plain text", fmt.Sprintf(allow, `,"Condition":{"Bool":{"acs:SecureTransport":"false"}}`), newV1(), 200},
		{"not encrypted", fmt.Sprintf(allow, `,"Condition":{"Bool":{"acs:SecureTransport":"true"}}`), newV1(), 403},
	} {
		d := newDoor(t)
		d.allow(t, test.document)
		got := d.send(t, test.c.signed().request())
		if got.status != test.status || test.status == 403 && got.code != "Forbidden.RAM" {
			t.Errorf("%s: got %d %s, want %d", test.name, got.status, got.code, test.status)
		}
	}
	// A header that claims another address changes nothing.
	d := newDoor(t)
	d.allow(t, fmt.Sprintf(allow, `,"Condition":{"IpAddress":{"acs:SourceIp":"198.51.100.0/24"}}`))
	r := newV1().set("SourceIp", "198.51.100.1", "SecureTransport", "true").signed().request()
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	d.wantCode(t, "a claimed address", r, 403, "Forbidden.RAM")
}

func TestForbiddenInstanceLooksLikeOneThatDoesNotExist(t *testing.T) {
	body := func(id string) string {
		d := newDoor(t)
		d.allow(t, `{"Version":"1","Statement":[]}`)
		got := d.send(t, newV1().set("DBInstanceId", id).signed().request())
		return strings.ReplaceAll(got.body, got.header.Get("X-Acs-Request-Id"), "ID")
	}
	if diff := cmp.Diff(body("orders"), body("missing")); diff != "" {
		t.Errorf("who may see neither can tell them apart:\n%s", diff)
	}
}

func TestErrorEnvelope(t *testing.T) {
	deny := `{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	detail := `"AuthAction":"rds:DescribeUpgradeMajorVersionTasks","AuthPrincipalType":"SubUser","AuthPrincipalOwnerId":"1000",` +
		`"AuthPrincipalDisplayName":"TESTAK","PolicyType":"AccountLevelIdentityBasedPolicy","NoPermissionType":"%s","EncodedDiagnosticMessage":""`
	missing := newV1().set("DBInstanceId", "missing")
	for _, test := range []struct {
		name, policy string
		c            v1
		kind, body   string
	}{
		{
			"JSON", "", missing, "application/json;charset=utf-8",
			`{"RequestId":"ID","HostId":"example.com","Code":"InvalidDBInstanceName.NotFound",` +
				`"Message":"The database instance does not exist.","Recommend":""}`,
		},
		{
			"XML", "", missing.set("Format", "xml"), "text/xml;charset=utf-8",
			"<?xml version='1.0' encoding='UTF-8'?>\n<Error><RequestId>ID</RequestId><HostId>example.com</HostId>" +
				"<Code>InvalidDBInstanceName.NotFound</Code><Message>The database instance does not exist.</Message><Recommend></Recommend></Error>",
		},
		{
			"nothing allows it", `{"Version":"1","Statement":[]}`, newV1(), "application/json;charset=utf-8",
			`{"RequestId":"ID","HostId":"example.com","Code":"Forbidden.RAM","Message":"User not authorized to operate on the specified resource, ` +
				`or this API doesn't support RAM.","Recommend":"","AccessDeniedDetail":{` + fmt.Sprintf(detail, "ImplicitDeny") + `}}`,
		},
		{
			"a statement denies it", deny, newV1(), "application/json;charset=utf-8",
			`{"RequestId":"ID","HostId":"example.com","Code":"Forbidden.RAM","Message":"User not authorized to operate on the specified resource, ` +
				`or this API doesn't support RAM.","Recommend":"","AccessDeniedDetail":{` + fmt.Sprintf(detail, "ExplicitDeny") + `}}`,
		},
	} {
		d := newDoor(t)
		if test.policy != "" {
			d.allow(t, test.policy)
		}
		got := d.send(t, test.c.signed().request())
		body := strings.ReplaceAll(got.body, got.header.Get("X-Acs-Request-Id"), "ID")
		if diff := cmp.Diff(test.body, body); diff != "" || got.header.Get("Content-Type") != test.kind {
			t.Errorf("%s: %s\n%s", test.name, got.header.Get("Content-Type"), diff)
		}
	}
}

func TestAnswers(t *testing.T) {
	requestID := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	for _, test := range []struct{ name, format, kind, body string }{
		{"JSON", "json", "application/json;charset=utf-8", `{"RequestId":"ID","DBInstanceId":"orders","PageSize":"30","Ran":1,"Items":["a","<b>"]}`},
		{
			"XML", "Xml", "text/xml;charset=utf-8", "<?xml version='1.0' encoding='UTF-8'?>\n<DescribeUpgradeMajorVersionTasksResponse>" +
				"<RequestId>ID</RequestId><DBInstanceId>orders</DBInstanceId><PageSize>30</PageSize><Ran>1</Ran>" +
				"<Items>a</Items><Items>&lt;b&gt;</Items></DescribeUpgradeMajorVersionTasksResponse>",
		},
	} {
		got := newDoor(t).wantOK(t, test.name, newV1().set("Format", test.format).signed().request())
		id := got.header.Get("X-Acs-Request-Id")
		if diff := cmp.Diff(test.body, strings.ReplaceAll(got.body, id, "ID")); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
		if !requestID.MatchString(id) || got.header.Get("Content-Type") != test.kind || got.header.Get("X-Acs-Retry-After") != "" {
			t.Errorf("%s: headers %v", test.name, got.header)
		}
	}
}

func TestFormat(t *testing.T) {
	const json, xml = "application/json;charset=utf-8", "text/xml;charset=utf-8"
	for _, test := range []struct {
		name, format, accept string
		third                bool
		kind                 string
	}{
		{"first signature, JSON", "JSON", "application/xml", false, json},
		{"first signature, json", "json", "", false, json},
		{"first signature, XML", "XML", "application/json", false, xml},
		{"first signature, none", "", "", false, xml},
		{"first signature, none, anything accepted", "", "*/*", false, xml},
		{"first signature, none, JSON accepted", "", "Application/JSON, */*", false, json},
		{"third signature, none", "", "", true, json},
		{"third signature, none, JSON accepted", "", "application/json", true, json},
		{"third signature, none, XML accepted", "", "application/xml", true, xml},
		{"third signature, XML", "xml", "application/json", true, xml},
	} {
		var r *http.Request
		switch {
		case test.third && test.format == "":
			r = newV3().request()
		case test.third:
			r = newV3().ask("Format", test.format).request()
		case test.format == "":
			r = newV1().without("Format").signed().request()
		default:
			r = newV1().set("Format", test.format).signed().request()
		}
		r.Header.Set("Accept", test.accept)
		got := newDoor(t).wantOK(t, test.name, r)
		if kind := got.header.Get("Content-Type"); kind != test.kind {
			t.Errorf("%s: %s, want %s", test.name, kind, test.kind)
		}
	}
}

func TestWhatGoesWrongInsideIsNotTold(t *testing.T) {
	var log bytes.Buffer
	d := newDoor(t)
	d.api.log = slog.New(slog.NewTextHandler(&log, nil))
	got := d.wantCode(t, "a panic", newV1().set("DBInstanceId", "panics").signed().request(), 500, "InternalError")
	if strings.Contains(got.body, "disco") || !strings.Contains(log.String(), "disco") || !strings.Contains(log.String(), got.header.Get("X-Acs-Request-Id")) {
		t.Errorf("answer %s\nlog %s", got.body, log.String())
	}
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("disk on fire"), 500, "InternalError"},
		{&control.Unavailable{Reason: "the record is away", Err: errors.New("disk on fire")}, 503, "ServiceUnavailable"},
		{fmt.Errorf("ask: %w", &upgrade.NotFound{Kind: "access key", Name: "x"}), 404, "InvalidAccessKeyId.NotFound"},
	} {
		d.failure = test.err
		got := d.wantCode(t, test.err.Error(), newV1().signed().request(), test.status, test.code)
		if strings.Contains(got.body, "fire") {
			t.Errorf("the answer tells too much: %s", got.body)
		}
	}
}

func TestEveryCallOfKeyIsRecordedWithoutSecrets(t *testing.T) {
	d := newDoor(t)
	send := func(c v1) { d.send(t, c.request()) }
	send(newV1().signed())
	send(newV1().set("SignatureNonce", "n-2", "DBInstanceId", "missing").signed())
	wrong := newV1().signed().set("Signature", base64Of(make([]byte, 20)))
	send(wrong)
	send(newV1().set("AccessKeyId", "LTAI\x1b[2J"+strings.Repeat("x", 100)))
	send(newV1().set("AccessKeyId", "LTAI\x1b[2J"+strings.Repeat("x", 100)).signed())
	// What is refused before the key is looked up: its name is what the request says.
	send(newV1().set("Action", "Other").signed())
	send(newV1().signed().without("Signature"))
	d.send(t, newV3().set("x-acs-date", "").request())
	send(newV1().without("AccessKeyId").signed())
	var got []string
	for _, c := range d.calls {
		if c.RequestID == "" || !c.At.Equal(signedAt) {
			t.Errorf("recorded %+v", c)
		}
		got = append(got, strings.Join([]string{c.Who, c.What, c.Object, c.Result}, " | "))
	}
	want := []string{
		"access key TESTAK | aliyun DescribeUpgradeMajorVersionTasks | orders | ok",
		"access key TESTAK | aliyun DescribeUpgradeMajorVersionTasks | missing | InvalidDBInstanceName.NotFound: The database instance does not exist.",
		"access key TESTAK | aliyun DescribeUpgradeMajorVersionTasks | orders | SignatureDoesNotMatch: Specified signature is not matched with our calculation.",
		"access key LTAI?[2Jxxxxxxxxxxxxxxxxxxxxxxxx | aliyun unknown API |  | MissingSignature: The request is not signed.",
		"access key LTAI?[2Jxxxxxxxxxxxxxxxxxxxxxxxx | aliyun DescribeUpgradeMajorVersionTasks | orders | InvalidAccessKeyId.NotFound: Specified access key is not found.",
		"access key TESTAK | aliyun unknown API |  | InvalidAction.NotFound",
		"access key TESTAK | aliyun unknown API |  | MissingSignature",
		"access key TESTAK | aliyun unknown API |  | MissingTimestamp",
		"nobody | aliyun unknown API |  | MissingAccessKeyId",
	}
	for i := 5; i < len(got); i++ { // their messages are told elsewhere
		got[i], _, _ = strings.Cut(got[i], ": ")
	}
	if bounded := len(got) - 2; d.strangers != bounded {
		t.Errorf("%d calls are recorded within bounds, want %d", d.strangers, bounded)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestServedOverHTTP(t *testing.T) {
	d := newDoor(t)
	server := httptest.NewServer(d.api)
	defer server.Close()
	c := newV3().withForm(url.Values{"SwitchOver": {"true"}})
	c.host = strings.TrimPrefix(server.URL, "http://")
	r := c.request()
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", c.host
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !slices.Equal(response.Header["X-Acs-Request-Id"], []string{response.Header.Get("x-acs-request-id")}) {
		t.Errorf("%s %v\n%s", response.Status, response.Header, body)
	}
}
