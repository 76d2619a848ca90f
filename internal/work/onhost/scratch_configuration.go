package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// configuration reads the source's configuration, carries it over to the scratch cluster as to a target,
// and tells what the target's programs have to say of it.
func (s *scratch) configuration(ctx context.Context) (precheck.Configuration, error) {
	var read precheck.Configuration
	user, err := owner(s.plan)
	if err != nil {
		return read, err
	}
	started, err := commandLine(ctx, s.w.host.Login(s.plan.Source, "postgres"))
	if err != nil {
		return read, err
	}
	if read.Tree, err = sourceTree(s.plan, started); err != nil {
		return read, err
	}
	if read.Known, err = s.w.knownToTarget(ctx, s.plan, read.Tree); err != nil {
		return read, err
	}
	again, err := sourceTree(s.plan, started) // a translation changes it
	if err != nil {
		return read, err
	}
	conf, _, err := translateTree(s.plan, again, read.Known)
	if err != nil {
		return read, err
	}
	if read.Stranded, err = strandedAccess(s.plan, user); err != nil {
		return read, err
	}
	read.Stranded = append(stranded(s.plan, read.Tree.Effective(), conf), read.Stranded...)
	if read.Withheld, err = withhold(conf); err != nil {
		return read, err
	}
	for i, change := range read.Withheld {
		if setting, ok := read.Tree.Get(change.Name); ok {
			read.Withheld[i].File, read.Withheld[i].Line = setting.File, setting.Line
		}
	}
	if read.Access, err = s.writeConfiguration(conf, user); err != nil {
		return read, err
	}
	if read.Complaints, err = s.tryConfiguration(ctx, user); err != nil || len(read.Complaints) > 0 {
		return read, err
	}
	read.SharedMemory, err = s.sharedMemory(ctx, conf)
	return read, err
}

// sharedMemory is how much of it the target takes, where that has to be huge pages and its programs can tell.
func (s *scratch) sharedMemory(ctx context.Context, conf *pgconf.Conf) (int64, error) {
	if wanted, _ := conf.Get("huge_pages"); !precheck.InsistsOnHugePages(wanted) || s.plan.Target.Version.Major() < 15 {
		return 0, nil
	}
	as, err := s.w.caller(s.plan, "postgres")
	if err != nil {
		return 0, err
	}
	return pgbin.SharedMemory(ctx, as, s.plan.Target.Bindir, s.configurationDir(), s.pgdata())
}

func (s *scratch) configurationDir() string { return filepath.Join(s.dir, "configuration") }

func (s *scratch) writeConfiguration(conf *pgconf.Conf, user run.User) (access []pgconf.Change, err error) {
	if err := makeDir(s.configurationDir(), user); err != nil {
		return nil, err
	}
	place := func(name string) string { return filepath.Join(s.configurationDir(), name) }
	if err := writeOwned(place("postgresql.conf"), conf.Bytes(), user, 0o600); err != nil {
		return nil, err
	}
	if access, err = carryAccess(s.plan, user, place("pg_hba.conf"), place("pg_ident.conf")); err != nil {
		return nil, err
	}
	plan := s.plan
	plan.Target.Pgdata = s.pgdata()
	return access, carryFiles(plan, conf, user)
}

// tryConfiguration has postgres read the files, which tells all that is wrong in them at once, and then
// starts the scratch cluster with them, which shows what only a start does: libraries, and settings
// that do not go together. Nothing listens on the network and nothing is written outside, and its
// memory is that of an empty cluster.
func (s *scratch) tryConfiguration(ctx context.Context, user run.User) ([]string, error) {
	as, err := s.w.caller(s.plan, "postgres")
	if err != nil {
		return nil, err
	}
	complaints, err := pgbin.ConfigurationComplaints(ctx, as, s.plan.Target.Bindir, s.configurationDir())
	if err != nil || len(complaints) > 0 {
		return complaints, err
	}
	if as, err = s.w.caller(s.plan, "pg_ctl"); err != nil {
		return nil, err
	}
	place := func(name string) string { return filepath.Join(s.configurationDir(), name) }
	options := pgbin.Options(
		"config_file="+place("postgresql.conf"), "hba_file="+place("pg_hba.conf"), "ident_file="+place("pg_ident.conf"),
		"data_directory="+s.pgdata(), "external_pid_file=",
		"listen_addresses=", "unix_socket_directories="+s.sockets, "unix_socket_permissions=0700", "unix_socket_group=",
		fmt.Sprintf("port=%d", s.port), "logging_collector=off", "log_destination=stderr", "lc_messages=C",
		"shared_buffers=16MB", "huge_pages=off", "fsync=off", "autovacuum=off",
		// What is preloaded must not begin to work: it would find its jobs nowhere, but may reach other hosts.
		"max_worker_processes=0", "max_logical_replication_workers=0",
	)
	log := filepath.Join(s.dir, "configuration.log")
	if err := os.RemoveAll(log); err != nil { // of an earlier try
		return nil, fmt.Errorf("try the source's configuration: %w", err)
	}
	startErr := s.ctl().Start(ctx, as, log, options, scratchStart)
	if startErr == nil {
		return nil, s.stop(ctx)
	}
	complaints, err = fatal(log, user)
	if s.plan.Mode == upgrade.InPlace && slices.ContainsFunc(complaints, lacksMemory) {
		return nil, nil // the source has it now, and will have stopped by then
	}
	if err != nil || len(complaints) == 0 {
		return nil, fmt.Errorf("try the source's configuration on a scratch cluster of the target version: %w", startErr)
	}
	paths := strings.NewReplacer(place("pg_hba.conf"), s.plan.Source.HBAFile, place("pg_ident.conf"), s.plan.Source.IdentFile)
	for i := range complaints {
		complaints[i] = paths.Replace(complaints[i])
	}
	return complaints, nil
}

// lacksMemory tells whether a server did not start for want of what another one may be holding
// (sysv_shmem.c, posix_sema.c, sysv_sema.c).
func lacksMemory(complaint string) bool {
	return strings.HasPrefix(complaint, "could not map anonymous shared memory") ||
		strings.HasPrefix(complaint, "could not create shared memory") || strings.HasPrefix(complaint, "could not create semaphore")
}

// fatal returns what a server that did not start gives as the reason. What it says besides may repeat
// lines of its files.
func fatal(log string, user run.User) (reasons []string, err error) {
	text, err := user.ReadFile(log)
	if err != nil {
		return nil, fmt.Errorf("read the log of a scratch cluster: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if _, reason, ok := strings.Cut(line, "FATAL:  "); ok {
			reasons = append(reasons, strings.TrimSpace(reason))
		}
	}
	return reasons, nil
}
