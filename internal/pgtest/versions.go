package pgtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Versions returns the major versions that the tests shall cover, oldest first as given in
// PGLEAP_TEST_VERSIONS ("13,15,17"); without it 15 and 17.
func Versions(t testing.TB) []int {
	t.Helper()
	list := os.Getenv("PGLEAP_TEST_VERSIONS")
	if list == "" {
		return []int{15, 17}
	}
	words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	versions := make([]int, 0, len(words))
	for _, word := range words {
		major, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("PGLEAP_TEST_VERSIONS=%q: %q is not a major version; write it like 15,17", list, word)
		}
		versions = append(versions, major)
	}
	return versions
}

// Bindir returns the directory of a major version's programs. When the machine has none, the test
// is skipped, or fails where CI=true is set and the installation did not say why it is missing.
func Bindir(t testing.TB, major int) string {
	t.Helper()
	if dir, ok := findBindir(major); ok {
		return dir
	}
	for _, prefix := range prefixes() {
		if why, err := os.ReadFile(filepath.Join(prefix, strconv.Itoa(major)+".unavailable")); err == nil {
			t.Skip(strings.TrimSpace(string(why)))
		}
	}
	missing(t, "PostgreSQL %d is not installed: run scripts/install-postgres %d", major, major)
	return ""
}

// missing skips the test for want of a program; where CI=true is set it fails it, since there
// everything is said to be installed.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// findBindir looks in what scripts/install-postgres makes, then in Debian's own place, then in PATH.
func findBindir(major int) (string, bool) {
	version := strconv.Itoa(major)
	var candidates []string
	for _, prefix := range prefixes() {
		candidates = append(candidates, filepath.Join(prefix, version, "bin"))
	}
	candidates = append(candidates, filepath.Join("/usr/lib/postgresql", version, "bin"))
	for _, dir := range candidates {
		if isExecutable(filepath.Join(dir, "postgres")) && isExecutable(filepath.Join(dir, "initdb")) {
			return dir, true
		}
	}
	return bindirInPath(major)
}

// prefixes returns where scripts/install-postgres installs.
func prefixes() []string {
	if prefix := os.Getenv("PGLEAP_POSTGRES_PREFIX"); prefix != "" {
		return []string{prefix}
	}
	prefixes := []string{"/opt/pgleap/postgres"}
	if home, err := os.UserHomeDir(); err == nil {
		prefixes = append(prefixes, filepath.Join(home, ".cache/pgleap/postgres"))
	}
	return prefixes
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

func bindirInPath(major int) (string, bool) {
	program, err := exec.LookPath("postgres")
	if err != nil {
		return "", false
	}
	output, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "", false
	}
	match := versionLine.FindSubmatch(output)
	if match == nil || string(match[1]) != strconv.Itoa(major) {
		return "", false
	}
	return filepath.Dir(program), true
}

func isExecutable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
