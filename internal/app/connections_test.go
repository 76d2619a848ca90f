package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// A client that announces a body and does not send it is got rid of, also by a handler that does not want the body,
// and by one that lifts the deadline.
func TestBodiesThatDoNotCome(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"refused at once": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"read to its end": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"lifts the limit": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		},
		"reads what it has": func(_ http.ResponseWriter, r *http.Request) { _, _ = r.Body.Read(make([]byte, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(bounded(handler, 50*time.Millisecond))
			defer server.Close()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("it is still connected: %v", err)
			}
		})
	}
}

// A call whose body has come lasts as long as it does.
func TestLongCallsKeepTheirContext(t *testing.T) {
	const patience = 2 * time.Second // in which the body comes, on a busy machine too
	ended := make(chan error, 1)
	server := httptest.NewServer(bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		ctx, cancel := context.WithTimeoutCause(r.Context(), 2*patience, errors.New("it lasted"))
		defer cancel()
		<-ctx.Done()
		ended <- context.Cause(ctx)
	}), patience))
	defer server.Close()
	response, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("all of it"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if cause := <-ended; cause.Error() != "it lasted" {
		t.Errorf("the call ended: %v", cause)
	}
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limited(inner, 1)
	for range 2 {
		client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.slots) != cap(l.slots) {
		t.Error("there is room for another one")
	}
	first.Close()
	first.Close() // makes no more room than it took
	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
}

// Over HTTP/2 one connection carries many requests, each of which may have a body to be kept in memory.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = boundedServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: trusted, ServerName: "example.com", NextProtos: []string{"h2"}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// RFC 9113: a client begins with its preface and a SETTINGS frame, and so does a server, without the preface.
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	settings := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is %v: %v", head, err)
	}
	for setting := range slices.Chunk(settings, 6) {
		const maxConcurrentStreams = 3
		if binary.BigEndian.Uint16(setting) == maxConcurrentStreams && binary.BigEndian.Uint32(setting[2:]) == maxStreams {
			return
		}
	}
	t.Errorf("the settings are %v: streams are not bounded to %d", settings, maxStreams)
}
