package app

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

// A server is who it was, whatever becomes of the machine's name; a second one with its record is another.
func TestIdentity(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// as an older pgleap left it, on a machine that was renamed since
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close() //nolint:errcheck // nothing is lost
	if err := record.SetSetting(t.Context(), "host-id", "db1"); err != nil {
		t.Fatal(err)
	}
	former, fresh := &Server{config: configIn(t.TempDir())}, &Server{config: configIn(t.TempDir())}
	if err := os.Mkdir(former.engineDir(), 0o700); err != nil {
		t.Fatal(err)
	}

	noAnswer, cancel := context.WithCancel(t.Context())
	cancel()
	if own, err := former.ownIdentity(noAnswer, record); err == nil {
		t.Errorf("when the record does not answer: %+v", own)
	}
	for _, c := range []struct {
		name   string
		server *Server
		want   identity
	}{
		{"of an older pgleap", former, identity{"db1", "db1:" + former.config.StateDir}},
		{"of an older pgleap, again", former, identity{"db1", "db1:" + former.config.StateDir}},
		{"of a second server", fresh, identity{hostname, hostname + ":" + fresh.config.StateDir}},
	} {
		if got, err := c.server.ownIdentity(t.Context(), record); got != c.want || err != nil {
			t.Errorf("%s: got %+v, %v, not %+v", c.name, got, err, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(fresh.config.StateDir, hostIDFile), []byte("db9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := fresh.ownIdentity(noAnswer, record)
	if want := (identity{"db9", hostname + ":" + fresh.config.StateDir}); got != want || err != nil {
		t.Errorf("as it is noted: got %+v, %v, not %+v", got, err, want)
	}
}
