package aliyun

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// recordGate is a door with one key, whose instances are those of a record.
type recordGate struct {
	*fakeGate
	record *control.Control
}

func (g recordGate) Revision(ctx context.Context, instance string) (int64, error) {
	return g.record.Revision(ctx, instance)
}

// newServed is the operations behind the door, and a key with a policy.
func newServed(t *testing.T, policy string) (*bed, *door) {
	t.Helper()
	b := newBed(t, Options{})
	d := newDoor(t)
	parsed, err := authz.Parse([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	caller := d.callers[testKey]
	caller.Policy = parsed
	d.callers[testKey] = caller
	d.api = newAPI(b.control, recordGate{d.fakeGate, b.control}, d.api.options, slog.New(slog.DiscardHandler), actions())
	return b, d
}

// signedCall is a request that nobody has made before.
func signedCall(n *int, action string, p params) *http.Request {
	*n++
	c := newV1().without("DBInstanceId", "PageSize").set("Action", action, "SignatureNonce", fmt.Sprintf("n-%d", *n))
	for name, value := range p {
		c = c.set(name, value)
	}
	return c.signed().request()
}

const ordersOnly = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:*","Resource":"acs:rds:*:*:dbinstance/orders"}]}`

// Who may see one instance only cannot tell another one from one that does not exist.
func TestServedOperationsKeepInstancesPrivate(t *testing.T) {
	b, d := newServed(t, ordersOnly)
	b.addInstance("orders", 150018)
	b.addInstance("secret", 150018)
	calls := 0
	for _, a := range actions() {
		for _, id := range []string{"secret", "nosuch"} {
			p := with(params{instanceID: id, instanceName: id, "Type": "cancel", "MaintainTime": "18:00Z-22:00Z"})
			d.wantCode(t, a.name+" of "+id, signedCall(&calls, a.name, p), http.StatusForbidden, "Forbidden.RAM")
		}
	}
	for _, action := range []string{"DescribeUpgradeMajorVersionTasks", "DescribeUpgradeMajorVersionPrecheckTask", "DescribeDBInstanceAttribute", "DescribeDBInstanceNetInfo"} {
		d.wantOK(t, action, signedCall(&calls, action, params{instanceID: "orders"}))
	}
	cancel := params{instanceName: "orders", "Type": "cancel"}
	d.wantCode(t, "cancel", signedCall(&calls, "SwitchOverMajorVersionUpgrade", cancel), http.StatusBadRequest, "InvalideStatus.Format")
}

func TestServedOperationsNeedTheirParameters(t *testing.T) {
	_, d := newServed(t, `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	calls := 0
	for _, a := range actions() {
		for _, name := range a.required {
			p := with(params{"MaintainTime": "18:00Z-22:00Z", name: ""})
			calls++
			c := newV1().without("DBInstanceId", "RegionId").set("Action", a.name, "SignatureNonce", fmt.Sprintf("m-%d", calls))
			if name != "RegionId" {
				c = c.set("RegionId", "local")
			}
			for key, value := range p {
				c = c.set(key, value)
			}
			d.wantCode(t, a.name+" without "+name, c.signed().request(), http.StatusBadRequest, "Missing"+name)
		}
	}
}

// What is remembered is forgotten when the record changes.
func TestServedUpgradesAreFresh(t *testing.T) {
	b, d := newServed(t, ordersOnly)
	b.addInstance("orders", 150018)
	task := b.begin("orders", upgrade.TaskUpgrade, 0, 150018, 17)
	calls := 0
	describe := func() string {
		return d.wantOK(t, "describe", signedCall(&calls, "DescribeUpgradeMajorVersionTasks", params{instanceID: "orders"})).body
	}
	if first := describe(); !strings.Contains(first, `"Result":"Running"`) || strings.Contains(first, "totalLogicRepLatencyMB") {
		t.Errorf("got %s", first)
	}
	b.enter(task, upgrade.PhaseSynchronizing, 1)
	b.ok(b.record.SetProgress(t.Context(), task.Number, upgrade.Progress{
		Phase: upgrade.PhaseSynchronizing, At: after(1), Lag: &upgrade.Lag{Bytes: 7 << 20, ETASeconds: 1},
	}))
	if got := describe(); !strings.Contains(got, `"totalLogicRepLatencyMB":7`) {
		t.Errorf("lag: got %s", got)
	}
	b.end(task, 9, upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"})
	if got := describe(); !strings.Contains(got, `"Result":"Failed"`) || !strings.Contains(got, "cancelled") {
		t.Errorf("end: got %s", got)
	}
}

// A form does as well as a query, and XML as well as JSON.
func TestServedInForms(t *testing.T) {
	b, d := newServed(t, ordersOnly)
	b.addInstance("orders", 150018)
	c := newV1().without("DBInstanceId", "PageSize").set("Format", "XML")
	c.form = url.Values{"DBInstanceId": {"orders"}, "PageSize": {"50"}}
	got := d.wantOK(t, "form", c.signed().request())
	if !strings.Contains(got.body, "<PageRecordCount>50</PageRecordCount><TotalRecordCount>0</TotalRecordCount></DescribeUpgradeMajorVersionTasksResponse>") {
		t.Errorf("got %s", got.body)
	}
}
