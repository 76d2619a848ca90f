package aliyun

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hexOf(sum[:])
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// The signature of each is the one that the vendor's own signers make.
func TestThirdSignatureOfKnownRequests(t *testing.T) {
	own := strings.Join([]string{
		"POST", "/", "DBInstanceId=a%20b%2A~%27%28%29%21%2F%2B%E4%B8%AD&PageSize=30",
		"host:127.0.0.1:8080", "x-acs-action:DescribeUpgradeMajorVersionTasks", "x-acs-content-sha256:" + emptyHash,
		"x-acs-date:2026-01-02T03:04:05Z", "x-acs-signature-nonce:n-1", "x-acs-version:2014-08-15", "",
		"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version", emptyHash,
	}, "\n")
	for _, test := range []struct {
		name, host, secret, query string
		header                    map[string]string
		canonical, hash           string
		signature                 string
	}{
		{
			name: "of the documentation", host: "ecs.cn-shanghai.aliyuncs.com", secret: "YourAccessKeySecret",
			query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
			header: map[string]string{
				"x-acs-action": "RunInstances", "x-acs-version": "2014-05-26", "x-acs-date": "2023-10-26T10:22:32Z",
				"x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d", "x-acs-content-sha256": emptyHash,
			},
			signature: "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
		},
		{
			name: "own", host: "127.0.0.1:8080", secret: testSecret, query: "PageSize=30&DBInstanceId=" + url.QueryEscape(awkward),
			header: map[string]string{
				"x-acs-action": "DescribeUpgradeMajorVersionTasks", "x-acs-version": "2014-08-15", "x-acs-date": "2026-01-02T03:04:05Z",
				"x-acs-signature-nonce": "n-1", "x-acs-content-sha256": emptyHash,
			},
			canonical: own, hash: "91b0fd39981e8656b5a9930f2132dd76a5a726549c4c7dd181f9cba8b3c5de01",
			signature: "3f698022270160ad1cece4eecee81a30f45848a72514784e1431fa8b9dd58702",
		},
	} {
		r := httptest.NewRequest("POST", "/?"+test.query, nil)
		for name, value := range test.header {
			r.Header.Set(name, value)
		}
		q, err := decodeRequest(httptest.NewRecorder(), r)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		canonical := canonicalRequestV3(&q, "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version", test.host, emptyHash)
		if test.canonical != "" && string(canonical) != test.canonical {
			t.Errorf("%s: canonical request\n got %s\nwant %s", test.name, canonical, test.canonical)
		}
		if test.hash != "" && hexSHA256(canonical) != test.hash {
			t.Errorf("%s: hash of the canonical request %s, want %s", test.name, hexSHA256(canonical), test.hash)
		}
		if signature := hexOf(signV3(test.secret, stringToSignV3(canonical))); signature != test.signature {
			t.Errorf("%s: signature %s, want %s", test.name, signature, test.signature)
		}
	}
	known := newV3().ask("DBInstanceId", awkward)
	known.signature = "3f698022270160ad1cece4eecee81a30f45848a72514784e1431fa8b9dd58702"
	newDoor(t).wantOK(t, "with the known signature", known.request())
}

func TestThirdSignatureCoversHeadersQueryAndBody(t *testing.T) {
	get := newV3()
	get.method = "GET"
	below := newV3()
	below.path = "/aliyun/"
	deeper := newV3()
	deeper.path = "/aliyun/v%C3%A9rsion%201"
	spaced := newV3().request()
	spaced.Header.Set("Authorization", strings.ReplaceAll(spaced.Header.Get("Authorization"), ",", ", "))
	for name, r := range map[string]*http.Request{
		"GET": get.request(), "below a prefix": below.request(), "below a longer prefix": deeper.request(),
		"blanks after the commas": spaced,
		"a form":                  newV3().withForm(url.Values{"SwitchOver": {"true"}}).request(),
		"a try after another":     newV3().set("x-acs-retry-attempts", "1").set("x-acs-retry-delay", "200").request(),
		"RegionId as numbers":     newV3().ask("RegionId.0", "99", "RegionId.1", "110").request(),
		"RegionId as base64":      newV3().ask("RegionId", "Y24taGFuZ3pob3U=").request(),
		"a header that is not":    v3With(newV3(), func(c *v3) { c.header["user-agent"] = "x"; c.unsigned = []string{"user-agent"} }).request(),
	} {
		newDoor(t).wantOK(t, name, r)
	}
}

func v3With(c v3, change func(*v3)) v3 {
	c = c.set("accept", "application/json")
	change(&c)
	return c
}

func TestFlippedBitBreaksThirdSignature(t *testing.T) {
	d := newDoor(t)
	base := newV3().withForm(url.Values{"SwitchOver": {"true"}}).set("x-acs-retry-attempts", "1")
	check := func(what string, change func(*http.Request), codes ...string) {
		r := base.request()
		change(r)
		got := d.send(t, r)
		if got.status < 400 || !slices.Contains(codes, got.code) {
			t.Errorf("%s: got %d %s, want one of %v", what, got.status, got.code, codes)
		}
	}
	const wrong, incomplete = "SignatureDoesNotMatch", "IncompleteSignature"
	codes := map[string][]string{
		"X-Acs-Action": {"InvalidAction.NotFound"}, "X-Acs-Version": {"InvalidVersion"}, "X-Acs-Content-Sha256": {wrong},
		"X-Acs-Date":            {"InvalidTimeStamp.Format", "InvalidTimeStamp.Expired", wrong},
		"X-Acs-Signature-Nonce": {incomplete, wrong}, "X-Acs-Retry-Attempts": {wrong}, "Content-Type": {wrong},
		"Authorization": {incomplete, wrong, "InvalidAccessKeyId.NotFound", "MissingSignature"},
	}
	for name, values := range base.request().Header {
		for _, flipped := range flips(values[0]) {
			check(fmt.Sprintf("%s: %q", name, flipped), func(r *http.Request) { r.Header[name] = []string{flipped} }, codes[name]...)
		}
		check("without "+name, func(r *http.Request) { r.Header.Del(name) }, incomplete, "MissingSignature",
			"MissingAction", "MissingVersion", "MissingTimestamp", "MissingSignatureNonce")
		check(name+" twice", func(r *http.Request) { r.Header[name] = append(r.Header[name], values[0]) }, incomplete)
	}
	for _, flipped := range flips(base.host) {
		check(fmt.Sprintf("host %q", flipped), func(r *http.Request) { r.Host = flipped }, wrong)
	}
	for name, values := range base.query {
		for _, flipped := range flips(values[0]) {
			check(fmt.Sprintf("%s=%q", name, flipped), func(r *http.Request) {
				q := r.URL.Query()
				q.Set(name, flipped)
				r.URL.RawQuery = q.Encode()
			}, wrong, "Parameters.Invalid")
		}
	}
	for _, flipped := range flips(base.body) {
		check(fmt.Sprintf("body %q", flipped), func(r *http.Request) {
			r.Body = http.NoBody
			r.Body = httptest.NewRequest("POST", "/", strings.NewReader(flipped)).Body
		}, wrong, "Parameters.Invalid")
	}
	check("another method", func(r *http.Request) { r.Method = "GET" }, wrong)
	check("another path", func(r *http.Request) { r.URL.Path = "/aliyun/" }, wrong)
	check("no body", func(r *http.Request) { r.Body = http.NoBody }, wrong)
	if len(d.nonces) > 0 || d.ran > 0 {
		t.Errorf("%d nonces used and %d operations run by requests that nobody signed", len(d.nonces), d.ran)
	}
	d.wantOK(t, "the request itself", base.request())
}

func TestThirdSignatureIsRefused(t *testing.T) {
	with := func(change func(*v3)) *http.Request { return v3With(newV3(), change).request() }
	for _, name := range mustSignV3 {
		newDoor(t).wantCode(t, name+" not signed", with(func(c *v3) { c.unsigned = []string{name} }), 400, "IncompleteSignature")
	}
	authorization := func(text string) *http.Request {
		r := newV3().request()
		r.Header.Set("Authorization", text)
		return r
	}
	signature := strings.Repeat("0", 64)
	for _, test := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"another secret", with(func(c *v3) { c.secret = "other" }), 400, "SignatureDoesNotMatch"},
		{"the hash of another body, signed", newV3().set("x-acs-content-sha256", hexSHA256([]byte("other"))).request(), 400, "SignatureDoesNotMatch"},
		{"a body that is not hashed", newV3().set("x-acs-content-sha256", "UNSIGNED-PAYLOAD").request(), 400, "SignatureDoesNotMatch"},
		{"a signed header that was not sent", with(func(c *v3) { c.unsent = []string{"accept"} }), 400, "IncompleteSignature"},
		{"a form whose type is not signed", v3With(newV3().withForm(url.Values{"A": {"1"}}), func(c *v3) { c.unsigned = []string{"content-type"} }).request(), 400, "IncompleteSignature"},
		{"an unknown key", with(func(c *v3) { c.keyID = "OTHER" }), 404, "InvalidAccessKeyId.NotFound"},
		{"a security token", newV3().set("x-acs-security-token", "x").request(), 400, "InvalidSecurityToken.Malformed"},
		{"a bearer token", newV3().set("x-acs-bearer-token", "x").request(), 400, "IncompleteSignature"},
		{"a bearer token by its type", newV3().ask("SignatureType", "BEARERTOKEN").request(), 400, "IncompleteSignature"},
		{"another algorithm", authorization("ACS3-RSA-SHA256 Credential=TESTAK,SignedHeaders=host,Signature=" + signature), 400, "IncompleteSignature"},
		{"nothing but the algorithm", authorization("ACS3-HMAC-SHA256"), 400, "IncompleteSignature"},
		{"an unknown part", authorization("ACS3-HMAC-SHA256 Credential=TESTAK,SignedHeaders=host,Signature=" + signature + ",More=1"), 400, "IncompleteSignature"},
		{"a part twice", authorization("ACS3-HMAC-SHA256 Credential=TESTAK,Credential=OTHER,SignedHeaders=host,Signature=" + signature), 400, "IncompleteSignature"},
		{"no key", authorization("ACS3-HMAC-SHA256 SignedHeaders=host,Signature=" + signature), 400, "IncompleteSignature"},
		{"no list of headers", authorization("ACS3-HMAC-SHA256 Credential=TESTAK,Signature=" + signature), 400, "IncompleteSignature"},
		{"a short signature", authorization("ACS3-HMAC-SHA256 Credential=TESTAK,SignedHeaders=host,Signature=00"), 400, "IncompleteSignature"},
		{"an upper-case signature", authorization("ACS3-HMAC-SHA256 Credential=TESTAK,SignedHeaders=host,Signature=" + strings.Repeat("A", 64)), 400, "IncompleteSignature"},
		{"another scheme", authorization("Basic eDp5"), 400, "MissingSignature"},
	} {
		newDoor(t).wantCode(t, test.name, test.r, test.status, test.code)
	}
}

func TestHostBehindProxy(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.ExternalHosts = []string{"rds.example.com", "rds.example.com:443"} })
	signed := newV3()
	signed.host = "rds.example.com:443"
	r := signed.request()
	r.Host = "127.0.0.1:8080"
	d.wantOK(t, "a host that is configured", r)
	signed.host = "other.example.com"
	r = signed.request()
	r.Host = "127.0.0.1:8080"
	d.wantCode(t, "another host", r, 400, "SignatureDoesNotMatch")
}

func TestWhoSignsWronglyIsToldWhatToSignInVersion3(t *testing.T) {
	wrong := newV3()
	wrong.signature = strings.Repeat("0", 64)
	r := wrong.request()
	q := &request{http: r, sorted: []parameter{{name: "DBInstanceId", value: "orders"}, {name: "PageSize", value: "30"}}}
	canonical := canonicalRequestV3(q, "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version", r.Host, emptyHash)
	got := newDoor(t).wantCode(t, "echo on", wrong.request(), 400, "SignatureDoesNotMatch")
	want := mismatch + " server StringToSign is [" + string(stringToSignV3(canonical)) + "] and server CanonicalRequest is [" + string(canonical) + "]"
	if got.text != want {
		t.Errorf("message\n got %s\nwant %s", got.text, want)
	}
	quiet := newDoor(t, func(o *Options) { o.EchoStringToSign = false })
	got = quiet.wantCode(t, "echo off", wrong.request(), 400, "SignatureDoesNotMatch")
	if got.text != mismatch {
		t.Errorf("message of a silent server: %s", got.text)
	}
}
