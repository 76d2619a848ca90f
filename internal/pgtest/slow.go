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

// ExhaustiveTests is the environment variable that asks for the exhaustive tests; make test-crash sets it.
const ExhaustiveTests = "PGLEAP_EXHAUSTIVE_TESTS"

// Exhaustive skips a test that goes through every moment at which something may die, with whole servers each
// time, unless that is asked for: together these take longer than all others.
func Exhaustive(t testing.TB) {
	t.Helper()
	if os.Getenv(ExhaustiveTests) == "" {
		t.Skip("exhaustive: run by make test-crash (" + ExhaustiveTests + "=1)")
	}
}

// IsSlow tells whether the slow tests are asked for.
func IsSlow() bool { return os.Getenv(SlowTests) != "" }

// MatrixTests is the environment variable that asks for the matrix of versions and modes; make test-matrix sets it.
const MatrixTests = "PGLEAP_MATRIX_TESTS"

// Matrix skips a test that upgrades between all pairs of versions in every mode, unless that is asked for.
func Matrix(t testing.TB) {
	t.Helper()
	if os.Getenv(MatrixTests) == "" {
		t.Skip("the matrix: run by make test-matrix (" + MatrixTests + "=1)")
	}
}
