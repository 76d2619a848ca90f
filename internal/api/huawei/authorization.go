package huawei

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm        = "SDK-HMAC-SHA256"
	derivedAlgorithm = "V11-HMAC-SHA256" // used only by clients that were told so
	sdkDate          = "20060102T150405Z"
	maxSkew          = 15 * time.Minute
	maxSignedHeaders = 64
)

// authorization is what an Authorization header says.
type authorization struct {
	accessKey string
	signed    []string // names of headers in lower case, in the client's order
	signature []byte
}

// isKeyID tells whether a text may be the id of an access key, which is written into logs and the record.
func isKeyID(text string) bool { return consists(text, 128, "_.-") }

// isHeaderName tells whether a text is a header's name (RFC 9110, 5.6.2).
func isHeaderName(text string) bool { return consists(text, 128, "!#$%&'*+.^_`|~-") }

// parseAuthorization reads "SDK-HMAC-SHA256 Access=..., SignedHeaders=a;b, Signature=...".
func parseAuthorization(header string) (authorization, *failure) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	switch scheme {
	case algorithm:
	case derivedAlgorithm:
		return authorization{}, refuse(codeUnauthenticated, msgDerivedKey)
	default:
		return authorization{}, refuse(codeUnauthenticated, msgBadAlgorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, isPair := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[name]; !isPair || twice {
			return authorization{}, refuse(codeUnauthenticated, msgBadAuthorization)
		}
		fields[name] = value
	}
	a := authorization{accessKey: fields["Access"], signed: strings.Split(strings.ToLower(fields["SignedHeaders"]), ";")}
	var err error
	a.signature, err = hex.DecodeString(fields["Signature"])
	if len(fields) != 3 || err != nil || len(a.signature) != sha256.Size || !isKeyID(a.accessKey) || !namesOnce(a.signed) {
		return authorization{}, refuse(codeUnauthenticated, msgBadAuthorization)
	}
	return a, nil
}

// namesOnce tells whether a list names headers, each once.
func namesOnce(names []string) bool {
	if len(names) > maxSignedHeaders {
		return false
	}
	for i, name := range names {
		if !isHeaderName(name) || slices.Contains(names[:i], name) {
			return false
		}
	}
	return true
}

// signedAt checks what must be signed and returns when the client says it signed. A signature is
// good for 15 minutes before and after.
func (a authorization) signedAt(r *http.Request, now time.Time) (time.Time, *failure) {
	if !slices.Contains(a.signed, "x-sdk-date") {
		return time.Time{}, refuse(codeUnauthenticated, msgNotSigned, "name", "X-Sdk-Date")
	}
	if len(r.Header.Values("X-Security-Token")) > 0 && !slices.Contains(a.signed, "x-security-token") {
		return time.Time{}, refuse(codeUnauthenticated, msgNotSigned, "name", "X-Security-Token")
	}
	date, bad := headerValue(r, "x-sdk-date")
	if bad != nil {
		return time.Time{}, bad
	}
	at, err := time.Parse(sdkDate, date)
	if err != nil || len(date) != len(sdkDate) {
		return time.Time{}, refuse(codeUnauthenticated, msgBadDate)
	}
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew {
		return time.Time{}, refuse(codeUnauthenticated, msgSkew, "now", now.UTC().Format(sdkDate))
	}
	return at, nil
}

// digest returns the digest of the body for the canonical request. A client may send it along;
// then it must be true.
func digest(r *http.Request, body []byte) (string, *failure) {
	sum := sha256.Sum256(body)
	own := hex.EncodeToString(sum[:])
	sent := r.Header.Values("X-Sdk-Content-Sha256")
	switch {
	case len(sent) == 0 || len(sent) == 1 && sent[0] == own:
		return own, nil
	case slices.Contains(sent, "UNSIGNED-PAYLOAD"):
		return "", refuse(codeUnauthenticated, msgUnsignedPayload)
	}
	return "", refuse(codeUnauthenticated, msgOtherPayload)
}

// verify tells whether the signature is that of the request under a secret.
func (a authorization) verify(r *http.Request, query url.Values, body []byte, secret string) *failure {
	bodyDigest, bad := digest(r, body)
	if bad != nil {
		return bad
	}
	canonical, bad := canonicalRequest(r, query, a.signed, bodyDigest)
	if bad != nil {
		return bad
	}
	// An unknown key has no secret. It takes as long to say no to it as to a wrong signature.
	if !hmac.Equal(sign(canonical, r.Header.Get("X-Sdk-Date"), secret), a.signature) || secret == "" {
		return refuse(codeUnauthenticated, msgBadSignature)
	}
	return nil
}

// sign returns the signature of a canonical request.
func sign(canonical, date, secret string) []byte {
	sum := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(algorithm + "\n" + strings.TrimSpace(date) + "\n" + hex.EncodeToString(sum[:])))
	return mac.Sum(nil)
}
