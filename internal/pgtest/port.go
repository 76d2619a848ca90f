package pgtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest/port"
)

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on, and that no other test is given before this one ends.
func FreePort(t testing.TB) int {
	t.Helper()
	free, release, err := port.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return free
}
