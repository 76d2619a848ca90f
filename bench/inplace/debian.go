package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/test/harness"
)

// confined is set in the environment of the process that runs in a mount namespace of its own.
const confined = "PGLEAP_BENCH_CONFINED"

// upgradecluster is the contestant of Debian's postgresql-common.
const upgradecluster = "/usr/bin/pg_upgradecluster"

// noDebian tells why pg_upgradecluster does not take part; it does, if that is empty.
func noDebian() string {
	if os.Geteuid() != 0 {
		return "it needs root"
	}
	if _, err := os.Stat(upgradecluster); err != nil {
		return "it is not installed (package postgresql-common)"
	}
	return ""
}

// confine runs the program again where it may make clusters without this machine's own noticing: in a
// mount namespace that it has for itself.
func confine(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	again := exec.CommandContext(ctx, program, os.Args[1:]...)
	again.Stdout, again.Stderr, again.Env = os.Stdout, os.Stderr, append(os.Environ(), confined+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	again.Cancel = func() error { return again.Process.Signal(os.Interrupt) }
	err = again.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode()) // it has said why
	}
	return err
}

// beside is where the versions are kept at hand that are about to be covered: no directory that anybody empties.
const beside = "/mnt"

// coverDebian puts empty directories over those of postgresql-common, and both versions where it looks for
// them, read-only. The mounts end with the process.
func coverDebian(majors ...int) error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := cover(beside); err != nil {
		return err
	}
	const versions = "/usr/lib/postgresql"
	trees := map[int]string{}
	for _, major := range majors {
		bindir, err := harness.FindBindir(major)
		if err == nil {
			bindir, err = filepath.EvalSymlinks(bindir)
		}
		if err == nil {
			trees[major] = filepath.Dir(bindir)
			if filepath.Dir(trees[major]) == versions {
				trees[major], err = show(trees[major])
			}
		}
		if err != nil {
			return fmt.Errorf("keep version %d at hand: %w", major, err)
		}
	}
	for _, dir := range []string{versions, "/etc/postgresql", "/var/lib/postgresql", "/var/log/postgresql", "/run/postgresql"} {
		if err := cover(dir); err != nil {
			return err
		}
	}
	for major, tree := range trees {
		if err := os.Symlink(tree, filepath.Join(versions, strconv.Itoa(major))); err != nil {
			return err
		}
	}
	return nil
}

// cover mounts an empty directory over one.
func cover(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = syscall.Mount("none", dir, "tmpfs", 0, "mode=1777")
	}
	if err != nil {
		return fmt.Errorf("cover %s: %w", dir, err)
	}
	return nil
}

// show makes a directory seen, and not written to, beside, and returns where.
func show(dir string) (string, error) {
	shown := filepath.Join(beside, filepath.Base(dir))
	err := os.Mkdir(shown, 0o755)
	if err == nil {
		err = syscall.Mount(dir, shown, "", syscall.MS_BIND, "")
	}
	if err == nil {
		err = syscall.Mount("", shown, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	return shown, err
}

// cluster is the name of the one that pg_upgradecluster upgrades.
const cluster = "bench"

// debian is an upgrade by pg_upgradecluster, which makes the target itself.
func (s *stage) debian(ctx context.Context) (took time.Duration, err error) {
	if err := s.copyBase(ctx); err != nil {
		return 0, err
	}
	from, to := strconv.Itoa(s.options.from), strconv.Itoa(s.options.to)
	defer func() {
		for _, version := range []string{from, to} {
			err = errors.Join(err, s.postgresqlCommon(context.WithoutCancel(ctx), "pg_dropcluster", "--stop", version, cluster))
		}
	}()
	err = s.postgresqlCommon(ctx, "pg_createcluster", "--datadir="+s.source(), "--port="+strconv.Itoa(s.port), from, cluster)
	if err == nil {
		err = s.postgresqlCommon(ctx, "pg_ctlcluster", from, cluster, "start")
	}
	if err != nil {
		return 0, err
	}
	return s.measure(ctx, func(ctx context.Context) error {
		return s.postgresqlCommon(ctx, filepath.Base(upgradecluster), "--method=upgrade", "--link", "--jobs="+strconv.Itoa(s.jobs), "-v", to, from, cluster, s.target())
	})
}

func (s *stage) postgresqlCommon(ctx context.Context, program string, args ...string) error {
	_, err := s.runner.Run(ctx, run.Command{Path: filepath.Join(filepath.Dir(upgradecluster), program), Args: args})
	return err
}

// contestant is one that upgrades a copy of the source, and the outages that it has had.
type contestant struct {
	name    string
	upgrade func(context.Context) (time.Duration, error)
	outages []time.Duration
}

func (c contestant) median() time.Duration {
	return harness.Median(c.outages)
}
