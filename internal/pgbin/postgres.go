package pgbin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
)

// KnownSettings names the settings that a version knows: all that postgres describes, and of those asked
// for the ones that it does not describe but takes. postgres --describe-config leaves out what
// is not meant for postgresql.conf (help_config.c, displayStruct), such as force_parallel_mode in 15, and yet a
// configuration file may hold it. Names with a dot belong to extensions: postgres cannot tell.
func KnownSettings(ctx context.Context, as Caller, bindir string, asked []string) ([]string, error) {
	out, err := as.run(ctx, bindir, "postgres", "--describe-config")
	if err != nil {
		return nil, fmt.Errorf("list settings of %s: %w", bindir, err)
	}
	names := describedSettings(out.Stdout)
	described := map[string]bool{}
	for _, name := range names {
		described[strings.ToLower(name)] = true
	}
	var doubtful []string
	for _, name := range asked {
		if settingName.MatchString(name) && !described[strings.ToLower(name)] {
			doubtful = append(doubtful, name)
		}
	}
	taken, err := takenSettings(ctx, as, bindir, doubtful)
	return append(names, taken...), err
}

// describedSettings returns the names in what postgres --describe-config writes: a line for each
// setting, in which fields are parted by tabs (help_config.c, printMixedStruct). The fields for
// defaults are empty or zero for all but strings and enums, so only a running server can tell them.
func describedSettings(output string) []string {
	var names []string
	for line := range strings.Lines(output) {
		if name, _, ok := strings.Cut(line, "\t"); ok && settingName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

var (
	settingName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	unrecognized = regexp.MustCompile(`unrecognized configuration parameter "([^"]+)" in file`)
)

// takenSettings gives postgres a configuration file with the names and has it complain: it
// looks at the names of all lines before at any value (guc-file.l, ProcessConfigFileInternal).
func takenSettings(ctx context.Context, as Caller, bindir string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "pgleap-settings-")
	if err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	defer os.RemoveAll(dir) // nothing depends on it
	conf := strings.Join(names, " = ''\n") + " = ''\n"
	if err := os.WriteFile(filepath.Join(dir, "postgresql.conf"), []byte(conf), 0o644); err != nil { //nolint:gosec // names of settings are no secret
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	if err := as.As.Chown(dir); err != nil && as.As.Name != "" {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	out, err := as.run(ctx, bindir, "postgres", "-D", dir, "-C", "port")
	if failed, ok := errors.AsType[*run.Error](err); err != nil && (!ok || failed.ExitCode < 0) {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	unknown := map[string]bool{}
	for _, found := range unrecognized.FindAllStringSubmatch(out.Stderr, -1) {
		unknown[strings.ToLower(found[1])] = true
	}
	var taken []string
	for _, name := range names {
		if !unknown[strings.ToLower(name)] {
			taken = append(taken, name)
		}
	}
	return taken, nil
}

// Setting asks postgres what a setting is by the configuration files of a cluster, running or not.
func Setting(ctx context.Context, as Caller, bindir, pgdata, name string) (string, error) {
	out, err := as.run(ctx, bindir, "postgres", "-D", pgdata, "-C", name)
	if err != nil {
		return "", fmt.Errorf("ask for setting %s of %s: %w", name, pgdata, err)
	}
	return strings.TrimSuffix(out.Stdout, "\n"), nil
}

// SharedMemory asks postgres how many bytes of shared memory it would take with the configuration files in a directory,
// preloaded libraries and all. It is for clusters that are down, and for 15 and later, which tell it in megabytes
// (guc_tables.c, shared_memory_size).
func SharedMemory(ctx context.Context, as Caller, bindir, configDir, pgdata string) (int64, error) {
	out, err := as.run(ctx, bindir, "postgres", "-D", configDir, "-c", "data_directory="+pgdata, "-C", "shared_memory_size")
	if err != nil {
		return 0, fmt.Errorf("ask for the shared memory of %s: %w", configDir, err)
	}
	megabytes, err := strconv.ParseInt(strings.TrimSpace(out.Stdout), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("ask for the shared memory of %s: %w", configDir, err)
	}
	return megabytes << 20, nil
}

// CheckConfiguration has postgres read the configuration files of a cluster that is down, as it would at
// its start. The error has its complaints. Libraries to preload are not tried.
func CheckConfiguration(ctx context.Context, as Caller, bindir, pgdata string) error {
	complaints, err := ConfigurationComplaints(ctx, as, bindir, pgdata)
	if len(complaints) > 0 {
		return fmt.Errorf("check configuration of %s: %s", pgdata, strings.Join(complaints, "; "))
	}
	return err
}

// ConfigurationComplaints does the same, of a cluster that runs or not, and returns what postgres has to complain of.
// Settings, NAME=VALUE, are given on the command line. The error is that of a program that could not tell.
func ConfigurationComplaints(ctx context.Context, as Caller, bindir, pgdata string, settings ...string) (complaints []string, err error) {
	args := []string{"-D", pgdata}
	for _, setting := range append(settings, "lc_messages=C") { // in English, whatever the files say: the words are looked for
		args = append(args, "-c", setting)
	}
	out, err := as.run(ctx, bindir, "postgres", append(args, "-C", "port")...)
	if err == nil {
		return nil, nil
	}
	for line := range strings.Lines(out.Stderr) {
		if _, complaint, ok := strings.Cut(line, "LOG:  "); ok && !strings.HasPrefix(complaint, "skipping missing") {
			complaints = append(complaints, strings.TrimSpace(complaint))
		}
	}
	if len(complaints) == 0 {
		return nil, fmt.Errorf("check configuration of %s: %w", pgdata, err)
	}
	return complaints, nil
}
