package pgbin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]upgrade.VersionNum{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 150018,
		"postgres (PostgreSQL) 17.11\n":                          170011,
		"postgres (PostgreSQL) 19rc1 (Debian 19~rc1-1)\n":        190000,
		"postgres (PostgreSQL) 19beta2\n":                        190000,
		"postgres (PostgreSQL) 20devel\n":                        200000,
	} {
		got, err := parseVersion(text)
		if err != nil || got != want {
			t.Errorf("parseVersion(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "postgres: not found", "postgres (EDB) x.y", "postgres (PostgreSQL) 17"} {
		if got, err := parseVersion(text); err == nil {
			t.Errorf("parseVersion(%q) = %d, want an error", text, got)
		}
	}
}

func TestInstallationsListsEachOnceNewestFirst(t *testing.T) {
	runner := run.New(discard())
	bindir := pgtest.Bindir(t, 17)
	prefix := t.TempDir()
	if err := os.MkdirAll(filepath.Join(prefix, "17"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{filepath.Join(prefix, "17", "bin"), filepath.Join(prefix, "bin")} {
		if err := os.Symlink(bindir, link); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Installations(t.Context(), runner, []string{prefix, prefix, filepath.Join(prefix, "nothing-here")})
	if err != nil {
		t.Fatal(err)
	}
	home, err := filepath.EvalSymlinks(bindir)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for i, installation := range found {
		if installation.Bindir == home && installation.Version.Major() == 17 {
			count++
		}
		if i > 0 && installation.Version > found[i-1].Version {
			t.Errorf("%v comes after %v", installation, found[i-1])
		}
	}
	if count != 1 {
		t.Errorf("%s is listed %d times in %v", home, count, found)
	}
	if missing := Missing(bindir); missing != nil {
		t.Errorf("Missing(%s) = %v", bindir, missing)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	for _, program := range Programs() {
		mode := os.FileMode(0o755)
		if program == "psql" {
			mode = 0o644 // not executable
		}
		if program == "pg_upgrade" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, program), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"pg_upgrade", "psql"}, Missing(dir)); diff != "" {
		t.Error(diff)
	}
}

// FuzzParseVersion: a version has a major number of two or three digits and a minor one of four at most, or is an error.
func FuzzParseVersion(f *testing.F) {
	f.Add("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n")
	f.Add("postgres (PostgreSQL) 19rc1\n")
	f.Add("postgres (PostgreSQL) 9.6.24\n")
	f.Fuzz(func(t *testing.T, text string) {
		version, err := parseVersion(text)
		if err == nil && (version.Major() < 10 || version.Major() > 999) || err != nil && version != 0 {
			t.Errorf("%q: got %d, %v", text, version, err)
		}
	})
}
