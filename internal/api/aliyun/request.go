package aliyun

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// What a request may weigh. The longest that any client sends is a few kilobytes.
const (
	maxParameters      = 1 << 20 // bytes of query and body together
	maxHeader          = 64 << 10
	maxParametersCount = 1000
)

// parameter is one parameter as it arrived, decoded.
type parameter struct {
	name, value string
	inForm      bool
}

// request is what a request says, decoded.
type request struct {
	http   *http.Request
	sorted []parameter // by name, bytewise, as the signatures want them; no name twice
	body   []byte
	form   bool // the body is a form with something in it
}

// decodeRequest reads the parameters of query and form. Clients put them in either, or some in each.
func decodeRequest(w http.ResponseWriter, r *http.Request) (request, error) {
	q := request{http: r}
	if headerSize(r.Header) > maxHeader || len(r.URL.RawQuery) > maxParameters {
		return q, fail("RequestEntityTooLarge", "")
	}
	var err error
	if q.body, err = readBody(w, r, maxParameters-len(r.URL.RawQuery)); err != nil {
		return q, err
	}
	q.form = len(q.body) > 0 && isForm(r.Header.Get("Content-Type"))
	q.sorted = make([]parameter, 0, 16)
	if q.sorted, err = appendParameters(q.sorted, r.URL.RawQuery, false); err != nil {
		return q, err
	}
	if q.form {
		if q.sorted, err = appendParameters(q.sorted, string(q.body), true); err != nil {
			return q, err
		}
	}
	return q, sortByName(q.sorted)
}

// text returns a parameter, or nothing if it is absent.
func (q *request) text(name string) string {
	i, found := slices.BinarySearchFunc(q.sorted, name, func(p parameter, name string) int { return strings.Compare(p.name, name) })
	if !found {
		return ""
	}
	return q.sorted[i].value
}

// params are the parameters as operations take them. Most requests are answered without an operation.
func (q *request) params() params {
	byName := make(params, len(q.sorted))
	for _, p := range q.sorted {
		byName[p.name] = p.value
	}
	return byName
}

// sortByName sorts the parameters. Which of two values counts would depend on who reads them, so a name that
// comes twice is refused.
func sortByName(list []parameter) error {
	slices.SortFunc(list, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	for i, p := range list {
		if i > 0 && list[i-1].name == p.name {
			return fail("Parameters.Invalid", "Parameter "+printable(p.name, 64)+" is given more than once.")
		}
	}
	return nil
}

// appendParameters decodes name=value pairs joined by ampersands.
func appendParameters(list []parameter, encoded string, inForm bool) ([]parameter, error) {
	for encoded != "" {
		var pair string
		pair, encoded, _ = strings.Cut(encoded, "&")
		if pair == "" {
			continue
		}
		if len(list) == maxParametersCount {
			return nil, fail("RequestEntityTooLarge", "The request has too many parameters.")
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := decodeText(name)
		if err != nil {
			return nil, err
		}
		value, err = decodeText(value)
		if err != nil {
			return nil, err
		}
		list = append(list, parameter{name: name, value: value, inForm: inForm})
	}
	return list, nil
}

// decodeText decodes a name or value. No client sends what is not text, and neither the record nor
// an answer can hold it.
func decodeText(encoded string) (string, error) {
	text, err := unescape(encoded)
	if err != nil || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return "", fail("Parameters.Invalid", "The query or the form is not percent-encoded UTF-8 text.")
	}
	return text, nil
}

func readBody(w http.ResponseWriter, r *http.Request, most int) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > int64(most) {
		return nil, fail("RequestEntityTooLarge", "")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, fail("RequestEntityTooLarge", "")
	}
	if err != nil {
		return nil, fail("Parameters.Invalid", "The request's body ended early.")
	}
	return body, nil
}

func isForm(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

func headerSize(h http.Header) int {
	size := 0
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// commonParameters belong to the transport or to accounts of the vendor, and say nothing of what is asked.
var commonParameters = map[string]bool{
	"Action": true, "Version": true, "Format": true, "AccessKeyId": true, "Timestamp": true,
	"Signature": true, "SignatureMethod": true, "SignatureVersion": true, "SignatureNonce": true, "SignatureType": true,
	"SecurityToken": true, "BearerToken": true, "RegionId": true, "SourceIp": true, "SecureTransport": true,
	"OwnerId": true, "OwnerAccount": true, "ResourceOwnerId": true, "ResourceOwnerAccount": true, "ResourceGroupId": true,
}

// common tells whether a parameter is a common one. Some clients write RegionId's bytes as
// RegionId.0, RegionId.1 and so on.
func common(name string) bool {
	return commonParameters[name] || strings.HasPrefix(name, "RegionId.")
}

// appendAsked appends the parameters that say what is asked, so that two requests give the same bytes
// exactly if they ask the same.
func (q *request) appendAsked(b []byte) []byte {
	for _, p := range q.sorted {
		if common(p.name) {
			continue
		}
		b = append(appendEscaped(b, p.name), '=')
		b = append(appendEscaped(b, p.value), '&')
	}
	return b
}

// printable returns a text of a stranger so that it can be shown: shortened, and without what moves
// a cursor.
func printable(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
