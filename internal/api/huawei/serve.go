package huawei

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"

	"github.com/pgleap/pgleap/internal/control"
)

// The sizes of what is read at most.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10
)

// operation carries out a call and returns what is to be encoded.
type operation func(ctx context.Context, c *call) (any, error)

// call is a request and what is known of it.
type call struct {
	id       string
	request  *http.Request
	language language
	query    url.Values
	body     []byte
	caller   control.Caller
	who      string // for the record
	object   string // id of the instance, for the record
	given    string // the instance as the caller calls it, and its revision
	revision int64
	header   http.Header
}

// actor is the caller for the record of control.
func (c *call) actor() control.Actor { return c.caller.Actor(c.id) }

// ServeHTTP names the request, bounds it and passes it on.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	open, err := a.control.HasAccessKeys(r.Context())
	if err == nil && !open {
		http.NotFound(w, r)
		return
	}
	c := &call{id: newRequestID(), language: languageOf(r.Header.Get("X-Language")), who: "nobody", header: w.Header()}
	c.header.Set("X-Request-Id", c.id)
	c.header.Set("Cache-Control", "no-store")
	c.header.Set("X-Content-Type-Options", "nosniff")
	var next http.Handler = a.mux
	switch {
	case err != nil:
		next = a.refusing(err)
	case headerSize(r) > maxHeader:
		next = a.refusing(tooLarge())
	case path.Clean(r.URL.Path) != r.URL.Path:
		// The mux would answer with a redirection, which no client of this API expects.
		next = a.refusing(unknownAPI(r))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

type callKey struct{}

func newRequestID() string {
	var id [16]byte
	rand.Read(id[:]) //nolint:errcheck // it never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// headerSize is what the line of the request and its header fields amount to.
func headerSize(r *http.Request) int {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// serve makes a handler of an operation, and a record of each call.
func (a *api) serve(name string, status int, do operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(callKey{}).(*call)
		c.request = r
		answer, err := survived(r.Context(), c, do)
		outcome := "ok"
		if err == nil {
			write(w, status, answer)
		} else {
			f := translate(err)
			outcome = f.Error()
			a.fail(w, c, f)
		}
		record := a.control.RecordCall
		// Whoever has seen one request of a key can send it again and again without the key.
		if c.caller.KeyID == "" || is[*control.Replayed](err) || is[*control.Throttled](err) {
			record = a.control.RecordStranger
		}
		record(control.Call{
			At: a.now(), Who: c.who, What: "huawei " + name, Object: c.object, Result: outcome, RequestID: c.id,
		})
	})
}

// survived makes an error of a panic.
func survived(ctx context.Context, c *call, do operation) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(ctx, c)
}

// unknown is what calls that reach no operation are called in the record.
const unknown = "unknown API"

// refusing answers every request alike.
func (a *api) refusing(err error) http.Handler {
	return a.serve(unknown, 0, func(context.Context, *call) (any, error) { return nil, err })
}

// known precedes an operation by the questions who calls, for which project, and whether too often.
func (a *api) known(do operation) operation {
	return func(ctx context.Context, c *call) (any, error) {
		if err := a.identify(ctx, c); err != nil {
			return nil, err
		}
		if err := a.control.Admit(c.caller.KeyID); err != nil {
			return nil, err
		}
		if bad := checkProject(c.request); bad != nil {
			return nil, bad
		}
		return do(ctx, c)
	}
}

// checkProject refuses ids of projects that cannot be, and a header that contradicts the path.
// There are no projects here: every project sees the same instances.
func checkProject(r *http.Request) *failure {
	project := r.PathValue("project_id")
	if project == "" {
		return nil // an IAM call
	}
	if !isProjectName(project) {
		return refuse(codeParameter, msgProjectID)
	}
	if header := r.Header.Values("X-Project-Id"); len(header) > 1 || len(header) == 1 && header[0] != project {
		return refuse(codeOtherProject, msgOtherProject)
	}
	return nil
}

// read reads query and body, which are small.
func (c *call) read() *failure {
	var bad *failure
	if c.query, bad = parseQuery(c.request.URL.RawQuery); bad != nil {
		return bad
	}
	var err error
	c.body, err = io.ReadAll(c.request.Body)
	if err == nil {
		return nil
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return tooLarge()
	}
	return refuse(codeMalformed, msgUnreadBody)
}

func tooLarge() *failure {
	return refuse(codeTooLarge, msgTooLarge, "body", "1 MiB", "header", "64 KiB")
}
