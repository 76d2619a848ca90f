package aliyun

import (
	"strings"
)

// credentials are what a request says of who made it and when, and how to prove it.
type credentials struct {
	action    string
	version   string
	keyID     string
	timestamp string
	nonce     string
	verify    func(secret string) error
}

// credentialsOf finds out which signature a request carries, and reads it. What this server has
// no use for is refused by name: tokens of temporary keys and bearer tokens.
func (a *api) credentialsOf(q *request) (credentials, error) {
	h := q.http.Header
	if q.text("SecurityToken") != "" || h.Get("X-Acs-Security-Token") != "" {
		return credentials{}, fail("InvalidSecurityToken.Malformed", "")
	}
	if q.text("SignatureType") == "BEARERTOKEN" || q.text("BearerToken") != "" || h.Get("X-Acs-Bearer-Token") != "" {
		return credentials{}, fail("IncompleteSignature", "Bearer tokens are not accepted here; sign with an access key.")
	}
	if authorization := h.Get("Authorization"); strings.HasPrefix(authorization, "ACS3-") {
		return a.credentialsV3(q, authorization)
	}
	if q.text("Signature") == "" {
		return credentials{}, fail("MissingSignature", "")
	}
	return a.credentialsV1(q)
}

// namedKey is the access key that a request names, however little else of it can be read.
func namedKey(q *request) string {
	if authorization := q.http.Header.Get("Authorization"); strings.HasPrefix(authorization, "ACS3-") {
		z, _ := parseAuthorizationV3(authorization) // what is wrong with it is told when it is needed
		return z.keyID
	}
	return q.text("AccessKeyId")
}

// validNonce tells whether a nonce has the form that clients give it: 1 to 128 printable characters.
func validNonce(nonce string) bool {
	if len(nonce) == 0 || len(nonce) > 128 {
		return false
	}
	for i := range len(nonce) {
		if nonce[i] <= ' ' || nonce[i] > '~' {
			return false
		}
	}
	return true
}

// mismatch is the refusal of a wrong signature. The vendor's clients look for this very text before
// a string to sign (alibaba-cloud-sdk-go, errors.SignatureDostNotMatchWrapper), which tells a wrong
// secret from a wrong computation.
const mismatch = "Specified signature is not matched with our calculation."

// mismatched refuses a wrong signature and, if that is wanted, says what was signed here.
func (a *api) mismatched(echo string) error {
	e := fail("SignatureDoesNotMatch", mismatch)
	if a.options.EchoStringToSign {
		e.echo = echo
	}
	return e
}
