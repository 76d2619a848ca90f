package aliyun

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// format is how an answer is written.
type format int

const (
	formatJSON format = iota
	formatXML
)

// contentType returns the media type. The vendor's clients compare that of XML as text to decide
// how to read an answer.
func (f format) contentType() string {
	if f == formatXML {
		return "text/xml;charset=utf-8"
	}
	return "application/json;charset=utf-8"
}

// formatOf returns the format that a request wants. What does not say so gets JSON with the
// third signature and XML with the first one, as documented, unless Accept tells otherwise.
func formatOf(r *http.Request, p lookup) (format, error) {
	switch given := p.text("Format"); {
	case strings.EqualFold(given, "JSON"):
		return formatJSON, nil
	case strings.EqualFold(given, "XML"):
		return formatXML, nil
	case given != "":
		return formatJSON, fail("Parameters.Invalid", "Format must be JSON or XML.")
	}
	accept := strings.ToLower(r.Header.Get("Accept"))
	if strings.HasPrefix(r.Header.Get("Authorization"), "ACS3-") {
		if strings.Contains(accept, "application/xml") {
			return formatXML, nil
		}
		return formatJSON, nil
	}
	if strings.Contains(accept, "json") {
		return formatJSON, nil
	}
	return formatXML, nil
}

// appender is an answer that writes itself: encoding/json would read all of it once more.
type appender interface{ appendJSON(b []byte) []byte }

// encode writes an answer as a JSON object, without the request's id.
func encode(answer any) ([]byte, error) {
	if itself, ok := answer.(appender); ok {
		return itself.appendJSON(make([]byte, 0, 32<<10)), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// tail is what of an answer follows the request's id, to the end: the same for everybody who asks the same.
func tail(object []byte, f format, root string) ([]byte, error) {
	if f == formatXML {
		inside, err := appendXML(nil, object)
		if err != nil {
			return nil, err
		}
		return append(append(append(inside, "</"...), root...), '>'), nil
	}
	if len(object) < 2 || object[0] != '{' {
		return nil, errors.New("encode answer: it is not an object")
	}
	if len(object) == 2 {
		return object[1:], nil
	}
	return append(append(make([]byte, 0, len(object)), ','), object[1:]...), nil
}

// appendHead begins an answer: a root with the request's id.
func appendHead(b []byte, f format, root, requestID string) []byte {
	if f == formatXML {
		b = append(b, "<?xml version='1.0' encoding='UTF-8'?>\n<"...)
		b = append(append(b, root...), "><RequestId>"...)
		return append(append(b, requestID...), "</RequestId>"...)
	}
	return append(append(append(b, `{"RequestId":"`...), requestID...), '"')
}

// documents are for answers on their way to the client: most of them are long, and soon gone.
var documents = sync.Pool{New: func() any { return new([]byte) }}

// send writes an answer. Its tail, which may be long, is not copied.
func send(w http.ResponseWriter, status int, f format, root, requestID string, tail []byte) {
	head := appendHead(make([]byte, 0, 256), f, root, requestID)
	h := w.Header()
	h.Set("Content-Type", f.contentType())
	h.Set("Content-Length", strconv.Itoa(len(head)+len(tail)))
	h.Set("X-Acs-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(head) //nolint:errcheck // the caller went away
	w.Write(tail) //nolint:errcheck // the same
}

// envelope is how an error is told. All members are text, and AccessDeniedDetail an object: the
// vendor's clients rely on it.
type envelope struct {
	HostID             string  `json:"HostId"`
	Code               string  `json:"Code"`
	Message            string  `json:"Message"`
	Recommend          string  `json:"Recommend"`
	AccessDeniedDetail *denial `json:"AccessDeniedDetail,omitempty"`
}

const errorRoot = "Error"

// sendError writes an error. Only a throttled caller is told when to come back: some clients try
// again after any error that says so.
func sendError(w http.ResponseWriter, x *exchange, e *Error) {
	if e.retryAfter > 0 {
		milliseconds := (e.retryAfter + time.Millisecond - 1) / time.Millisecond
		w.Header().Set("X-Acs-Retry-After", strconv.FormatInt(int64(milliseconds), 10))
	}
	object, err := encode(envelope{
		HostID: printable(x.http.Host, 255), Code: e.Code, Message: e.Message + e.echo, AccessDeniedDetail: e.denied,
	})
	if err == nil {
		object, err = tail(object, x.format, errorRoot)
	}
	if err != nil {
		object, _ = tail([]byte("{}"), x.format, errorRoot) // texts can always be encoded
	}
	send(w, e.Status, x.format, errorRoot, x.requestID, object)
}

// newRequestID returns a random UUID (RFC 9562, version 4) in the vendor's spelling.
func newRequestID() string {
	var id [16]byte
	rand.Read(id[:]) //nolint:errcheck // it never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:], id[:4])
	text[8] = '-'
	hex.Encode(text[9:], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:], id[10:])
	return string(bytes.ToUpper(text[:]))
}
