package aliyun

import (
	"strings"
	"testing"
)

func TestClientTokenRunsOperationOnce(t *testing.T) {
	d := newDoor(t)
	base := newV1().set("Action", "WithToken", "ClientToken", "t-1")
	first := d.wantOK(t, "first", base.signed().request())
	again := d.wantOK(t, "again, as XML, with another time, and OwnerId", base.set("SignatureNonce", "n-2", "Format", "XML",
		"Timestamp", "2026-01-02T03:04:06Z", "OwnerId", "1", "RegionId", "elsewhere").signed().request())
	if d.ran != 1 || !strings.Contains(first.body, `"Ran":1`) || !strings.Contains(again.body, "<Ran>1</Ran>") {
		t.Errorf("ran %d times\n%s\n%s", d.ran, first.body, again.body)
	}
	if first.header.Get("X-Acs-Request-Id") == again.header.Get("X-Acs-Request-Id") {
		t.Error("both answers have the same request id")
	}
	third := newV3().set("x-acs-action", "WithToken").ask("ClientToken", "t-1").set("x-acs-signature-nonce", "n-3")
	d.wantOK(t, "again, with the third signature", third.request())
	d.wantCode(t, "with other parameters", base.set("SignatureNonce", "n-4", "PageSize", "31").signed().request(), 400, "IdempotentParameterMismatch")
	d.wantCode(t, "with one more", base.set("SignatureNonce", "n-5", "AllowDDL", "").signed().request(), 400, "IdempotentParameterMismatch")
	if d.ran != 1 {
		t.Errorf("ran %d times", d.ran)
	}
	d.wantOK(t, "another token", base.set("SignatureNonce", "n-6", "ClientToken", "t-2").signed().request())
	d.wantOK(t, "no token", base.without("ClientToken").set("SignatureNonce", "n-7").signed().request())
	if d.ran != 3 {
		t.Errorf("ran %d times, want 3", d.ran)
	}
	d.busy = true
	d.wantCode(t, "meanwhile", base.set("SignatureNonce", "n-8").signed().request(), 400, "IdempotentProcessing")
}

func TestClientTokenIsBounded(t *testing.T) {
	base := newV1().set("Action", "WithToken")
	newDoor(t).wantOK(t, "64 characters", base.set("ClientToken", strings.Repeat("t", 64)).signed().request())
	for _, token := range []string{strings.Repeat("t", 65), "中", "a\tb"} {
		newDoor(t).wantCode(t, token, base.set("ClientToken", token).signed().request(), 400, "Parameters.Invalid")
	}
	newDoor(t).wantOK(t, "where it means nothing", newV1().set("ClientToken", strings.Repeat("t", 65)).signed().request())
}

func TestOperationThatFailedRunsAgain(t *testing.T) {
	d := newDoor(t)
	base := newV1().set("Action", "WithToken", "ClientToken", "t-1", "DBInstanceId", "missing")
	d.wantCode(t, "first", base.signed().request(), 404, "InvalidDBInstanceName.NotFound")
	d.wantCode(t, "again", base.set("SignatureNonce", "n-2").signed().request(), 404, "InvalidDBInstanceName.NotFound")
	if d.ran != 2 {
		t.Errorf("ran %d times, want 2", d.ran)
	}
}
