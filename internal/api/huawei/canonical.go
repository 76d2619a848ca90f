package huawei

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// canonicalRequest is the text whose digest a client signs. query holds every parameter once,
// signed the names of the signed headers in lower case and in the client's order.
func canonicalRequest(r *http.Request, query url.Values, signed []string, bodyDigest string) (string, *failure) {
	var b strings.Builder
	b.Grow(512)
	b.WriteString(r.Method + "\n")
	if bad := writeCanonicalPath(&b, r.URL.EscapedPath()); bad != nil {
		return "", bad
	}
	b.WriteByte('\n')
	writeCanonicalQuery(&b, query)
	b.WriteByte('\n')
	for _, name := range signed {
		value, bad := headerValue(r, name)
		if bad != nil {
			return "", bad
		}
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyDigest)
	return b.String(), nil
}

// writeCanonicalPath encodes each segment anew, since clients differ in what they encode on the
// wire. The signed path always ends in a slash; the real one does not.
func writeCanonicalPath(b *strings.Builder, path string) *failure {
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return refuse(codeMalformed, msgMalformedQuery)
		}
		writeEscaped(b, plain)
		b.WriteByte('/')
	}
	return nil
}

func writeCanonicalQuery(b *strings.Builder, query url.Values) {
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			b.WriteByte('&')
		}
		writeEscaped(b, name)
		b.WriteByte('=')
		writeEscaped(b, query.Get(name))
	}
}

// headerValue returns a signed header's value. One that is repeated would leave open which of its
// values the client meant.
func headerValue(r *http.Request, name string) (string, *failure) {
	if name == "host" {
		return r.Host, nil
	}
	values := r.Header.Values(name)
	if len(values) != 1 {
		return "", refuse(codeUnauthenticated, msgSignedHeaderMissing, "name", name)
	}
	return strings.TrimSpace(values[0]), nil
}

// writeEscaped percent-encodes everything but the unreserved characters of RFC 3986. net/url's
// escaping functions leave other sets of characters as they are.
func writeEscaped(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}
