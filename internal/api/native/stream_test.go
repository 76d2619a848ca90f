package native

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// streamReader reads a stream line by line, with a deadline for the whole.
type streamReader struct {
	*bufio.Reader

	t *testing.T
}

func openStream(t *testing.T, a testAPI, path string, change func(*http.Request)) streamReader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	change(r)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return streamReader{bufio.NewReader(response.Body), t}
}

// until reads up to a line with want in it. A line with never in it must not come before.
func (s streamReader) until(want, never string) {
	s.t.Helper()
	for {
		line, err := s.ReadString('\n')
		if err != nil {
			s.t.Fatalf("wait for %q: %v", want, err)
		}
		if strings.Contains(line, want) {
			return
		}
		if never != "" && strings.Contains(line, never) {
			s.t.Fatalf("%q came before %q", never, want)
		}
	}
}
