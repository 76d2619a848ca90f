package control

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestAccessKeyIsToldOnceAndKeptSealed(t *testing.T) {
	c := newControl(t)
	key, told, err := c.CreateAccessKey(t.Context(), Actor{Name: "dba"}, NewAccessKey{Description: "terraform"})
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := c.catalog.AccessKey(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < 24 || strings.Contains(recorded.Secret, told) {
		t.Errorf("secret of %d characters, in clear in the record: %t", len(told), strings.Contains(recorded.Secret, told))
	}
	caller, err := c.Caller(t.Context(), key.ID)
	if err != nil || caller.Secret != told || caller.Account != DefaultAccount || caller.Disabled {
		t.Errorf("the caller is %s of %s (%v)", caller.KeyID, caller.Account, err)
	}
	entries, err := c.catalog.AuditEntries(t.Context(), 0)
	if err != nil || len(entries) != 1 || entries[0].Object != key.ID || strings.Contains(entries[0].Result, told) {
		t.Errorf("audit has %+v (%v)", entries, err)
	}
}

func TestSecretIsOfNoUseToAnotherKeyOrServer(t *testing.T) {
	c := newControl(t)
	first, _, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{})
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := c.catalog.AccessKey(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.catalog.RotateAccessKey(t.Context(), second.ID, stolen.Secret, now); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Caller(t.Context(), second.ID); upgrade.CauseOf(err) != upgrade.CauseCatalogue {
		t.Errorf("a secret copied from another key: %v", err)
	}
	other := make([]byte, 32)
	other[0] = 1
	if c.sealer, err = secret.NewKey(other); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Caller(t.Context(), first.ID); upgrade.CauseOf(err) != upgrade.CauseCatalogue {
		t.Errorf("a record with another key file: %v", err)
	}
}

func TestKeyCanBeDisabledAndRotated(t *testing.T) {
	c := newControl(t)
	if open, err := c.HasAccessKeys(t.Context()); err != nil || open {
		t.Errorf("before the first key the door is open: %t (%v)", open, err)
	}
	key, told, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{Account: "1234"})
	if err != nil {
		t.Fatal(err)
	}
	if open, err := c.HasAccessKeys(t.Context()); err != nil || !open {
		t.Errorf("with a key the door is open: %t (%v)", open, err)
	}
	if _, err := c.Caller(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DisableAccessKey(t.Context(), Actor{}, key.ID, true); err != nil {
		t.Fatal(err)
	}
	if caller, err := c.Caller(t.Context(), key.ID); err != nil || !caller.Disabled {
		t.Errorf("a disabled key is still taken (%v)", err)
	}
	if open, err := c.HasAccessKeys(t.Context()); err != nil || open {
		t.Errorf("with a disabled key only the door is open: %t (%v)", open, err)
	}
	if _, err := c.DisableAccessKey(t.Context(), Actor{}, key.ID, false); err != nil {
		t.Fatal(err)
	}
	rotated, again, err := c.RotateAccessKey(t.Context(), Actor{}, key.ID)
	if err != nil || again == told || rotated.RotatedAt == nil {
		t.Errorf("rotated: another secret %t (%v)", again != told, err)
	}
	if caller, err := c.Caller(t.Context(), key.ID); err != nil || caller.Secret != again || caller.Disabled {
		t.Errorf("the former secret is still taken, or the key still disabled (%v)", err)
	}
	for what, err := range map[string]error{
		"caller": second(c.Caller(t.Context(), "nosuch")), "disable": second(c.DisableAccessKey(t.Context(), Actor{}, "nosuch", true)),
		"rotate": third(c.RotateAccessKey(t.Context(), Actor{}, "nosuch")),
	} {
		if kind(err) != "notfound" {
			t.Errorf("%s of an unknown key: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

// What is known of a key is asked again after a moment: another server may have disabled it.
func TestCallerIsNotRememberedForLong(t *testing.T) {
	c := newControl(t)
	key, _, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Caller(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.catalog.DisableAccessKey(t.Context(), key.ID, true); err != nil { // as another server would
		t.Fatal(err)
	}
	for _, test := range []struct {
		after    time.Duration
		disabled bool
	}{{0, false}, {callerTTL, true}} {
		c.now = func() time.Time { return now.Add(test.after) }
		if caller, err := c.Caller(t.Context(), key.ID); err != nil || caller.Disabled != test.disabled {
			t.Errorf("after %s: disabled %t (%v)", test.after, caller.Disabled, err)
		}
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	c := newControl(t)
	for what, wanted := range map[string]NewAccessKey{
		"account with a colon": {Account: "a:b"}, "policy that is none": {Policy: []byte("{")},
	} {
		if _, _, err := c.CreateAccessKey(t.Context(), Actor{}, wanted); kind(err) != "invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPolicyTravelsWithTheKey(t *testing.T) {
	c := newControl(t)
	key, _, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{Policy: authz.ReadOnly().Document()})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := c.Caller(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]authz.Decision{
		"rds:DescribeUpgradeMajorVersionTasks": authz.Allowed, "rds:UpgradeDBInstanceMajorVersion": authz.ImplicitDeny,
	} {
		got := caller.Policy.Decide(authz.Request{Action: action, Resources: []string{"acs:rds:local:pgleap:dbinstance/orders"}})
		if got != want {
			t.Errorf("%s: %s", action, got)
		}
	}
}

func TestNonceIsTakenOnce(t *testing.T) {
	c := newControl(t)
	key, _, err := c.CreateAccessKey(t.Context(), Actor{}, NewAccessKey{})
	if err != nil {
		t.Fatal(err)
	}
	use := func(nonce string) error { return c.UseNonce(t.Context(), key.ID, nonce, now.Add(time.Hour)) }
	const atOnce = 50
	results := make(chan error, atOnce)
	for range atOnce {
		go func() { results <- use("same") }()
	}
	taken := 0
	for range atOnce {
		err := <-results
		if err == nil {
			taken++
			continue
		}
		if _, replayed := errors.AsType[*Replayed](err); !replayed {
			t.Errorf("got %v", err)
		}
	}
	if taken != 1 {
		t.Errorf("it was taken %d times", taken)
	}
	if err := use("other"); err != nil {
		t.Errorf("another one: %v", err)
	}
	if err := c.UseNonce(t.Context(), "another key", "same", now.Add(time.Hour)); err != nil {
		t.Errorf("the same one of another key: %v", err)
	}
	recorded, err := c.catalog.AccessKey(t.Context(), key.ID)
	if err != nil || recorded.LastUsedAt == nil || !recorded.LastUsedAt.Equal(now) {
		t.Errorf("the key was used last at %v (%v)", recorded.LastUsedAt, err)
	}
}

func TestCallsAreRecorded(t *testing.T) {
	c := newControl(t)
	for _, id := range []string{"r1", "r2"} {
		c.RecordCall(Call{At: now, Who: "access key K", What: "aliyun DescribeRegions", Result: "ok", RequestID: id})
	}
	calls, err := c.Calls(t.Context(), 0)
	if err != nil || len(calls) != 2 || calls[0].RequestID != "r2" {
		t.Errorf("got %+v (%v)", calls, err)
	}
}

// Who floods the door without a key does not fill the record.
func TestCallsOfStrangersAreRecordedInPart(t *testing.T) {
	c := newControl(t)
	for i := range 2 * strangersAtOnce {
		c.RecordStranger(Call{At: now.Add(time.Duration(i)), Who: "nobody", RequestID: "r"})
		c.RecordCall(Call{At: now.Add(time.Duration(i) * time.Millisecond), Who: "access key K", RequestID: strconv.Itoa(i)})
	}
	calls, err := c.Calls(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	strangers := 0
	for _, call := range calls {
		if call.Who == "nobody" {
			strangers++
		}
	}
	if known := len(calls) - strangers; known != 2*strangersAtOnce || strangers == 0 || strangers > strangersAtOnce {
		t.Errorf("%d calls of the key and %d of strangers are recorded", known, strangers)
	}
}

// However long they flood it, most of the record is left to those who have a key.
func TestCallsOfStrangersDoNotPushOthersOut(t *testing.T) {
	t.Parallel()
	c := newControl(t)
	recorded := 0
	for at := now; at.Before(now.Add(catalog.CallRetention)); at = at.Add(time.Second) {
		for range 10 {
			if c.strangers.AllowN(at, 1) {
				recorded++
			}
		}
	}
	if most := catalog.MaxCalls/10 + strangersAtOnce; recorded > most || recorded < most/2 {
		t.Errorf("%d calls of strangers are recorded in %s, want at most %d of the %d that are kept", recorded, catalog.CallRetention, most, catalog.MaxCalls)
	}
}

func TestThrottle(t *testing.T) {
	c := newControl(t)
	c.throttle.perSecond = 2
	at := now
	c.now = func() time.Time { return at }
	for i, want := range []bool{true, true, true, true, false} {
		if err := c.Admit("K"); (err == nil) != want {
			t.Errorf("request %d: %v", i+1, err)
		}
	}
	throttled, ok := errors.AsType[*Throttled](c.Admit("K"))
	if !ok || throttled.RetryAfter <= 0 || throttled.RetryAfter > time.Second {
		t.Errorf("got %+v, want a time within a second", throttled)
	}
	if err := c.Admit("another"); err != nil {
		t.Errorf("another key: %v", err)
	}
	at = at.Add(throttled.RetryAfter)
	if err := c.Admit("K"); err != nil {
		t.Errorf("after the time that was told: %v", err)
	}
}
