package aliyun

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The door before a record and access keys as a server has them.
func TestDoorOfServer(t *testing.T) {
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	sealer, err := secret.NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := signedAt
	c := control.New(control.Deps{
		Catalog: record, Sealer: sealer, RequestsPerSecond: 3, Host: "db1", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	})
	d := &door{api: New(c, Options{SignatureV1: true, Now: func() time.Time { return now }}, slog.New(slog.DiscardHandler)).(*api)}
	if got := d.send(t, newV3().request()); got.status != 404 || got.header.Get("X-Acs-Request-Id") != "" {
		t.Fatalf("without keys: %d %s", got.status, got.body)
	}
	who := control.Actor{Name: "dba"}
	orders := []byte(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"rds:Describe*","Resource":"acs:rds:local:1000:dbinstance/orders"}]}`)
	key, told, err := c.CreateAccessKey(t.Context(), who, control.NewAccessKey{Account: "1000", Policy: orders})
	if err != nil {
		t.Fatal(err)
	}
	err = record.AddInstance(t.Context(), upgrade.Instance{
		ID: "orders", CreatedAt: signedAt, Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/orders", Port: 5432},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(nonce, instance string) v3 {
		r := newV3().set("x-acs-signature-nonce", nonce).ask("DBInstanceId", instance)
		r.keyID, r.secret = key.ID, told
		return r
	}
	got := d.wantOK(t, "an instance", ask("1", "orders").request())
	if !strings.HasSuffix(got.body, `"PageNumber":1,"PageRecordCount":30,"TotalRecordCount":0,"Items":[]}`) {
		t.Errorf("no upgrades are told as %s", got.body)
	}
	d.wantCode(t, "the same request", ask("1", "orders").request(), 400, "SignatureNonceUsed")
	d.wantOK(t, "again, remembered", ask("2", "orders").request())
	d.wantCode(t, "an instance that is not there", ask("3", "missing").request(), 403, "Forbidden.RAM")
	for nonce := range 6 {
		d.send(t, ask("1"+string(rune('0'+nonce)), "orders").request())
	}
	throttled := d.wantCode(t, "too often", ask("4", "orders").request(), 400, "Throttling.User")
	if throttled.header.Get("X-Acs-Retry-After") == "" {
		t.Error("a throttled caller is not told when to come back")
	}
	if _, err := c.DisableAccessKey(t.Context(), who, key.ID, true); err != nil {
		t.Fatal(err)
	}
	if got := d.send(t, ask("5", "orders").request()); got.status != 404 || got.header.Get("X-Acs-Request-Id") != "" {
		t.Errorf("with no key but a disabled one: %d %s", got.status, got.body)
	}
	other, otherSecret, err := c.CreateAccessKey(t.Context(), who, control.NewAccessKey{})
	if err != nil {
		t.Fatal(err)
	}
	d.wantCode(t, "a disabled key beside another", ask("6", "orders").request(), 400, "InvalidAccessKeyId.Inactive")
	everything := ask("7", "missing")
	everything.keyID, everything.secret = other.ID, otherSecret
	d.wantCode(t, "an instance that is not there, to whom may see all", everything.request(), 404, "InvalidDBInstanceName.NotFound")
	calls, err := c.Calls(t.Context(), 100)
	if err != nil || len(calls) < 10 {
		t.Fatalf("%d calls are recorded (%v)", len(calls), err)
	}
	for _, call := range calls {
		if text := call.Who + call.What + call.Object + call.Result; strings.Contains(text, told) || strings.Contains(text, "ACS3") {
			t.Errorf("the record tells a secret: %+v", call)
		}
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute) // what is known of the key is too old
	down := ask("8", "orders")
	down.keyID, down.secret = other.ID, otherSecret
	d.wantCode(t, "without the record", down.request(), 503, "ServiceUnavailable")
}
