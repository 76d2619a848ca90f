package aliyun

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// awkward holds every character that clients encode differently.
const awkward = "a b*~'()!/+中"

// The signature of each is the one that the vendor's own signers make.
func TestFirstSignatureOfKnownRequests(t *testing.T) {
	own := "Action=DescribeUpgradeMajorVersionTasks&Version=2014-08-15&Format=JSON&AccessKeyId=TESTAK&SignatureMethod=HMAC-SHA1" +
		"&SignatureVersion=1.0&SignatureNonce=n-1&SignatureType=&Timestamp=2026-01-02T03%3A04%3A05Z&RegionId=cn-hangzhou&PageSize=30&DBInstanceId="
	toSign := "&%2F&AccessKeyId%3DTESTAK%26Action%3DDescribeUpgradeMajorVersionTasks%26DBInstanceId%3Da%2520b%252A~%2527%2528%2529%2521%252F%252B%25E4%25B8%25AD" +
		"%26Format%3DJSON%26PageSize%3D30%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dn-1%26SignatureType%3D" +
		"%26SignatureVersion%3D1.0%26Timestamp%3D2026-01-02T03%253A04%253A05Z%26Version%3D2014-08-15"
	for _, test := range []struct {
		name, method, secret, query string
		toSign, signature           string
	}{
		{
			"of the documentation", "GET", "testsecret",
			"Format=XML&AccessKeyId=testid&Action=DescribeRegions&SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf" +
				"&Version=2014-05-26&SignatureVersion=1.0&Timestamp=2016-02-23T12%3A46%3A24Z",
			"", "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
		},
		{"GET, encoded strictly", "GET", testSecret, own + "a%20b%2A~%27%28%29%21%2F%2B%E4%B8%AD", "GET" + toSign, "sJi/il7g2bJN45CYalYkdNeceoI="},
		{"GET, as Go encodes", "GET", testSecret, own + url.QueryEscape(awkward), "GET" + toSign, "sJi/il7g2bJN45CYalYkdNeceoI="},
		{"GET, as JavaScript encodes", "GET", testSecret, own + "a%20b*~'()!%2F%2b%e4%b8%ad", "GET" + toSign, "sJi/il7g2bJN45CYalYkdNeceoI="},
		{"POST", "POST", testSecret, own + url.QueryEscape(awkward), "POST" + toSign, "Hx1aMRrzjQW3+0sPG5Z0u0S33OU="},
	} {
		r := httptest.NewRequest(test.method, "/?"+test.query, nil)
		q, err := decodeRequest(httptest.NewRecorder(), r)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := stringToSignV1(test.method, q.sorted)
		if test.toSign != "" && string(got) != test.toSign {
			t.Errorf("%s: string to sign\n got %s\nwant %s", test.name, got, test.toSign)
		}
		if signature := base64Of(signV1(test.secret, got)); signature != test.signature {
			t.Errorf("%s: signature %s, want %s", test.name, signature, test.signature)
		}
	}
	d := newDoor(t)
	d.wantOK(t, "GET with the known signature", httptest.NewRequest("GET",
		"/?"+own+url.QueryEscape(awkward)+"&Signature="+url.QueryEscape("sJi/il7g2bJN45CYalYkdNeceoI="), nil))
	d = newDoor(t)
	d.wantOK(t, "POST with the known signature", httptest.NewRequest("POST",
		"/?"+own+url.QueryEscape(awkward)+"&Signature="+url.QueryEscape("Hx1aMRrzjQW3+0sPG5Z0u0S33OU="), nil))
}

func TestFirstSignatureCoversQueryAndForm(t *testing.T) {
	whole := newV1().signed()
	split := newV1().without("DBInstanceId")
	split.form = url.Values{"DBInstanceId": {"orders"}}
	inForm := newV1()
	inForm = inForm.signed()
	inForm.form, inForm.query = inForm.query, url.Values{}
	get := newV1()
	get.method = "GET"
	below := newV1()
	below.path = "/aliyun"
	deeper := newV1()
	deeper.path = "/aliyun/"
	for name, c := range map[string]v1{
		"everything in the query": whole, "some in the form": split.signed(), "everything in the form": inForm,
		"GET": get.signed(), "below a prefix": below.signed(), "below a prefix with a slash": deeper.signed(),
		"unknown parameters":              newV1().set("Unknown", "1", "Tag.1.Key", "k", "OwnerId", "").signed(),
		"RegionId as one text":            newV1().set("RegionId", "cn-hangzhou").signed(),
		"RegionId as base64":              newV1().set("RegionId", "Y24taGFuZ3pob3U=").signed(),
		"RegionId as numbers, one a byte": newV1().without("RegionId").set("RegionId.0", "99", "RegionId.1", "110").signed(),
	} {
		newDoor(t).wantOK(t, name, c.request())
	}
}

// flips returns every text that differs from one in one bit.
func flips(text string) []string {
	var all []string
	for i := range len(text) {
		for bit := range 8 {
			b := []byte(text)
			b[i] ^= 1 << bit
			all = append(all, string(b))
		}
	}
	return all
}

func TestFlippedBitBreaksFirstSignature(t *testing.T) {
	d := newDoor(t)
	base := newV1()
	delete(base.query, "PageSize")
	base.form = url.Values{"PageSize": {"30"}, "Awkward": {awkward}}
	base = base.signed()
	// What is looked at before the signature has refusals of its own. What is not text any more
	// is refused first.
	own := map[string][]string{
		"Action": {"InvalidAction.NotFound"}, "Version": {"InvalidVersion"}, "AccessKeyId": {"InvalidAccessKeyId.NotFound"},
		"SignatureMethod": {"IncompleteSignature"}, "SignatureVersion": {"IncompleteSignature"},
		"SignatureNonce": {"IncompleteSignature", "SignatureDoesNotMatch"},
		"Timestamp":      {"InvalidTimeStamp.Format", "InvalidTimeStamp.Expired", "SignatureDoesNotMatch"},
		"Format":         {"Parameters.Invalid", "SignatureDoesNotMatch"},
	}
	check := func(what string, r *http.Request, codes ...string) {
		got := d.send(t, r)
		if got.status < 400 || !slices.Contains(append(codes, "Parameters.Invalid"), got.code) {
			t.Errorf("%s: got %d %s, want one of %v", what, got.status, got.code, codes)
		}
	}
	for name, values := range base.query {
		codes := []string{"SignatureDoesNotMatch"}
		if len(own[name]) > 0 {
			codes = own[name]
		}
		for _, flipped := range flips(values[0]) {
			check(fmt.Sprintf("%s=%q", name, flipped), base.set(name, flipped).request(), codes...)
		}
		for _, flipped := range flips(name) {
			check(fmt.Sprintf("%q=%s", flipped, values[0]), base.without(name).set(flipped, values[0]).request(),
				"SignatureDoesNotMatch", "Missing"+name, "MissingSignature")
		}
	}
	for name, values := range base.form {
		for _, flipped := range flips(values[0]) {
			c := base
			c.form = url.Values{"PageSize": base.form["PageSize"], "Awkward": base.form["Awkward"], name: {flipped}}
			check(fmt.Sprintf("form: %s=%q", name, flipped), c.request(), "SignatureDoesNotMatch")
		}
	}
	if len(d.nonces) > 0 || d.ran > 0 {
		t.Errorf("%d nonces used and %d operations run by requests that nobody signed", len(d.nonces), d.ran)
	}
	d.wantOK(t, "the request itself", base.request())
}

func TestFirstSignatureIsRefused(t *testing.T) {
	signed := newV1().signed()
	post := signed
	post.method = "GET"
	emptied := signed.without("SignatureType")
	other := newV1()
	other.secret = "other"
	bearer := newV1().set("SignatureType", "BEARERTOKEN").signed()
	for _, test := range []struct {
		name   string
		c      v1
		status int
		code   string
	}{
		{"another method", post, 400, "SignatureDoesNotMatch"},
		{"a parameter more", signed.set("Extra", ""), 400, "SignatureDoesNotMatch"},
		{"an empty parameter less", emptied, 400, "SignatureDoesNotMatch"},
		{"another secret", other.signed(), 400, "SignatureDoesNotMatch"},
		{"base64 with a line break", signed.set("Signature", signed.query.Get("Signature")[:10]+"\n"+signed.query.Get("Signature")[10:]), 400, "SignatureDoesNotMatch"},
		{"a short signature", signed.set("Signature", "AAAA"), 400, "SignatureDoesNotMatch"},
		{"no signature", newV1(), 400, "MissingSignature"},
		{"a bearer token", bearer, 400, "IncompleteSignature"},
		{"a bearer token beside", newV1().set("BearerToken", "x").signed(), 400, "IncompleteSignature"},
		{"a security token", newV1().set("SecurityToken", "x").signed(), 400, "InvalidSecurityToken.Malformed"},
		{"another algorithm", newV1().set("SignatureMethod", "HMAC-SHA256").signed(), 400, "IncompleteSignature"},
		{"another version of the signature", newV1().set("SignatureVersion", "2.0").signed(), 400, "IncompleteSignature"},
		{"no action", newV1().without("Action").signed(), 400, "MissingAction"},
		{"no version", newV1().without("Version").signed(), 400, "MissingVersion"},
		{"no key", newV1().without("AccessKeyId").signed(), 400, "MissingAccessKeyId"},
		{"no method of the signature", newV1().without("SignatureMethod").signed(), 400, "MissingSignatureMethod"},
		{"no version of the signature", newV1().without("SignatureVersion").signed(), 400, "MissingSignatureVersion"},
		{"no nonce", newV1().without("SignatureNonce").signed(), 400, "MissingSignatureNonce"},
		{"no time", newV1().without("Timestamp").signed(), 400, "MissingTimestamp"},
		{"a nonce of 129 characters", newV1().set("SignatureNonce", strings.Repeat("n", 129)).signed(), 400, "IncompleteSignature"},
		{"a nonce with a blank", newV1().set("SignatureNonce", "n 1").signed(), 400, "IncompleteSignature"},
	} {
		newDoor(t).wantCode(t, test.name, test.c.request(), test.status, test.code)
	}
	newDoor(t).wantOK(t, "a nonce of 128 characters", newV1().set("SignatureNonce", strings.Repeat("n", 128)).signed().request())
	newDoor(t).wantOK(t, "an empty security token", newV1().set("SecurityToken", "").signed().request())
}

func TestFirstSignatureCanBeSwitchedOff(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.SignatureV1 = false })
	got := d.wantCode(t, "first signature", newV1().signed().request(), 400, "IncompleteSignature")
	if !strings.Contains(got.text, "ACS3-HMAC-SHA256") {
		t.Errorf("the message does not tell what to do: %s", got.text)
	}
	d.wantOK(t, "third signature", newV3().request())
}

func TestWhoSignsWronglyIsToldWhatToSign(t *testing.T) {
	wrong := newV1().signed().set("Signature", base64Of(make([]byte, 20)))
	q, err := decodeRequest(httptest.NewRecorder(), wrong.request())
	if err != nil {
		t.Fatal(err)
	}
	got := newDoor(t).wantCode(t, "echo on", wrong.request(), 400, "SignatureDoesNotMatch")
	want := "Specified signature is not matched with our calculation. server string to sign is:" + string(stringToSignV1("POST", q.sorted))
	if got.text != want {
		t.Errorf("message\n got %s\nwant %s", got.text, want)
	}
	quiet := newDoor(t, func(o *Options) { o.EchoStringToSign = false })
	got = quiet.wantCode(t, "echo off", wrong.request(), 400, "SignatureDoesNotMatch")
	if got.text != "Specified signature is not matched with our calculation." {
		t.Errorf("message of a silent server: %s", got.text)
	}
}
