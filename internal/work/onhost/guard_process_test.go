package onhost

import (
	"context"
	"os"
	"strings"
	"testing"
)

// Nobody has to wait unless the guard stands.
func TestAwaitGuard(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		says string
		ends bool
		want string // of the error; empty: it stands
	}{
		{"it stands", t.Context(), "\n", false, ""},
		{"it stands, and its pipe is closed", t.Context(), "\n", true, ""},
		{"it ends before", t.Context(), "", true, "it ended before it stood, see guard.log"},
		{"nobody waits any longer", cancelled, "", false, "context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready, said, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer ready.Close() //nolint:errcheck // it was only read
			if _, err := said.WriteString(c.says); err != nil {
				t.Fatal(err)
			}
			if c.ends {
				_ = said.Close()
			} else {
				defer said.Close() //nolint:errcheck // nothing is lost
			}
			err = awaitGuard(c.ctx, ready, "guard.log")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
