package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVersions(t *testing.T) {
	for list, want := range map[string][]int{
		"":               {15, 17},
		"13":             {13},
		"13,15,17,18,19": {13, 15, 17, 18, 19},
		"15 18":          {15, 18},
		"15, 17":         {15, 17},
	} {
		t.Setenv("PGLEAP_TEST_VERSIONS", list)
		if diff := cmp.Diff(want, Versions(t)); diff != "" {
			t.Errorf("PGLEAP_TEST_VERSIONS=%q (-want +got):\n%s", list, diff)
		}
	}
}

func TestVersionsRefusesNonsense(t *testing.T) {
	t.Setenv("PGLEAP_TEST_VERSIONS", "15,latest")
	verdict := judge(t, func(v *verdict) { Versions(v) })
	if !verdict.failed || !strings.Contains(verdict.words, `"latest" is not a major version`) {
		t.Errorf("failed = %t with %q", verdict.failed, verdict.words)
	}
}

func TestBindirPrefersThePrefix(t *testing.T) {
	prefix := t.TempDir()
	t.Setenv("PGLEAP_POSTGRES_PREFIX", prefix)
	bindir := filepath.Join(prefix, "9999", "bin")
	if err := os.MkdirAll(bindir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(bindir, program), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := Bindir(t, 9999); got != bindir {
		t.Errorf("Bindir = %s, want %s", got, bindir)
	}
}

func TestMissingVersion(t *testing.T) {
	const why = "PostgreSQL 9999 is not available: Debian sid has no installable postgresql-9999."
	for _, test := range []struct {
		name        string
		ci          string
		unavailable bool
		skipped     bool
		words       string
	}{
		{"on a developer's machine", "", false, true, "PostgreSQL 9999 is not installed: run scripts/install-postgres 9999"},
		{"in CI", "true", false, false, "PostgreSQL 9999 is not installed: run scripts/install-postgres 9999"},
		{"in CI, known to be unavailable", "true", true, true, why},
		{"known to be unavailable", "", true, true, why},
	} {
		t.Run(test.name, func(t *testing.T) {
			prefix := t.TempDir()
			t.Setenv("PGLEAP_POSTGRES_PREFIX", prefix)
			t.Setenv("CI", test.ci)
			if test.unavailable {
				if err := os.WriteFile(filepath.Join(prefix, "9999.unavailable"), []byte(why+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := judge(t, func(v *verdict) { Bindir(v, 9999) })
			if got.skipped != test.skipped || got.failed == test.skipped || got.words != test.words {
				t.Errorf("skipped %t, failed %t, %q; want skipped %t, %q", got.skipped, got.failed, got.words, test.skipped, test.words)
			}
		})
	}
}

// verdict is a testing.TB that notes how a test ended, for tests of how tests end.
type verdict struct {
	testing.TB
	skipped, failed bool
	words           string
}

func judge(t *testing.T, run func(*verdict)) *verdict {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(v)
	}()
	<-done
	return v
}

func (v *verdict) Skip(args ...any) { v.end(&v.skipped, fmt.Sprint(args...)) }

func (v *verdict) Skipf(format string, args ...any) { v.end(&v.skipped, fmt.Sprintf(format, args...)) }

func (v *verdict) Fatalf(format string, args ...any) { v.end(&v.failed, fmt.Sprintf(format, args...)) }

func (v *verdict) end(how *bool, words string) {
	*how, v.words = true, words
	runtime.Goexit()
}
