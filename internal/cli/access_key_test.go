package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/authz"
)

// secretOf finds what was told.
func secretOf(t *testing.T, stdout string) (id, secret string) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		if rest, ok := strings.CutPrefix(line, "Access key id:"); ok {
			id = strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(line, "Access key secret:"); ok {
			secret = strings.TrimSpace(rest)
		}
	}
	if id == "" || secret == "" || !strings.HasSuffix(stdout, "\nThe secret is not shown again: keep it now.\n") {
		t.Fatalf("no key was told: %s", stdout)
	}
	return id, secret
}

func TestSecretIsShownOnce(t *testing.T) {
	s := startServer(t)
	created := run(t, "access-key", "create", "--description", "terraform", "--policy", "read-only")
	id, first := secretOf(t, created.stdout)
	want := "Created access key " + id + " of account pgleap. It may look at everything, and change nothing.\n"
	if created.code != ExitOK || !strings.HasPrefix(created.stdout, want) {
		t.Errorf("create: got %d, %s", created.code, created.stdout)
	}
	rotated := run(t, "access-key", "rotate", id)
	_, second := secretOf(t, rotated.stdout)
	caller, err := s.use.Caller(t.Context(), id)
	if err != nil || first == second || caller.Secret != second {
		t.Errorf("after a rotation the key is %s (%v)", caller.KeyID, err)
	}
	for _, command := range []string{
		"access-key list", "access-key list -o json", "access-key disable " + id, "access-key enable " + id,
		"access-key disable -o json " + id, "audit", "audit -o json", "audit --calls",
	} {
		got := run(t, strings.Fields(command)...)
		if got.code != ExitOK || strings.Contains(got.stdout+got.stderr, first) || strings.Contains(got.stdout+got.stderr, second) {
			t.Errorf("pgleap %s ends with %d, or tells a secret", command, got.code)
		}
	}
	if got := run(t, "access-key", "list"); !strings.Contains(got.stdout, "read-only  disabled") {
		t.Errorf("the list has %s", got.stdout)
	}
	if got := run(t, "access-key", "rotate", id); !strings.Contains(got.stdout, "It is disabled; open its door with: pgleap access-key enable "+id+"\n") {
		t.Errorf("rotated while disabled: %s", got.stdout)
	}
}

func TestSecretIsInTheJSONThatTellsIt(t *testing.T) {
	s := startServer(t)
	keyOf := func(args ...string) (key client.AccessKey) {
		got := run(t, append(args, "-o", "json")...)
		if err := json.Unmarshal([]byte(got.stdout), &key); err != nil {
			t.Fatalf("%v: %s", err, got.stdout)
		}
		return key
	}
	made := keyOf("access-key", "create")
	rotated := keyOf("access-key", "rotate", made.Id)
	caller, err := s.use.Caller(t.Context(), made.Id)
	if err != nil || made.Secret == "" || rotated.Secret == made.Secret || rotated.Secret != caller.Secret {
		t.Errorf("created %s, rotated %s (%v)", made.Id, rotated.Id, err)
	}
	if key := keyOf("access-key", "disable", made.Id); !key.Disabled || key.Secret != "" {
		t.Errorf("disabled: %t, with a secret: %t", key.Disabled, key.Secret != "")
	}
}

func TestPolicyOfAKey(t *testing.T) {
	s := startServer(t)
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(text string) string {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	one := `{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "rds:*", "Resource": "acs:rds:*:*:dbinstance/orders"}]}`
	for _, test := range []struct {
		flags  []string
		code   int
		says   string
		policy string // canonical
	}{
		{nil, ExitOK, "It may do everything that the vendors' APIs offer.", string(authz.FullAccess().Document())},
		{[]string{"--policy", "full"}, ExitOK, "It may do everything that the vendors' APIs offer.", string(authz.FullAccess().Document())},
		{[]string{"--policy", "read-only"}, ExitOK, "It may look at everything, and change nothing.", string(authz.ReadOnly().Document())},
		{[]string{"--policy", write(one)}, ExitOK, "It may do what the one statement of its policy says.", canonical(t, one)},
	} {
		got := run(t, slices.Concat([]string{"access-key", "create"}, test.flags)...)
		if got.code != test.code || !strings.Contains(got.stdout, test.says) {
			t.Errorf("%q: got %+v", test.flags, got)
			continue
		}
		id, _ := secretOf(t, got.stdout)
		caller, err := s.use.Caller(t.Context(), id)
		if err != nil || string(caller.Policy.Document()) != test.policy {
			t.Errorf("%q: policy %s (%v)", test.flags, caller.Policy.Document(), err)
		}
	}
	got := run(t, "access-key", "create", "--policy", write(`{"Version": "1", "Statement": [], "Sid": "x"}`))
	if got.code != ExitRefused || !strings.Contains(got.stderr, "Error: the policy cannot be read: ") {
		t.Errorf("a policy with an unknown member: got %+v", got)
	}
	got = run(t, "access-key", "create", "--policy", write(`{"Version": "1", "Statement": []}`))
	if got.code != ExitOK || !strings.Contains(got.stdout, "It may do nothing, since its policy has no statements.") {
		t.Errorf("a policy without statements: got %+v", got)
	}
}

func canonical(t *testing.T, document string) string {
	t.Helper()
	policy, err := authz.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return string(policy.Document())
}

func TestPrintAccessKeys(t *testing.T) {
	two := json.RawMessage(`{"Version":"1","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"rds:SwitchOverMajorVersionUpgrade","Resource":"*"}]}`)
	keys := []client.AccessKey{
		{Id: "PGLEAPAAAAAAAAAAAAAA", Account: "pgleap", Policy: authz.FullAccess().Document(), CreatedAt: local(10, 0, 0)},
		{
			Id: "PGLEAPBBBBBBBBBBBBBB", Account: "1234", Policy: authz.ReadOnly().Document(), CreatedAt: local(10, 1, 0),
			Description: "dashboard\x1b[2J", LastUsedAt: end(local(11, 0, 0)), RotatedAt: end(local(10, 30, 0)),
		},
		{Id: "PGLEAPCCCCCCCCCCCCCC", Account: "1234", Policy: two, CreatedAt: local(10, 2, 0), Disabled: true, Description: "terraform"},
	}
	var out bytes.Buffer
	if err := table(&out, keyRows(keys)); err != nil {
		t.Fatal(err)
	}
	golden(t, "access_keys.txt", out.String())
}
