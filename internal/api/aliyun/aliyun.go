package aliyun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const (
	apiVersion = "2014-08-15"

	// prefix is a path that clients may put before the one path that there is.
	prefix = "/aliyun"
)

// Options are what an operator can choose.
type Options struct {
	Region           string           // what the one region is called; "local" if empty
	WireTypes        string           // "sample" or "documented": how the list of upgrades writes times and versions
	DetailNewline    string           // what ends a line of a log
	SignatureV1      bool             // accept HMAC-SHA1 signatures, which the vendor's older clients make
	EchoStringToSign bool             // tell who signs wrongly what should have been signed
	ExternalHosts    []string         // names by which clients know this server behind a proxy
	Now              func() time.Time // the clock; time.Now if nil
}

// gate is what the door asks before an operation runs; *control.Control has it.
type gate interface {
	HasAccessKeys(ctx context.Context) (bool, error)
	Caller(ctx context.Context, keyID string) (control.Caller, error)
	UseNonce(ctx context.Context, keyID, nonce string, until time.Time) error
	NoteNonce(ctx context.Context, keyID, nonce string, until time.Time) (verdict func() error, err error)
	Admit(keyID string) error
	Once(ctx context.Context, o control.Once, do func(context.Context) ([]byte, error)) ([]byte, error)
	Revision(ctx context.Context, instance string) (int64, error)
	RecordCall(call control.Call)
	RecordStranger(call control.Call)
}

// api is the door and what its operations need.
type api struct {
	control *control.Control
	gate    gate
	options Options
	log     *slog.Logger
	actions map[string]*action
	memory  *memory
}

// New returns the handler of the vendor's API. It serves the root path, and what is below /aliyun for
// clients that were given a path with the address.
func New(c *control.Control, o Options, log *slog.Logger) http.Handler {
	return newAPI(c, c, o, log, actions())
}

func newAPI(c *control.Control, g gate, o Options, log *slog.Logger, list []action) *api {
	if o.Region == "" {
		o.Region = "local"
	}
	if o.WireTypes == "" {
		o.WireTypes = "sample"
	}
	if o.DetailNewline == "" {
		o.DetailNewline = "\n"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{
		control: c, gate: g, options: o, log: log,
		actions: make(map[string]*action, len(list)), memory: newMemory(),
	}
	for i := range list {
		a.actions[list[i].name] = &list[i]
	}
	return a
}

// exchange is one request on its way through the door.
type exchange struct {
	request
	at        time.Time
	requestID string
	format    format
	keyID     string // what the request names, whether it exists or not
	action    *action
	caller    control.Caller
	proven    bool    // the request is the caller's
	scratch   *[]byte // for the answer
}

// known tells whether the access key exists that the request names.
func (x *exchange) known() bool { return x.caller.KeyID != "" }

// actionName is what a call asked for, for the record: which of the operations, if it came so far.
func (x *exchange) actionName() string {
	if x.action == nil {
		return "unknown API"
	}
	return x.action.name
}

// objectID is the id of the instance that a call is about, if it is about one.
func (x *exchange) objectID() string {
	if x.action == nil || x.action.object == nil {
		return ""
	}
	return x.action.object(x)
}

// ServeHTTP answers one request. A server without keys does not say that it is one.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{request: request{http: r}, at: a.options.Now(), requestID: newRequestID(), scratch: documents.Get().(*[]byte)}
	defer documents.Put(x.scratch)
	x.format, _ = formatOf(r, x)
	body, err := a.serve(w, x)
	if err != nil && (!x.known() || x.caller.Disabled) {
		if open, unknown := a.gate.HasAccessKeys(r.Context()); unknown == nil && !open {
			http.NotFound(w, r)
			return
		}
	}
	e := a.explain(r.Context(), x, err)
	a.record(r.Context(), x, e)
	if e != nil {
		sendError(w, x, e)
		return
	}
	send(w, http.StatusOK, x.format, x.action.root(), x.requestID, body)
}

// serve lets the request in or refuses it, and runs its operation. It returns the answer's tail.
func (a *api) serve(w http.ResponseWriter, x *exchange) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx := x.http.Context()
	who, err := a.read(w, x)
	if err != nil {
		return nil, err
	}
	x.at = a.options.Now() // the request is complete now, whenever it began
	signed, err := a.authenticate(ctx, x, who)
	if err != nil {
		return nil, err
	}
	if !x.action.reads {
		if err := replay(a.gate.UseNonce(ctx, x.caller.KeyID, who.nonce, signed.Add(maxSkew))); err != nil {
			return nil, err
		}
		return a.admitted(ctx, x)
	}
	verdict, err := a.gate.NoteNonce(ctx, x.caller.KeyID, who.nonce, signed.Add(maxSkew))
	if err := replay(err); err != nil {
		return nil, err
	}
	body, err = a.admitted(ctx, x)
	if replayed := replay(verdict()); replayed != nil {
		return nil, replayed
	}
	return body, err
}

// admitted carries out the operation if the caller may have it done.
func (a *api) admitted(ctx context.Context, x *exchange) ([]byte, error) {
	if err := a.admit(x.caller.KeyID); err != nil {
		return nil, err
	}
	if err := a.authorize(x); err != nil {
		return nil, err
	}
	for _, name := range x.action.required {
		if x.text(name) == "" {
			return nil, fail("Missing"+name, "")
		}
	}
	return a.answer(ctx, x)
}

// read decodes a request and finds its operation.
func (a *api) read(w http.ResponseWriter, x *exchange) (who credentials, err error) {
	r := x.http
	if r.URL.Path != "/" && r.URL.Path != prefix && !strings.HasPrefix(r.URL.Path, prefix+"/") {
		return who, fail("InvalidAction.NotFound", "")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return who, fail("UnsupportedHTTPMethod", "")
	}
	x.request, err = decodeRequest(w, r)
	x.keyID = namedKey(&x.request)
	if err != nil {
		return who, err
	}
	if x.format, err = formatOf(r, x); err != nil {
		return who, err
	}
	if who, err = a.credentialsOf(&x.request); err != nil {
		return who, err
	}
	if who.version != apiVersion {
		return who, fail("InvalidVersion", "")
	}
	if x.action = a.actions[who.action]; x.action == nil {
		return who, fail("InvalidAction.NotFound", "")
	}
	return who, nil
}

// authenticate finds the caller and checks that the request is the caller's, and made just now. It
// returns when that was.
func (a *api) authenticate(ctx context.Context, x *exchange, who credentials) (signed time.Time, err error) {
	caller, err := a.gate.Caller(ctx, who.keyID)
	if _, unknown := errors.AsType[*upgrade.NotFound](err); unknown {
		return signed, fail("InvalidAccessKeyId.NotFound", "")
	}
	if err != nil {
		return signed, err
	}
	x.caller = caller
	if caller.Disabled {
		return signed, fail("InvalidAccessKeyId.Inactive", "")
	}
	if signed, err = checkTime(who.timestamp, x.at); err != nil {
		return signed, err
	}
	if err := who.verify(caller.Secret); err != nil {
		return signed, err
	}
	x.proven = true
	return signed, nil
}

// answer runs the operation, unless the answer is known: because the client repeats itself, or
// because nothing has changed since somebody asked the same.
func (a *api) answer(ctx context.Context, x *exchange) ([]byte, error) {
	switch {
	case x.action.clientToken && x.text("ClientToken") != "":
		object, err := a.once(ctx, x)
		if err != nil {
			return nil, err
		}
		return tail(object, x.format, x.action.root())
	case x.action.cached:
		return a.remembered(ctx, x)
	}
	return a.rendered(ctx, x)
}

// remembered returns the answer from memory if the revision of its instance is still the same.
func (a *api) remembered(ctx context.Context, x *exchange) ([]byte, error) {
	revision, err := a.gate.Revision(ctx, x.objectID())
	if err != nil { // the operation says it in its own words
		return a.rendered(ctx, x)
	}
	key := append(make([]byte, 0, 256), byte('0'+x.format))
	key = append(append(key, x.action.name...), '?')
	key = x.appendAsked(key)
	if body, known := a.memory.get(key, revision, x.scratch); known {
		return body, nil
	}
	body, err := a.rendered(ctx, x)
	if err == nil {
		a.memory.put(key, revision, body)
	}
	return body, err
}

// rendered runs the operation and writes its answer in the format that is wanted.
func (a *api) rendered(ctx context.Context, x *exchange) ([]byte, error) {
	object, err := a.run(ctx, x)
	if err != nil {
		return nil, err
	}
	return tail(object, x.format, x.action.root())
}

// run runs the operation.
func (a *api) run(ctx context.Context, x *exchange) ([]byte, error) {
	result, err := x.action.do(ctx, a, &call{
		params: x.params(), caller: x.caller, requestID: x.requestID,
		denied: func(id string) bool { return a.decide(x, a.arn(x, id)) == authz.ExplicitDeny },
	})
	if err != nil {
		return nil, err
	}
	return encode(result)
}
