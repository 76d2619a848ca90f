package huawei

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// tokenLife is the vendor's.
const tokenLife = 24 * time.Hour

const (
	tokenVersion   = 1
	tokenNonce     = 16
	tokenHead      = 1 + 8 + tokenNonce // version, expiry, random bytes; the key's id follows
	maxTokenLength = 512
	// tokenPurpose keeps the code of a token apart from the signature of a request, which is made
	// with the same secret.
	tokenPurpose = "pgleap X-Auth-Token\n"
)

// token stands for an access key for a day. The server does not keep it: it is authenticated by
// the key's secret, so that rotating or disabling the key voids it.
type token struct {
	accessKey string
	expires   time.Time
	payload   []byte
	code      []byte
}

// newToken returns a token as the client sends it.
func newToken(accessKey, secret string, expires time.Time) string {
	payload := make([]byte, tokenHead, tokenHead+len(accessKey)+sha256.Size)
	payload[0] = tokenVersion
	binary.BigEndian.PutUint64(payload[1:], uint64(expires.Unix()))
	rand.Read(payload[9:tokenHead]) //nolint:errcheck // it never fails (crypto/rand)
	payload = append(payload, accessKey...)
	return base64.RawURLEncoding.EncodeToString(append(payload, tokenCode(payload, secret)...))
}

// parseToken reads a token. Nothing in it is to be believed before genuine says so.
func parseToken(text string) (token, bool) {
	if len(text) > maxTokenLength {
		return token{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) <= tokenHead+sha256.Size || raw[0] != tokenVersion {
		return token{}, false
	}
	payload, code := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	t := token{
		accessKey: string(payload[tokenHead:]),
		expires:   time.Unix(int64(binary.BigEndian.Uint64(payload[1:])), 0), //nolint:gosec // any value is a time
		payload:   payload, code: code,
	}
	return t, isKeyID(t.accessKey)
}

// genuine tells whether the token was made with a secret and has not expired.
func (t token) genuine(secret string, now time.Time) bool {
	return secret != "" && hmac.Equal(tokenCode(t.payload, secret), t.code) && now.Before(t.expires)
}

func tokenCode(payload []byte, secret string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(tokenPurpose))
	mac.Write(payload)
	return mac.Sum(nil)
}
