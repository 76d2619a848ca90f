package huawei

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whatever a client sends, only the holder of the secret gets in, and nothing is written down that
// could break a log line.
func FuzzAuthorization(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.request(f).Header.Get("Authorization"), v.header["x-sdk-date"], v.target, v.body, "UNSIGNED-PAYLOAD")
	}
	f.Add("V11-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=00", "20260102T030405Z", "/%2F?a=%zz", "", "")
	f.Add("SDK-HMAC-SHA256 Access=, SignedHeaders=;;host, Signature=", "", "/?a&a&b=;", "\x00", "e3")
	f.Fuzz(func(t *testing.T, header, date, target, body, digest string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			t.Skip()
		}
		r := &http.Request{Method: "POST", URL: u, Host: "h", Header: http.Header{}, Body: http.NoBody}
		r.Header["X-Sdk-Date"] = []string{date}
		r.Header["X-Project-Id"] = []string{"p1"}
		if digest != "" {
			r.Header["X-Sdk-Content-Sha256"] = []string{digest}
		}
		auth, bad := parseAuthorization(header)
		if bad != nil {
			wellFormed(t, bad)
			return
		}
		if !isKeyID(auth.accessKey) || strings.ContainsAny(strings.Join(auth.signed, ""), "\n:; ") {
			t.Fatalf("accepted %+v", auth)
		}
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if _, bad := auth.signedAt(r, now); bad != nil {
			wellFormed(t, bad)
		}
		query, bad := parseQuery(u.RawQuery)
		if bad != nil {
			wellFormed(t, bad)
			return
		}
		if bad := auth.verify(r, query, []byte(body), "a secret nobody knows"); bad == nil {
			t.Fatalf("verified %+v", auth)
		} else {
			wellFormed(t, bad)
		}
	})
}

// A decoder answers with a value in its range or with a refusal that can be shown.
func FuzzDecodeRequest(f *testing.F) {
	f.Add("offset=1&limit=10&order=ASC&sort_field=check_time&is_available=true&target_version=14.9", `{"target_version":"14.9.0"}`, "p1", "i1in03")
	f.Add("action=check&id=%E4%B8%AD&name=*a", `{"target_version":"17","is_change_private_ip":true,"statistics_collection_mode":"before_change_private_ip"}`, "..", "orders-old-7")
	f.Add("limit=&offset=-0&limit=9", `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"AK","password":"SK"}}}}}`, "a b", strings.Repeat("0", 32)+"in03")
	f.Add("datastore_type=PostgreSQL&type=Ha&%ff=1", `{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"a"},"secret":{"key":"b"}}}}}`, "", "")
	f.Add("a=1&a=2", `[[[[[[[[[[`, "\x00", "../../x")
	f.Fuzz(func(t *testing.T, raw, body, project, instance string) {
		if target, bad := decodeInspection([]byte(body)); bad != nil {
			wellFormed(t, bad)
		} else if target < 1 || target > 999 {
			t.Fatalf("target %d", target)
		}
		if want, bad := decodeUpgrade([]byte(body)); bad != nil {
			wellFormed(t, bad)
		} else if want.changePrivateIP && want.statistics == "" {
			t.Fatalf("got %+v", want)
		}
		if _, given, bad := decodeTokenRequest([]byte(body)); bad != nil && (given != credentials{}) {
			t.Fatalf("%v with %+v", bad, given)
		}
		u := &url.URL{Path: "/v3/" + project + "/instances/" + instance, RawQuery: raw}
		r := &http.Request{Method: "GET", URL: u, Header: http.Header{}}
		r.SetPathValue("project_id", project)
		if bad := checkProject(r); bad != nil {
			wellFormed(t, bad)
		}
		wellFormed(t, unknownAPI(r))
		wellFormed(t, forbidden(actionList, instance))
		query, bad := parseQuery(raw)
		if bad != nil {
			wellFormed(t, bad)
			return
		}
		c := &call{query: query}
		if filter, bad := historyFilter(c, upgrade.Instance{ID: instance}, "precheck", "check_time", "expiration_time"); bad != nil {
			wellFormed(t, bad)
		} else if filter.Limit < 1 || filter.Limit > maxLimit || filter.Offset < 0 {
			t.Fatalf("got %+v", filter)
		}
		if match, bad := instanceFilter(c); bad != nil {
			wellFormed(t, bad)
		} else {
			match(instanceAnswer{Name: instance})
		}
	})
}

// No token but one that was made with the secret is genuine, and none makes the parser stumble.
func FuzzToken(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Add(newToken("TESTAK", "another secret", now.Add(tokenLife)))
	f.Add(newToken("", "another secret", now))
	f.Add("AQ")
	f.Add(strings.Repeat("A", maxTokenLength+1))
	f.Fuzz(func(t *testing.T, text string) {
		parsed, ok := parseToken(text)
		if !ok {
			return
		}
		if !isKeyID(parsed.accessKey) {
			t.Fatalf("access key %q", parsed.accessKey)
		}
		if parsed.genuine("a secret nobody knows", now) {
			t.Fatalf("genuine: %q", text)
		}
	})
}

// wellFormed checks that a refusal can be shown and recorded.
func wellFormed(t *testing.T, bad *failure) {
	t.Helper()
	for _, in := range []language{english, chinese} {
		text := bad.text(in)
		if text == "" || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\x00") || len(text) > 2000 {
			t.Fatalf("%s says %q", bad.code.name, text)
		}
	}
}
