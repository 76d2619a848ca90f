package aliyun

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

const algorithmV3 = "ACS3-HMAC-SHA256"

// mustSignV3 are the headers that decide what a request means. Clients sign all of them.
var mustSignV3 = [...]string{
	"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256",
}

// authorizationV3 is the Authorization header of the third signature.
type authorizationV3 struct {
	keyID     string
	headers   string // as sent, joined by semicolons
	signature string // 64 hexadecimal digits
}

// parseAuthorizationV3 reads "ACS3-HMAC-SHA256 Credential=k,SignedHeaders=a;b,Signature=s", with or
// without blanks after the commas.
func parseAuthorizationV3(header string) (authorizationV3, error) {
	var z authorizationV3
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != algorithmV3 {
		return z, fail("IncompleteSignature", "The algorithm of a signature must be "+algorithmV3+".")
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var field *string
		switch name {
		case "Credential":
			field = &z.keyID
		case "SignedHeaders":
			field = &z.headers
		case "Signature":
			field = &z.signature
		default:
			return z, fail("IncompleteSignature", "The Authorization header has an unknown part.")
		}
		if *field != "" {
			return z, fail("IncompleteSignature", "The Authorization header has a part twice.")
		}
		*field = value
	}
	if z.keyID == "" || z.headers == "" || !validSignatureV3(z.signature) {
		return z, fail("IncompleteSignature", "The Authorization header must have Credential, SignedHeaders, and Signature of 64 lower-case hexadecimal digits.")
	}
	return z, nil
}

func validSignatureV3(signature string) bool {
	if len(signature) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for i := range len(signature) {
		if c := signature[i]; !isHex(c) || 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}

// credentialsV3 reads the third signature, whose parts are headers.
func (a *api) credentialsV3(q *request, authorization string) (credentials, error) {
	h := q.http.Header
	if len(h["Authorization"]) != 1 {
		return credentials{}, fail("IncompleteSignature", "The Authorization header is given more than once.")
	}
	z, err := parseAuthorizationV3(authorization)
	if err != nil {
		return credentials{}, err
	}
	for _, part := range [...]struct{ header, missing string }{
		{"X-Acs-Action", "MissingAction"},
		{"X-Acs-Version", "MissingVersion"},
		{"X-Acs-Date", "MissingTimestamp"},
		{"X-Acs-Signature-Nonce", "MissingSignatureNonce"},
	} {
		if h.Get(part.header) == "" {
			return credentials{}, fail(part.missing, "")
		}
	}
	if err := checkSignedHeaders(q, z.headers); err != nil {
		return credentials{}, err
	}
	nonce := strings.TrimSpace(h.Get("X-Acs-Signature-Nonce"))
	if !validNonce(nonce) {
		return credentials{}, fail("IncompleteSignature", "x-acs-signature-nonce must be 1 to 128 printable characters.")
	}
	return credentials{
		action: strings.TrimSpace(h.Get("X-Acs-Action")), version: strings.TrimSpace(h.Get("X-Acs-Version")),
		keyID: z.keyID, timestamp: strings.TrimSpace(h.Get("X-Acs-Date")), nonce: nonce,
		verify: func(secret string) error { return a.verifyV3(q, z, secret) },
	}, nil
}

// checkSignedHeaders wants the headers signed that decide what a request means, and every signed
// header there exactly once: what a client signs and what is read must be the same.
func checkSignedHeaders(q *request, signed string) error {
	for _, name := range mustSignV3 {
		if !lists(signed, name) {
			return fail("IncompleteSignature", "SignedHeaders must contain "+name+".")
		}
	}
	if q.form && !lists(signed, "content-type") {
		return fail("IncompleteSignature", "SignedHeaders must contain content-type if the body is a form.")
	}
	for name := range strings.SplitSeq(signed, ";") {
		if _, once := signedHeader(q.http, q.http.Host, name); !once {
			return fail("IncompleteSignature", "Header "+printable(name, 64)+" is signed, but it was not sent exactly once.")
		}
	}
	return nil
}

func lists(signed, want string) bool {
	for name := range strings.SplitSeq(signed, ";") {
		if name == want {
			return true
		}
	}
	return false
}

// signedHeader returns the value of a header, and whether it was sent exactly once.
func signedHeader(r *http.Request, host, name string) (string, bool) {
	if name == "host" {
		return host, host != ""
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if len(values) != 1 {
		return "", false
	}
	return strings.TrimSpace(values[0]), true
}

// verifyV3 compares the signature with that which the secret gives. Behind a proxy that puts its own
// name into the request, the client has signed one of the external hosts.
func (a *api) verifyV3(q *request, z authorizationV3, secret string) error {
	sum := sha256.Sum256(q.body)
	bodyHash := hex.EncodeToString(sum[:])
	if said := strings.TrimSpace(q.http.Header.Get("X-Acs-Content-Sha256")); said != bodyHash {
		return fail("SignatureDoesNotMatch", "Header x-acs-content-sha256 is not the hash of the body.")
	}
	canonical := canonicalRequestV3(q, z.headers, q.http.Host, bodyHash)
	toSign := stringToSignV3(canonical)
	if equalV3(z.signature, signV3(secret, toSign)) {
		return nil
	}
	for _, host := range a.options.ExternalHosts {
		if equalV3(z.signature, signV3(secret, stringToSignV3(canonicalRequestV3(q, z.headers, host, bodyHash)))) {
			return nil
		}
	}
	return a.mismatched(" server StringToSign is [" + string(toSign) + "] and server CanonicalRequest is [" + string(canonical) + "]")
}

// canonicalRequestV3 returns what is signed of a request. The form is in it by its hash.
func canonicalRequestV3(q *request, signed, host, bodyHash string) []byte {
	b := make([]byte, 0, 1024)
	b = append(append(b, q.http.Method...), '\n')
	b = append(appendCanonicalPath(b, q.http.URL.Path), '\n')
	b = append(appendCanonicalQuery(b, q.sorted), '\n')
	for name := range strings.SplitSeq(signed, ";") {
		value, _ := signedHeader(q.http, host, name)
		b = append(append(b, name...), ':')
		b = append(append(b, value...), '\n')
	}
	b = append(b, '\n')
	b = append(append(b, signed...), '\n')
	return append(b, bodyHash...)
}

func appendCanonicalPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendEscaped(b, segment)
	}
	return b
}

func appendCanonicalQuery(b []byte, sorted []parameter) []byte {
	first := true
	for _, p := range sorted {
		if p.inForm {
			continue
		}
		if !first {
			b = append(b, '&')
		}
		first = false
		b = append(appendEscaped(b, p.name), '=')
		b = appendEscaped(b, p.value)
	}
	return b
}

// stringToSignV3 names the algorithm and the hash of the canonical request.
func stringToSignV3(canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	return hex.AppendEncode(append(make([]byte, 0, 96), algorithmV3+"\n"...), sum[:])
}

// signV3 returns the signature of a string to sign.
func signV3(secret string, toSign []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(toSign)
	return mac.Sum(nil)
}

// equalV3 compares in constant time.
func equalV3(given string, want []byte) bool {
	got, err := hex.DecodeString(given)
	return err == nil && hmac.Equal(got, want)
}
