package huawei

import (
	"encoding/base64"
	"testing"
	"time"
)

func TestTokenStandsForItsKeyForADay(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	text := newToken("TESTAK", "TESTSK", now.Add(tokenLife))
	for name, test := range map[string]struct {
		secret string
		at     time.Time
		want   bool
	}{
		"at once":            {"TESTSK", now, true},
		"shortly before end": {"TESTSK", now.Add(tokenLife - time.Second), true},
		"at the end":         {"TESTSK", now.Add(tokenLife), false},
		"rotated key":        {"OTHERSK", now, false},
		"disabled key":       {"", now, false},
	} {
		parsed, ok := parseToken(text)
		if !ok || parsed.accessKey != "TESTAK" {
			t.Fatalf("%s: got %+v, %t", name, parsed, ok)
		}
		if got := parsed.genuine(test.secret, test.at); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if text == newToken("TESTAK", "TESTSK", now.Add(tokenLife)) {
		t.Error("two tokens are alike")
	}
}

func TestEveryBitOfATokenCounts(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	raw, err := base64.RawURLEncoding.DecodeString(newToken("TESTAK", "TESTSK", now.Add(tokenLife)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if parsed, ok := parseToken(base64.RawURLEncoding.EncodeToString(raw)); ok && parsed.genuine("TESTSK", now) {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func TestTokenOfAnEmptySecretOpensNothing(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if parsed, ok := parseToken(newToken("TESTAK", "", now.Add(tokenLife))); !ok || parsed.genuine("", now) {
		t.Errorf("got %+v, %t", parsed, ok)
	}
}
