package pgtest

import (
	"os"
	"testing"
)

// SlowTests is the environment variable that asks for the slow tests; make test-slow sets it.
const SlowTests = "PGLEAP_SLOW_TESTS"

// Slow skips a test that takes long unless the slow ones are asked for: go test ./... stays quick.
func Slow(t testing.TB) {
	t.Helper()
	if os.Getenv(SlowTests) == "" {
		t.Skip("slow: run by make test-slow (" + SlowTests + "=1)")
	}
}

// IsSlow tells whether the slow tests are asked for.
func IsSlow() bool { return os.Getenv(SlowTests) != "" }
