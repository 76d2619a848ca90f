package native

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/pgleap/pgleap/internal/control"
)

// maxBody is more than any request needs.
const maxBody = 1 << 20

// guard stands before every handler. It names the request, and lets through only who was meant
// to come here and knows the token.
func guard(next http.Handler, token string, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := control.Actor{Name: claimedName(r), RequestID: rand.Text()}
		r = r.WithContext(context.WithValue(r.Context(), actorKey{}, who))
		w.Header().Set("X-Request-Id", who.RequestID)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer recovered(w, r, log)
		switch {
		case !meant(r):
			writeProblem(w, r, http.StatusMisdirectedRequest,
				fmt.Sprintf("the request is for host %q", r.Host), "address the server as 127.0.0.1 or localhost, or by its IP address")
			return
		case r.URL.Path != BaseURL+"/health" && !knowsToken(r, token):
			w.Header().Set("WWW-Authenticate", `Bearer realm="pgleap"`)
			writeProblem(w, r, http.StatusUnauthorized,
				"the request does not carry the server's token", "send what the file `token` in its state directory holds as a bearer token")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// meant tells whether the caller knows whom it is talking to. A page whose name was made to resolve to
// the server's address (DNS rebinding) sends its own name. Over TLS the certificate has settled that.
func meant(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = strings.Trim(r.Host, "[]")
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified() || ip.Equal(reached(r)))
}

// reached returns the address of the server that the connection was made to.
func reached(r *http.Request) net.IP {
	if address, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return address.IP
	}
	return nil
}

// knowsToken compares in constant time, whatever the lengths are.
func knowsToken(r *http.Request, token string) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return token != "" && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

type actorKey struct{}

// actor returns who makes the request.
func actor(ctx context.Context) control.Actor {
	who, _ := ctx.Value(actorKey{}).(control.Actor)
	return who
}

// userName is what a person may be called in the record.
var userName = regexp.MustCompile(`^[A-Za-z0-9_.@\\-]{1,64}$`)

// claimedName is who the caller says it is. All callers have the same token, so this is for the
// record only.
func claimedName(r *http.Request) string {
	if name := r.Header.Get("Pgleap-User"); userName.MatchString(name) {
		return name
	}
	return "api"
}

// recovered answers for a handler that panicked.
func recovered(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value
		panic(p)
	}
	writeError(w, r, log, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}
