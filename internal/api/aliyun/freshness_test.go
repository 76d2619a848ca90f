package aliyun

import (
	"net/http"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/control"
)

// bothVersions makes the same request with either signature.
func bothVersions(timestamp, nonce string) map[string]*http.Request {
	return map[string]*http.Request{
		"first": newV1().set("Timestamp", timestamp, "SignatureNonce", nonce).signed().request(),
		"third": newV3().set("x-acs-date", timestamp).set("x-acs-signature-nonce", nonce).request(),
	}
}

func TestClockMayBeFifteenMinutesOff(t *testing.T) {
	for _, test := range []struct {
		name, timestamp string
		ahead           time.Duration // of the server's clock
		code            string
	}{
		{"now", "2026-01-02T03:04:05Z", 0, ""},
		{"15 minutes ago", "2026-01-02T03:04:05Z", 15 * time.Minute, ""},
		{"15 minutes from now", "2026-01-02T03:04:05Z", -15 * time.Minute, ""},
		{"a moment more than 15 minutes ago", "2026-01-02T03:04:05Z", 15*time.Minute + 1, "InvalidTimeStamp.Expired"},
		{"a moment more than 15 minutes from now", "2026-01-02T03:04:05Z", -15*time.Minute - 1, "InvalidTimeStamp.Expired"},
		{"a year ago", "2025-01-02T03:04:05Z", 0, "InvalidTimeStamp.Expired"},
		{"centuries ago", "0001-01-01T00:00:00Z", 0, "InvalidTimeStamp.Expired"},
		{"in another zone", "2026-01-02T03:04:05+00:00", 0, "InvalidTimeStamp.Format"},
		{"without a zone", "2026-01-02T03:04:05", 0, "InvalidTimeStamp.Format"},
		{"with a fraction", "2026-01-02T03:04:05.1Z", 0, "InvalidTimeStamp.Format"},
		{"seconds since 1970", "1767323045", 0, "InvalidTimeStamp.Format"},
		{"a 13th month", "2026-13-02T03:04:05Z", 0, "InvalidTimeStamp.Format"},
	} {
		for version, r := range bothVersions(test.timestamp, "n-1") {
			d := newDoor(t)
			d.now = signedAt.Add(test.ahead)
			if test.code == "" {
				d.wantOK(t, test.name+", "+version, r)
			} else {
				d.wantCode(t, test.name+", "+version, r, 400, test.code)
			}
		}
	}
}

func TestNonceServesOnce(t *testing.T) {
	d := newDoor(t)
	d.now = signedAt.Add(-10 * time.Minute)
	first, again := bothVersions("2026-01-02T03:04:05Z", "n-1"), bothVersions("2026-01-02T03:04:05Z", "n-1")
	d.wantOK(t, "first signature", first["first"])
	d.wantCode(t, "the same once more", again["first"], 400, "SignatureNonceUsed")
	d.wantCode(t, "the nonce in another request", first["third"], 400, "SignatureNonceUsed")
	d.wantOK(t, "another nonce", bothVersions("2026-01-02T03:04:05Z", "n-2")["third"])
	// The request stays valid until 15 minutes after its own time, which is 25 minutes away.
	if until := d.nonces[testKey+" n-1"]; !until.Equal(signedAt.Add(15 * time.Minute)) {
		t.Errorf("nonce is kept until %s, want %s", until, signedAt.Add(15*time.Minute))
	}
	other := d.callers[testKey]
	other.KeyID = "OTHER"
	d.callers["OTHER"] = other
	d.wantOK(t, "the nonce of another key", newV1().set("AccessKeyId", "OTHER").signed().request())
}

// Whoever has seen a request may send it over and over: that costs its owner nothing of what he may ask.
func TestReplayDoesNotSpendTheLimit(t *testing.T) {
	d := newDoor(t)
	d.wantOK(t, "the request", newV1().signed().request())
	for range 3 {
		d.wantCode(t, "once more", newV1().signed().request(), 400, "SignatureNonceUsed")
	}
	if d.admitted != 1 || d.ran != 1 {
		t.Errorf("%d requests were counted, and %d were carried out, want 1 of each", d.admitted, d.ran)
	}
	d.late = true
	d.wantCode(t, "found out only by the record", newV1().signed().request(), 400, "SignatureNonceUsed")
}

func TestThrottledCallerIsToldWhenToComeBack(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		time.Second: "1000", 1500 * time.Microsecond: "2", time.Microsecond: "1", 0: "1",
	} {
		d := newDoor(t)
		d.admit = &control.Throttled{RetryAfter: wait}
		got := d.wantCode(t, "throttled", newV1().signed().request(), 400, "Throttling.User")
		if header := got.header.Get("X-Acs-Retry-After"); header != want {
			t.Errorf("x-acs-retry-after %q after %s, want %q milliseconds", header, wait, want)
		}
	}
}
