package test

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/test/harness"
)

// v3Call is a call of Alibaba Cloud's API with the signature ACS3-HMAC-SHA256, which no SDK of the
// project's makes. Its signer is written from the specification, not from pgleap's.
type v3Call struct {
	key    harness.AccessKey
	action string
	query  map[string]string
	nonce  string        // chosen if empty
	skew   time.Duration // of the client's clock
}

// request makes the signed request.
func (c v3Call) request(s *scene) *http.Request {
	s.t.Helper()
	address, err := s.server.Address()
	s.must(err)
	values := url.Values{}
	for name, value := range c.query {
		values.Set(name, value)
	}
	query := strings.ReplaceAll(values.Encode(), "+", "%20") // sorted; the rest is as RFC 3986 has it
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, address+"/?"+query, nil)
	s.must(err)
	nothing := sha256.Sum256(nil)
	headers := map[string]string{
		"host": r.Host, "x-acs-action": c.action, "x-acs-version": "2014-08-15",
		"x-acs-date":            time.Now().Add(c.skew).UTC().Format("2006-01-02T15:04:05Z"),
		"x-acs-signature-nonce": cmp.Or(c.nonce, rand.Text()),
		"x-acs-content-sha256":  hex.EncodeToString(nothing[:]),
	}
	names := slices.Sorted(maps.Keys(headers))
	var lines strings.Builder
	for _, name := range names {
		lines.WriteString(name + ":" + headers[name] + "\n")
		if name != "host" {
			r.Header.Set(name, headers[name])
		}
	}
	signed := strings.Join(names, ";")
	canonical := sha256.Sum256([]byte(strings.Join(
		[]string{http.MethodPost, "/", query, lines.String(), signed, headers["x-acs-content-sha256"]}, "\n")))
	mac := hmac.New(sha256.New, []byte(c.key.Secret))
	io.WriteString(mac, "ACS3-HMAC-SHA256\n"+hex.EncodeToString(canonical[:])) //nolint:errcheck // a hash takes everything
	r.Header.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+c.key.ID+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(mac.Sum(nil)))
	return r
}

// call sends it and returns the answer.
func (c v3Call) call(s *scene) (status int, body string) {
	s.t.Helper()
	return s.send(c.request(s))
}

// send sends a request and returns the answer.
func (s *scene) send(r *http.Request) (status int, body string) {
	s.t.Helper()
	response, err := s.server.Send(r)
	s.must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	s.must(err)
	return response.StatusCode, string(text)
}
