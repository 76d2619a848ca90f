package app

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections is how many connections the API serves at once. Strangers can open them; they must not take the
// file descriptors that the work needs. Those who come later wait until one has ended.
const maxConnections = 512

// maxStreams is how many requests a connection carries at once over HTTP/2, each of which may have a body.
const maxStreams = 8

// boundedServer serves with what strangers may take of it bounded.
func boundedServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// limitedListener accepts so many connections at once.
type limitedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limited(l net.Listener, most int) *limitedListener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a connection, and until there is room for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	leave := sync.OnceFunc(func() { <-l.slots })
	conn, err := l.Listener.Accept()
	if err != nil {
		leave()
		return nil, err
	}
	return &limitedConn{conn, leave}, nil
}

// Close ends Accept.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn makes room for another one when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

// Close makes room.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the client still reads the answer.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// bodyPatience is how long a client may take to send its body.
const bodyPatience = 20 * time.Second

// bounded lets a client take so long to send its body, whether the handler reads it or not: what a handler leaves,
// net/http reads before it answers. When the body has come a call may take as long as it does: a deadline that
// stayed would end its context, as http.Server's ReadTimeout would.
func bounded(next http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		// Not every writer has deadlines; the server's have.
		reading := http.NewResponseController(w)
		bound := func() { _ = reading.SetReadDeadline(time.Now().Add(patience)) }
		bound()
		body := &boundedBody{ReadCloser: r.Body, ended: func() { _ = reading.SetReadDeadline(time.Time{}) }}
		request := *r // net/http treats its own body better than another one
		request.Body = body
		next.ServeHTTP(w, &request)
		if !body.complete {
			bound() // the handler may have lifted it
		}
	})
}

// boundedBody tells when it has come.
type boundedBody struct {
	io.ReadCloser
	ended    func()
	complete bool
}

// Read reads, until the end.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.complete { //nolint:errorlint // io.Reader returns this very value
		b.complete = true
		b.ended()
	}
	return n, err
}
