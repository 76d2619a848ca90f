package pgbin

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Installation is a directory with the programs of one PostgreSQL version.
type Installation struct {
	Bindir  string
	Version upgrade.VersionNum
}

// Programs are what an upgrade needs in a bindir. pg_upgrade itself looks for most of them and
// refuses to start without (exec.c, check_bin_dir).
func Programs() []string {
	return []string{
		"postgres", "initdb", "pg_ctl", "pg_controldata", "pg_resetwal", "pg_upgrade", "pg_dump",
		"pg_dumpall", "pg_restore", "psql", "vacuumdb", "pg_basebackup",
	}
}

// Missing names the programs that a bindir lacks.
func Missing(bindir string) []string {
	var missing []string
	for _, program := range Programs() {
		info, err := os.Stat(filepath.Join(bindir, program))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, program)
		}
	}
	return missing
}

// Version asks a bindir's postgres for its version.
func Version(ctx context.Context, runner *run.Runner, bindir string) (upgrade.VersionNum, error) {
	out, err := Caller{Runner: runner}.run(ctx, bindir, "postgres", "--version")
	if err != nil {
		return 0, fmt.Errorf("ask version of %s: %w", bindir, err)
	}
	version, err := parseVersion(out.Stdout)
	if err != nil {
		return 0, fmt.Errorf("ask version of %s: %w", bindir, err)
	}
	return version, nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d{2,3})(?:\.(\d{1,4})|(?:devel|alpha|beta|rc)\d*)`)

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian ...)" and "postgres (PostgreSQL) 19rc1".
// A version before its release counts as minor 0, as server_version_num has it.
func parseVersion(text string) (upgrade.VersionNum, error) {
	found := versionPattern.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("unreadable version %q", strings.TrimSpace(text))
	}
	major, err := strconv.Atoi(found[1])
	if err != nil {
		return 0, fmt.Errorf("unreadable major version %q: %w", found[1], err)
	}
	minor := 0
	if found[2] != "" {
		if minor, err = strconv.Atoi(found[2]); err != nil {
			return 0, fmt.Errorf("unreadable minor version %q: %w", found[2], err)
		}
	}
	if major < 10 || minor > 9999 { // until 9.6 versions were numbered otherwise
		return 0, fmt.Errorf("unknown version %q", strings.TrimSpace(text))
	}
	return upgrade.VersionNum(major*10000 + minor), nil
}

// Installations finds the PostgreSQL installations of this host: where packages put them, on PATH,
// and below the given prefixes (PREFIX/17/bin and PREFIX/bin). Each is listed once, by its
// real path; the newest comes first. What lacks postgres or does not run is no installation;
// Missing tells what else one lacks.
func Installations(ctx context.Context, runner *run.Runner, prefixes []string) ([]Installation, error) {
	var found []Installation
	seen := map[string]bool{}
	for _, bindir := range bindirs(prefixes) {
		postgres, err := filepath.EvalSymlinks(filepath.Join(bindir, "postgres"))
		if err != nil {
			continue
		}
		home := filepath.Dir(postgres)
		if seen[home] {
			continue
		}
		seen[home] = true
		version, err := Version(ctx, runner, home)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("find PostgreSQL installations: %w", ctx.Err())
		}
		if err == nil {
			found = append(found, Installation{Bindir: home, Version: version})
		}
	}
	// A stable sort: of two with the same version the one looked at first stays first.
	slices.SortStableFunc(found, func(a, b Installation) int { return cmp.Compare(b.Version, a.Version) })
	return found, nil
}

// bindirs lists the directories to look at, the user's own prefixes first.
func bindirs(prefixes []string) []string {
	var patterns []string
	for _, prefix := range prefixes {
		patterns = append(patterns, filepath.Join(prefix, "[0-9]*", "bin"), filepath.Join(prefix, "bin"))
	}
	patterns = append(patterns,
		"/usr/lib/postgresql/*/bin",          // Debian
		"/usr/pgsql-*/bin",                   // the RPMs of the PostgreSQL project
		"/usr/local/pgsql*/bin",              // built from source
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	)
	var dirs []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // a prefix that is no valid pattern matches nothing
		dirs = append(dirs, matches...)
	}
	return append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
}
