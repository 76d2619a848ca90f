package native

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
)

// keyOf reads the key of an answer.
func keyOf(t *testing.T, a testAPI, method, path, body string, status int) AccessKey {
	t.Helper()
	response, text := a.call(t, method, path, body)
	var key AccessKey
	if err := json.Unmarshal([]byte(text), &key); err != nil || response.StatusCode != status {
		t.Fatalf("%s %s: got %s (%v)", method, path, response.Status, err)
	}
	return key
}

func TestLifeOfAnAccessKey(t *testing.T) {
	a := start(t)
	const keys = "/api/v1/access-keys"
	wanted := `{"account":"1234","description":"terraform","policy":` + string(authz.ReadOnly().Document()) + `}`
	made := keyOf(t, a, "POST", keys, wanted, 201)
	caller, err := a.use.Caller(t.Context(), made.Id)
	if err != nil || made.Secret == "" || caller.Secret != made.Secret || caller.Account != "1234" {
		t.Fatalf("the key made is not the key that opens: %s of %s (%v)", made.Id, made.Account, err)
	}
	if made.Description != "terraform" || made.CreatedAt.IsZero() || made.Disabled || made.RotatedAt != nil || made.LastUsedAt != nil {
		t.Errorf("a new key is %+v", made)
	}
	if diff := cmp.Diff(string(authz.ReadOnly().Document()), string(made.Policy)); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}

	if disabled := keyOf(t, a, "POST", keys+"/"+made.Id+"/disable", "", 200); !disabled.Disabled || disabled.Secret != "" {
		t.Errorf("disabled: %t, tells a secret: %t", disabled.Disabled, disabled.Secret != "")
	}
	if enabled := keyOf(t, a, "POST", keys+"/"+made.Id+"/enable", "", 200); enabled.Disabled || enabled.Secret != "" {
		t.Errorf("enabled, yet disabled: %t, tells a secret: %t", enabled.Disabled, enabled.Secret != "")
	}
	rotated := keyOf(t, a, "POST", keys+"/"+made.Id+"/rotate", "", 200)
	caller, err = a.use.Caller(t.Context(), made.Id)
	if err != nil || rotated.Secret == made.Secret || caller.Secret != rotated.Secret || rotated.RotatedAt == nil {
		t.Errorf("after a rotation: rotated at %v (%v)", rotated.RotatedAt, err)
	}

	_, listed := a.call(t, "GET", keys, "")
	_, audit := a.call(t, "GET", "/api/v1/audit", "")
	a.Close() // nobody writes to the log any more
	for what, text := range map[string]string{"the list": listed, "the audit record": audit, "the log": a.log.String()} {
		if strings.Contains(text, made.Secret) || strings.Contains(text, rotated.Secret) || strings.Contains(text, `"secret"`) {
			t.Errorf("%s tells a secret", what)
		}
	}
	if !strings.Contains(listed, made.Id) {
		t.Errorf("the key is not in the list: %s", listed)
	}
}

func TestAKeyWithoutAPolicyMayDoEverything(t *testing.T) {
	a := start(t)
	key := keyOf(t, a, "POST", "/api/v1/access-keys", "{}", 201)
	if key.Account != control.DefaultAccount || string(key.Policy) != string(authz.FullAccess().Document()) {
		t.Errorf("account %q, policy %s", key.Account, key.Policy)
	}
}

func TestTheRecordIsTheNewestFirst(t *testing.T) {
	a := start(t)
	for _, what := range []string{"first", "second"} {
		a.use.RecordCall(control.Call{At: time.Now(), Who: "access key X", What: what, Object: "orders", Result: "ok", RequestID: what})
	}
	a.call(t, "DELETE", "/api/v1/instances/first", "")
	a.call(t, "DELETE", "/api/v1/instances/second", "")
	for path, want := range map[string][]string{
		"/api/v1/calls":         {"orders second", "orders first"},
		"/api/v1/calls?limit=1": {"orders second"},
		"/api/v1/audit":         {"second remove instance", "first remove instance"},
		"/api/v1/audit?limit=1": {"second remove instance"},
	} {
		_, text := a.call(t, "GET", path, "")
		var entries []AuditEntry
		if err := json.Unmarshal([]byte(text), &entries); err != nil {
			t.Fatal(err)
		}
		got := make([]string, 0, len(entries))
		for _, e := range entries {
			got = append(got, e.Object+" "+e.What)
			if e.Who == "" || e.Result == "" || e.RequestId == "" || e.At.IsZero() {
				t.Errorf("%s: %+v", path, e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
