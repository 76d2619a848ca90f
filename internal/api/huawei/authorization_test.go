package huawei

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// vector is a request with a signature that the vendor's own documentation, or its SDK, made.
type vector struct {
	method, target, body string
	header               map[string]string // "host" is the Host header
	accessKey, secret    string
	signed, signature    string
	canonicalDigest      string // of the canonical request, where it is known
}

var vectors = map[string]vector{
	"HW-doc": {
		method: "GET",
		target: "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs/?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
		header: map[string]string{
			"content-type": "application/json", "host": "service.region.example.com", "x-sdk-date": "20191115T033655Z",
		},
		accessKey: "QTWAOYTTINDUT2QVKYUC", secret: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
		signed:          "content-type;host;x-sdk-date",
		signature:       "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		canonicalDigest: "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
	},
	"HW-GET": {
		method:    "GET",
		target:    "/v3/p1/instances/i1in03/major-version/status?action=upgrade",
		header:    map[string]string{"x-project-id": "p1", "x-sdk-date": "20260102T030405Z"},
		accessKey: "TESTAK", secret: "TESTSK",
		signed:    "x-project-id;x-sdk-date",
		signature: "adba1d5a20bb30ab4329531748b0941f91ecfc7e5e96650729b95d0ee793d007",
	},
	"HW-POST": {
		method:    "POST",
		target:    "/v3/p1/instances/i1in03/major-version/inspection",
		body:      `{"target_version":"14.9.0"}` + "\n",
		header:    map[string]string{"x-project-id": "p1", "x-sdk-date": "20260102T030405Z"},
		accessKey: "TESTAK", secret: "TESTSK",
		signed:    "x-project-id;x-sdk-date",
		signature: "8a789d74fe4f06dbb33ee75a38068a9bb756a832bd33749b161e0cd804d44892",
	},
}

func (v vector) request(t testing.TB) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), v.method, v.target, strings.NewReader(v.body))
	for name, value := range v.header {
		if name == "host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	r.Header.Set("Authorization", algorithm+" Access="+v.accessKey+", SignedHeaders="+v.signed+", Signature="+v.signature)
	return r
}

// check does what bySignature does, without a record.
func check(r *http.Request, secret string, now time.Time) *failure {
	auth, bad := parseAuthorization(r.Header.Get("Authorization"))
	if bad != nil {
		return bad
	}
	if _, bad := auth.signedAt(r, now); bad != nil {
		return bad
	}
	query, bad := parseQuery(r.URL.RawQuery)
	if bad != nil {
		return bad
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return refuse(codeMalformed, msgUnreadBody)
	}
	return auth.verify(r, query, body, secret)
}

func (v vector) at() time.Time {
	at, err := time.Parse(sdkDate, v.header["x-sdk-date"])
	if err != nil {
		panic(err)
	}
	return at
}

func TestSignaturesOfTheVendorVerify(t *testing.T) {
	for name, v := range vectors {
		if bad := check(v.request(t), v.secret, v.at()); bad != nil {
			t.Errorf("%s: %v", name, bad)
		}
		if v.canonicalDigest == "" {
			continue
		}
		r := v.request(t)
		query, _ := parseQuery(r.URL.RawQuery)
		empty := sha256.Sum256(nil)
		canonical, bad := canonicalRequest(r, query, strings.Split(v.signed, ";"), hex.EncodeToString(empty[:]))
		if sum := sha256.Sum256([]byte(canonical)); bad != nil || hex.EncodeToString(sum[:]) != v.canonicalDigest {
			t.Errorf("%s: digest of the canonical request %x (%v), want %s:\n%s", name, sum, bad, v.canonicalDigest, canonical)
		}
	}
}

func TestCanonicalRequest(t *testing.T) {
	r := vectors["HW-GET"].request(t)
	query, _ := parseQuery(r.URL.RawQuery)
	empty := sha256.Sum256(nil)
	got, bad := canonicalRequest(r, query, []string{"x-project-id", "x-sdk-date"}, hex.EncodeToString(empty[:]))
	want := `GET
/v3/p1/instances/i1in03/major-version/status/
action=upgrade
x-project-id:p1
x-sdk-date:20260102T030405Z

x-project-id;x-sdk-date
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`
	if bad != nil || got != want {
		t.Errorf("got (%v)\n%s\nwant\n%s", bad, got, want)
	}
}

func TestWhatIsEncodedOnTheWireDoesNotMatter(t *testing.T) {
	canonical := func(target string) string {
		r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
		query, bad := parseQuery(r.URL.RawQuery)
		if bad != nil {
			t.Fatalf("%s: %v", target, bad)
		}
		text, bad := canonicalRequest(r, query, nil, "")
		if bad != nil {
			t.Fatalf("%s: %v", target, bad)
		}
		return text
	}
	want := "GET\n/a%20b%2A~/\nmarker=a%20b%2A~%27%28%29%21%2F%2B%E4%B8%AD\n\n\n"
	for _, target := range []string{
		"/a%20b*~?marker=a%20b%2A~%27%28%29%21%2F%2B%E4%B8%AD",
		"/a%20b%2A%7e?marker=a+b*~'()!/%2b%e4%b8%ad",
	} {
		if got := canonical(target); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
	if got := canonical("/a%2Fb"); got != "GET\n/a%2Fb/\n\n\n\n" {
		t.Errorf("a slash within a segment became %q", got)
	}
	sorted := canonical("/?limit=1&action=check&a-b=2&a=3&limit2=")
	if !strings.Contains(sorted, "\na=3&a-b=2&action=check&limit=1&limit2=\n") {
		t.Errorf("got %q, want the parameters by name", sorted)
	}
}

// Every bit of a signature, and of what is signed, counts.
func TestFlippedBitsAreRefused(t *testing.T) {
	for name, v := range vectors {
		for i := range v.signature {
			for bit := range 8 {
				changed := v
				text := []byte(v.signature)
				text[i] ^= 1 << bit
				if strings.EqualFold(string(text), v.signature) {
					continue // hexadecimal digits in capitals are the same digits
				}
				changed.signature = string(text)
				if bad := check(changed.request(t), v.secret, v.at()); bad == nil || bad.code != codeUnauthenticated {
					t.Fatalf("%s, signature %q: got %v", name, text, bad)
				}
			}
		}
		for i := range v.body {
			for bit := range 8 {
				changed := v
				text := []byte(v.body)
				text[i] ^= 1 << bit
				changed.body = string(text)
				if bad := check(changed.request(t), v.secret, v.at()); bad == nil || bad.code != codeUnauthenticated {
					t.Fatalf("%s, body %q: got %v", name, text, bad)
				}
			}
		}
	}
}

func TestWhatIsNotSignedAsItShouldBeIsRefused(t *testing.T) {
	base := vectors["HW-POST"]
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	authorization := func(change func(string) string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", change(r.Header.Get("Authorization"))) }
	}
	replace := func(from, to string) func(*http.Request) {
		return authorization(func(s string) string { return strings.Replace(s, from, to, 1) })
	}
	trueDigest := sha256.Sum256([]byte(base.body))
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   message // "": it verifies
	}{
		"as it was":                   {func(*http.Request) {}, ""},
		"signature in capitals":       {replace(base.signature, strings.ToUpper(base.signature)), ""},
		"no blanks":                   {authorization(func(s string) string { return strings.ReplaceAll(s, ", ", ",") }), ""},
		"true digest sent along":      {set("X-Sdk-Content-Sha256", hex.EncodeToString(trueDigest[:])), ""},
		"unsigned header added":       {set("X-Other", "1"), ""},
		"other method":                {func(r *http.Request) { r.Method = "PUT" }, msgBadSignature},
		"other path":                  {func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "i1", "i2", 1) }, msgBadSignature},
		"added query parameter":       {func(r *http.Request) { r.URL.RawQuery = "a=1" }, msgBadSignature},
		"repeated query parameter":    {func(r *http.Request) { r.URL.RawQuery = "a=1&a=1" }, msgRepeatedParameter},
		"other signed header":         {set("X-Project-Id", "p2"), msgBadSignature},
		"signed header missing":       {func(r *http.Request) { r.Header.Del("X-Project-Id") }, msgSignedHeaderMissing},
		"signed header twice":         {func(r *http.Request) { r.Header.Add("X-Project-Id", "p1") }, msgSignedHeaderMissing},
		"date missing":                {func(r *http.Request) { r.Header.Del("X-Sdk-Date") }, msgSignedHeaderMissing},
		"date in another form":        {set("X-Sdk-Date", "2026-01-02T03:04:05Z"), msgBadDate},
		"date not signed":             {replace(";x-sdk-date", ""), msgNotSigned},
		"security token not signed":   {set("X-Security-Token", "t"), msgNotSigned},
		"unsigned payload":            {set("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD"), msgUnsignedPayload},
		"digest of another body":      {set("X-Sdk-Content-Sha256", strings.Repeat("0", 64)), msgOtherPayload},
		"derived key":                 {replace(algorithm, derivedAlgorithm), msgDerivedKey},
		"another algorithm":           {replace(algorithm, "SDK-HMAC-SHA1"), msgBadAlgorithm},
		"algorithm alone":             {set("Authorization", algorithm), msgBadAuthorization},
		"signature cut":               {replace(base.signature, base.signature[2:]), msgBadAuthorization},
		"signature twice":             {authorization(func(s string) string { return s + ", Signature=" + base.signature }), msgBadAuthorization},
		"unknown field":               {authorization(func(s string) string { return s + ", Other=1" }), msgBadAuthorization},
		"no access key":               {replace("TESTAK", ""), msgBadAuthorization},
		"access key with a line feed": {replace("TESTAK", "TEST\nAK"), msgBadAuthorization},
		"a header's name twice":       {replace("x-project-id;", "x-project-id;x-project-id;"), msgBadAuthorization},
		"a header without a name":     {replace("x-project-id;", ";"), msgBadAuthorization},
	} {
		r := base.request(t)
		test.change(r)
		bad := check(r, base.secret, base.at())
		if test.want == "" && bad != nil || test.want != "" && (bad == nil || bad.message != test.want) {
			t.Errorf("%s: got %v, want %q", name, bad, test.want)
		}
	}
	if bad := check(base.request(t), "", base.at()); bad == nil || bad.message != msgBadSignature {
		t.Errorf("an empty secret: got %v", bad)
	}
}

func TestSkew(t *testing.T) {
	v := vectors["HW-GET"]
	for _, test := range []struct {
		off time.Duration
		ok  bool
	}{
		{0, true}, {maxSkew, true}, {-maxSkew, true}, {maxSkew + time.Second, false}, {-maxSkew - time.Second, false},
	} {
		bad := check(v.request(t), v.secret, v.at().Add(test.off))
		if (bad == nil) != test.ok || bad != nil && bad.message != msgSkew {
			t.Errorf("clock off by %s: got %v", test.off, bad)
		}
	}
}
