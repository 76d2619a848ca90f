// Package test has the end-to-end tests: the built program, real clusters, real PgBouncers, clients
// that write all the time, and faults.
package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// pgleap is the path of the built program.
var pgleap string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Getenv(pgtest.SlowTests) == "" {
		fmt.Println("the end-to-end tests are skipped: they are run by make test-e2e (" + pgtest.SlowTests + "=1)")
		return 0
	}
	pgleap = os.Getenv("PGLEAP_BINARY")
	if pgleap == "" && flag.Lookup("test.list").Value.String() == "" {
		dir, err := os.MkdirTemp("", "pgleap-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		pgleap = filepath.Join(dir, "pgleap")
		if err := build(pgleap); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// build builds the program with the Makefile's flags, so that what is in the cache is used.
func build(path string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "disable_grpc_modules", "-o", path, "./cmd/pgleap")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build pgleap: %w\n%s", err, output)
	}
	return nil
}
