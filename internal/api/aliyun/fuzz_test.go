package aliyun

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// fuzzed is a request of which everything that matters comes from a stranger.
func fuzzed(method, query, contentType, body string, header map[string]string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL.RawQuery = query
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

const formType = "application/x-www-form-urlencoded"

// What is decoded is what net/url decodes, where both accept it.
func FuzzDecodeRequest(f *testing.F) {
	f.Add("Action=A&Version=1&Empty=", formType, "B=2&C=%E4%B8%AD")
	f.Add("a=%zz&b=%", formType, "")
	f.Add("a=1&a=2", "", "x")
	f.Add("a=1", formType+"; charset=utf-8", "a=2")
	f.Add("&&=&=x&+=+%20", "text/plain", "a=1")
	f.Add("a;b=1&c=%00&d=%ff", formType, "&")
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		r := fuzzed("POST", query, contentType, body, nil)
		q, err := decodeRequest(httptest.NewRecorder(), r)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Status != 400 && e.Status != 413 { //nolint:errorlint // it is this very error
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if len(q.sorted) != len(q.params()) {
			t.Fatalf("%d parameters under %d names", len(q.sorted), len(q.params()))
		}
		want, err := url.ParseQuery(query)
		if err != nil { // it refuses semicolons
			return
		}
		for _, p := range q.sorted {
			if !p.inForm && (len(want[p.name]) != 1 || want[p.name][0] != p.value) {
				t.Fatalf("%q is %q, want %q", p.name, p.value, want[p.name])
			}
		}
	})
}

// Whatever comes, who does not know the secret does not get in, and only valid encodings of what was
// signed are accepted.
func FuzzSignatureV1(f *testing.F) {
	signed := newV1().signed()
	f.Add("POST", signed.query.Encode(), "", signed.query.Get("Signature"))
	f.Add("GET", signed.query.Encode(), "A=1", "")
	f.Add("GET", "Signature=x&Action=&Timestamp=2026-01-02T03%3A04%3A05Z", "", "====")
	f.Add("POST", "SignatureType=BEARERTOKEN", "SecurityToken=1", "\n")
	d := newDoor(f)
	f.Fuzz(func(t *testing.T, method, query, form, signature string) {
		r := fuzzed("POST", query, formType, form, nil)
		r.Method = method
		q, err := decodeRequest(httptest.NewRecorder(), r)
		if err != nil {
			return
		}
		toSign := stringToSignV1(method, q.sorted)
		want := signV1("a secret that nobody knows", toSign)
		if equalV1(signature, want) != (signature == base64Of(want)) {
			t.Fatalf("%q is taken for %q", signature, base64Of(want))
		}
		if _, rest, _ := strings.Cut(string(toSign), "&%2F&"); strings.ContainsAny(rest, "&=+ ") {
			t.Fatalf("not encoded: %s", toSign)
		}
		who, err := d.api.credentialsOf(&q)
		if err == nil && who.verify("a secret that nobody knows") == nil {
			t.Fatalf("let in with %s", q.text("Signature"))
		}
		d.api.ServeHTTP(httptest.NewRecorder(), fuzzed("POST", query, formType, form, nil))
		d.calls = nil
	})
}

func FuzzSignatureV3(f *testing.F) {
	r := newV3().request()
	f.Add(r.Header.Get("Authorization"), r.URL.RawQuery, "", r.Header.Get("X-Acs-Content-Sha256"), "n-1", "/")
	f.Add("ACS3-HMAC-SHA256 Credential=,SignedHeaders=;;,Signature=", "", "", "", "", "")
	f.Add("ACS3-HMAC-SHA256 Signature=00,Signature=00, SignedHeaders=host;host", "a=1&a=1", "b=2", "x", "\x00", "//")
	f.Add("ACS3-", "", "", "", "", "/aliyun/%2F")
	f.Add("ACS3-HMAC-SHA256 Credential=TESTAK,SignedHeaders=host;x-acs-action;x-acs-version;x-acs-date;x-acs-signature-nonce;"+
		"x-acs-content-sha256;content-type;authorization;\n,Signature="+strings.Repeat("0", 64), "A=%20", "C=%20", emptyHash, "n", "/aliyun/ä")
	d := newDoor(f)
	f.Fuzz(func(t *testing.T, authorization, query, form, bodyHash, nonce, path string) {
		z, err := parseAuthorizationV3(authorization)
		if err == nil && (z.keyID == "" || z.headers == "" || len(z.signature) != 64) {
			t.Fatalf("accepted %+v", z)
		}
		build := func() *http.Request {
			r := fuzzed("POST", query, formType, form, map[string]string{
				"Authorization": authorization, "X-Acs-Content-Sha256": bodyHash, "X-Acs-Signature-Nonce": nonce,
				"X-Acs-Action": "DescribeUpgradeMajorVersionTasks", "X-Acs-Version": "2014-08-15", "X-Acs-Date": "2026-01-02T03:04:05Z",
			})
			r.URL.Path = path
			return r
		}
		q, err := decodeRequest(httptest.NewRecorder(), build())
		if err != nil {
			return
		}
		who, err := d.api.credentialsOf(&q)
		if err == nil && who.verify("a secret that nobody knows") == nil {
			t.Fatalf("let in with %s", authorization)
		}
		d.api.ServeHTTP(httptest.NewRecorder(), build())
		d.calls = nil
	})
}
