package aliyun

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the vendor's first signature is HMAC-SHA1, which collisions of SHA-1 do not break
	"encoding/base64"
)

// signatureSizeV1 is the length of 20 bytes in base64.
const signatureSizeV1 = 28

// credentialsV1 reads the first signature, whose parts are parameters.
func (a *api) credentialsV1(q *request) (credentials, error) {
	if !a.options.SignatureV1 {
		return credentials{}, fail("IncompleteSignature",
			"Signatures with HMAC-SHA1 are switched off here; sign with ACS3-HMAC-SHA256.")
	}
	for _, name := range [...]string{
		"Action", "Version", "AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp",
	} {
		if q.text(name) == "" {
			return credentials{}, fail("Missing"+name, "")
		}
	}
	switch {
	case q.text("SignatureMethod") != "HMAC-SHA1":
		return credentials{}, fail("IncompleteSignature", "SignatureMethod must be HMAC-SHA1.")
	case q.text("SignatureVersion") != "1.0":
		return credentials{}, fail("IncompleteSignature", "SignatureVersion must be 1.0.")
	case !validNonce(q.text("SignatureNonce")):
		return credentials{}, fail("IncompleteSignature", "SignatureNonce must be 1 to 128 printable characters.")
	}
	return credentials{
		action: q.text("Action"), version: q.text("Version"), keyID: q.text("AccessKeyId"),
		timestamp: q.text("Timestamp"), nonce: q.text("SignatureNonce"),
		verify: func(secret string) error { return a.verifyV1(q, secret) },
	}, nil
}

// verifyV1 compares the signature with that which the secret gives.
func (a *api) verifyV1(q *request, secret string) error {
	toSign := stringToSignV1(q.http.Method, q.sorted)
	if !equalV1(q.text("Signature"), signV1(secret, toSign)) {
		return a.mismatched(" server string to sign is:" + string(toSign))
	}
	return nil
}

// signV1 returns the signature of a string to sign.
func signV1(secret string, toSign []byte) []byte {
	mac := hmac.New(sha1.New, append([]byte(secret), '&'))
	mac.Write(toSign)
	return mac.Sum(nil)
}

// equalV1 compares in constant time. It accepts one spelling of the base64 text only.
func equalV1(given string, want []byte) bool {
	if len(given) != signatureSizeV1 {
		return false
	}
	got, err := base64.StdEncoding.Strict().DecodeString(given)
	return err == nil && hmac.Equal(got, want)
}

// stringToSignV1 joins the method, the path that all requests have whatever the real one is, and all
// parameters but the signature, which are encoded once each and once more as a whole.
func stringToSignV1(method string, sorted []parameter) []byte {
	size := 0
	for _, p := range sorted {
		size += len(p.name) + len(p.value) + 16
	}
	b := append(make([]byte, 0, size+len(method)), method...)
	b = append(b, "&%2F&"...)
	first := true
	for _, p := range sorted {
		if p.name == "Signature" {
			continue
		}
		if !first {
			b = append(b, "%26"...)
		}
		first = false
		b = append(appendEscapedTwice(b, p.name), "%3D"...)
		b = appendEscapedTwice(b, p.value)
	}
	return b
}
