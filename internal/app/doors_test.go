package app

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/config"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// hall has the doors as a configuration file shapes them, before a record with one upgrade that has ended.
type hall struct {
	http.Handler
	key, secret string
}

func openDoors(t *testing.T, file string) hall {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pgleap.yaml")
	ok(os.WriteFile(path, []byte(file), 0o600))
	c, err := config.Load(path, dir)
	ok(err)
	ok(c.Validate())
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(dir, "catalog.db"), slog.New(slog.DiscardHandler))
	ok(err)
	t.Cleanup(func() { record.Close() })
	sealer, err := secret.NewKey(make([]byte, 32))
	ok(err)
	s := &Server{config: c, log: slog.New(slog.DiscardHandler), control: control.New(control.Deps{Catalog: record, Host: "db1", Sealer: sealer})}
	t.Cleanup(s.control.Close)
	key, told, err := s.control.CreateAccessKey(t.Context(), control.Actor{Name: "test"}, control.NewAccessKey{Account: "acme"})
	ok(err)
	ok(record.AddInstance(t.Context(), upgrade.Instance{ID: "orders", Cluster: upgrade.Cluster{Host: "db1", Version: 150018, Pgdata: "/srv/orders"}}))
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	task, err := record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: "orders", Mode: upgrade.BlueGreen, Source: 150018, Target: 17, Plan: &upgrade.Plan{}, StartedAt: began,
	})
	ok(err)
	ok(record.AppendEvents(t.Context(), task.Number, "test", []upgrade.Event{{At: began, Level: upgrade.LevelInfo, Text: "it began"}}))
	ok(record.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, began))
	return hall{s.doors("token"), key.ID, told}
}

// answer is what a door says to a request.
func (h hall) answer(r *http.Request) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String() + w.Header().Get("X-Subject-Token")
}

// alibaba asks for the upgrades, with the vendor's third signature over that name of the host.
func (h hall) alibaba(t *testing.T, signedHost string) string {
	t.Helper()
	const query, names = "DBInstanceId=orders", "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
	empty := sha256.Sum256(nil)
	values := []string{
		signedHost, "DescribeUpgradeMajorVersionTasks", hex.EncodeToString(empty[:]), time.Now().UTC().Format(time.RFC3339), rand.Text(), "2014-08-15",
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://inside.example/?"+query, nil)
	canonical := "GET\n/\n" + query + "\n"
	for i, name := range strings.Split(names, ";") {
		if i > 0 {
			r.Header.Set(name, values[i])
		}
		canonical += name + ":" + values[i] + "\n"
	}
	hashed := sha256.Sum256([]byte(canonical + "\n" + names + "\n" + values[2]))
	mac := hmac.New(sha256.New, []byte(h.secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%x", hashed)
	r.Header.Set("Authorization", fmt.Sprintf("ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%x", h.key, names, mac.Sum(nil)))
	return h.answer(r)
}

// huawei asks how the last upgrade stands, with a token.
func (h hall) huawei(t *testing.T) string {
	t.Helper()
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q,"domain":{"name":"acme"}}}},"scope":{"project":{"name":"local"}}}}`, h.key, h.secret)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v3/auth/tokens", strings.NewReader(body)))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v3/local/instances/orders/major-version/status?action=upgrade", nil)
	r.Header.Set("X-Auth-Token", w.Header().Get("X-Subject-Token"))
	return h.answer(r)
}

// What the configuration file says of the vendors' APIs is what their clients see.
func TestDoorsAreAsConfigured(t *testing.T) {
	const firstSignature = "/?Action=DescribeRegions&Version=2014-08-15&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&SignatureNonce=1&AccessKeyId=K&Signature=x&Timestamp=2026-03-01T12:00:00Z"
	for name, test := range map[string]struct {
		file       string
		start, end string // of the upgrade at Alibaba, and of the line of its log
		zone       string // at Huawei
		outside    bool   // a signature over the name that a proxy is known by counts
		first      bool   // the first signature is looked at
	}{
		"nothing": {"", `"StartTime":1772366400000,`, `It began.\n2026`, `"2026-03-01T12:00:00+0000"`, false, true},
		"everything": {
			"aliyun:\n  wire_types: documented\n  detail_newline: '\\n'\n  hosts: [outside.example]\n  signature_v1: false\nhuawei:\n  time_zone: Asia/Shanghai\n",
			`"StartTime":"1772366400000",`, `It began.\\n2026`, `"2026-03-01T20:00:00+0800"`, true, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := openDoors(t, test.file)
			if got := h.alibaba(t, "inside.example"); !strings.Contains(got, test.start) || !strings.Contains(got, test.end) {
				t.Errorf("Alibaba's clients see %s", got)
			}
			if got := h.alibaba(t, "outside.example"); strings.Contains(got, test.start) != test.outside {
				t.Errorf("from outside one sees %s", got)
			}
			got := h.answer(httptest.NewRequestWithContext(t.Context(), http.MethodGet, firstSignature, nil))
			if looked := strings.Contains(got, "InvalidAccessKeyId.NotFound"); looked != test.first {
				t.Errorf("the first signature is answered with %s", got)
			}
			if got := h.huawei(t); !strings.Contains(got, test.zone) {
				t.Errorf("Huawei's clients see %s", got)
			}
		})
	}
}
