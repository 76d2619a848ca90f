package onhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// scratch is an empty cluster of the target version, made as the target will be: pg_upgrade --check
// wants one, and prechecks ask it what the target can do. It lies where the target will, on the
// same file system, in a directory of its own.
type scratch struct {
	w       *Worker
	plan    upgrade.Plan
	dir     string // removed with all that is in it
	sockets string // private, with a short path
	port    int
}

// scratchStart is how long an empty cluster may take to start or to stop.
const scratchStart = time.Minute

func (s *scratch) pgdata() string { return filepath.Join(s.dir, "data") }

// makeScratch makes the directory and the cluster in it. What it returns is to be removed even
// after an error.
func (w *Worker) makeScratch(ctx context.Context, plan upgrade.Plan) (*scratch, error) {
	// Discovery passes over clusters below a directory whose name ends so.
	name := fmt.Sprintf(".precheck-%d.pgleap", plan.Number)
	s := &scratch{w: w, plan: plan, dir: filepath.Join(existingDir(filepath.Dir(plan.Target.Pgdata)), name)}
	if err := s.removeLeftover(ctx); err != nil {
		return s, err
	}
	as, err := w.caller(plan, "initdb")
	if err != nil {
		return s, err
	}
	if err := makeDir(s.dir, as.As); err != nil {
		return s, err
	}
	if s.sockets, err = privateSocketDir(as.As); err != nil {
		return s, err
	}
	if err := s.noteSockets(); err != nil {
		return s, err
	}
	if s.port, err = freePort(s.sockets); err != nil {
		return s, err
	}
	initdb, err := s.initdb(ctx)
	if err != nil {
		return s, err
	}
	return s, initdb.Run(ctx, as)
}

// initdb takes what pg_upgrade wants alike from the source. From 16 on pg_upgrade gives the new
// cluster the old one's locale by itself, so the scratch cluster can be made where that is
// missing, and the precheck tells which one it is.
func (s *scratch) initdb(ctx context.Context) (pgbin.Initdb, error) {
	initdb := pgbin.Initdb{
		Bindir: s.plan.Target.Bindir, Version: s.plan.Target.Version, Pgdata: s.pgdata(), Superuser: s.plan.Source.Superuser,
		Encoding: "UTF8", LcCollate: "C", LcCtype: "C", NoSync: true,
	}
	err := with(ctx, s.w.host.Login(s.plan.Source, "postgres"), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return err
		}
		segment, err := settings.Bytes("wal_segment_size")
		if err != nil {
			return err
		}
		initdb.WALSegmentSizeMB, initdb.DataChecksums = int(segment>>20), settings.Text("data_checksums") == "on"
		if s.plan.Target.Version.Major() >= 16 {
			return nil
		}
		databases, err := postgres.Databases(ctx, conn)
		for _, database := range databases {
			if database.Name == "template0" {
				initdb = localeOf(initdb, database)
			}
		}
		return err
	})
	return initdb, err
}

// pgUpgradeCheck runs the target's pg_upgrade --check against the running source. It connects to the
// source as its owner and bootstrap superuser, through the socket that postmaster.pid names.
func (s *scratch) pgUpgradeCheck(ctx context.Context) (precheck.PgUpgrade, error) {
	as, err := s.w.caller(s.plan, "pg_upgrade_check")
	if err != nil {
		return precheck.PgUpgrade{}, err
	}
	if as.Pidfile, err = s.pidfile(); err != nil {
		return precheck.PgUpgrade{}, err
	}
	settings, err := s.targetServer(ctx)
	if err != nil {
		return precheck.PgUpgrade{}, err
	}
	// The clone has no slots and no subscriptions, but the source may: there must be room for them.
	settings = append(settings, "wal_level=logical", "max_replication_slots=1000", "max_wal_senders=10")
	result, err := pgbin.PgUpgrade{
		OldMajor: s.plan.Source.Version.Major(), OldBindir: s.plan.Source.Bindir, NewBindir: s.plan.Target.Bindir,
		OldPgdata: s.plan.Source.Pgdata, NewPgdata: s.pgdata(), OldPort: s.plan.Source.Port, NewPort: s.port,
		SocketDir: s.sockets, Superuser: s.plan.Source.Superuser,
		// Not link, though the upgrade will link: here it would be tried with the source's own files,
		// which may be on another file system.
		Transfer:   pgbin.TransferCopy,
		NewOptions: pgbin.Options(settings...),
		Dir:        s.dir,
	}.Check(ctx, as)
	return whatPgUpgradeSaid(result, err)
}

// whatPgUpgradeSaid tells a refusal from a check that could not be carried out.
func whatPgUpgradeSaid(result pgbin.UpgradeResult, err error) (precheck.PgUpgrade, error) {
	if err == nil {
		said := precheck.PgUpgrade{Compatible: true}
		for _, step := range result.Warnings {
			said.Warnings = append(said.Warnings, complaints(step, "", result.Files)...)
		}
		return said, nil
	}
	failure, ok := errors.AsType[*pgbin.Failure](err)
	if !ok || failure.Message == "" && failure.Check == "" {
		return precheck.PgUpgrade{}, err
	}
	return precheck.PgUpgrade{Failures: complaints(failure.Check, failure.Message, failure.Files)}, nil
}

// complaints are one for each report file, or one without.
func complaints(step, text string, files map[string][]pgbin.Line) []precheck.PgUpgradeComplaint {
	var all []precheck.PgUpgradeComplaint
	for _, file := range slices.Sorted(maps.Keys(files)) {
		complaint := precheck.PgUpgradeComplaint{Step: step, Text: text, File: file}
		if len(files) > 1 { // the status line is that of the last one
			complaint.Step = strings.ReplaceAll(strings.TrimSuffix(file, ".txt"), "_", " ")
		}
		for _, line := range files[file] {
			complaint.Objects = append(complaint.Objects, precheck.PgUpgradeObject{
				Database: line.Database, Text: line.Object, Names: line.Names, Note: line.Note,
			})
		}
		all = append(all, complaint)
	}
	if len(all) == 0 {
		all = append(all, precheck.PgUpgradeComplaint{Step: step, Text: text})
	}
	return all
}

// keepPristine keeps a copy of the cluster as initdb made it, for whoever needs another one: that is much faster.
func (s *scratch) keepPristine(ctx context.Context) error {
	as, err := s.w.caller(s.plan, "initdb")
	if err != nil {
		return err
	}
	return copyTree(ctx, as, s.pgdata(), s.pristine())
}

func (s *scratch) pristine() string { return filepath.Join(s.dir, "pristine") }

// copyTree copies the directory of a cluster that is down; the copy must not exist.
func copyTree(ctx context.Context, as pgbin.Caller, from, to string) error {
	_, err := as.Runner.Run(ctx, run.Command{
		Path: "/bin/cp", Args: []string{"-a", "-T", "--reflink=auto", from, to}, As: as.As, Pidfile: as.Pidfile, Nice: as.Nice,
	})
	if err != nil {
		return fmt.Errorf("copy a scratch cluster: %w", err)
	}
	return nil
}

// start starts the cluster for its owner alone and returns the login to it.
func (s *scratch) start(ctx context.Context) (postgres.Login, error) {
	as, err := s.w.caller(s.plan, "pg_ctl")
	if err != nil {
		return postgres.Login{}, err
	}
	options := pgbin.Options(
		"listen_addresses=", "unix_socket_directories="+s.sockets, "unix_socket_permissions=0700", fmt.Sprintf("port=%d", s.port),
		"fsync=off", "autovacuum=off", "max_connections=50", "shared_buffers=16MB",
	)
	if err := s.ctl().Start(ctx, as, filepath.Join(s.dir, "log"), options, scratchStart); err != nil {
		return postgres.Login{}, fmt.Errorf("start a scratch cluster of the target version: %w", err)
	}
	cluster := upgrade.Cluster{SocketDir: s.sockets, Port: s.port, Owner: s.plan.Source.Owner, Superuser: s.plan.Source.Superuser}
	return s.w.host.Login(cluster, "postgres"), nil
}

// stop stops what start has started.
func (s *scratch) stop(ctx context.Context) error {
	as, err := s.w.caller(s.plan, "pg_ctl")
	if err != nil {
		return err
	}
	return s.ctl().Stop(ctx, as, pgbin.StopFast, scratchStart)
}

func (s *scratch) ctl() pgbin.PgCtl {
	return pgbin.PgCtl{Bindir: s.plan.Target.Bindir, Pgdata: s.pgdata()}
}

func (s *scratch) pidfile() (string, error) {
	files, err := s.w.files(s.plan)
	return files.pidfile("pg_upgrade_check"), err
}

// removeLeftover removes what an attempt that was killed left: a pg_upgrade, its server, the files.
func (s *scratch) removeLeftover(ctx context.Context) error {
	pidfile, err := s.pidfile()
	if err != nil {
		return err
	}
	if err := run.EndLeftover(ctx, pidfile); err != nil {
		return err
	}
	if err := s.removeSockets(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	user, err := owner(s.plan)
	if err != nil {
		return err
	}
	if err := checkOwned(s.dir, user); err != nil {
		return err
	}
	return s.discard(ctx)
}

// noteScratchSockets has the directory of the scratch clusters' sockets.
const noteScratchSockets note = "scratch-sockets.json"

// noteSockets remembers the directory of the sockets, which does not lie beside the cluster.
func (s *scratch) noteSockets() error {
	files, err := s.w.files(s.plan)
	if err != nil {
		return err
	}
	return files.write(noteScratchSockets, s.sockets)
}

// removeSockets removes the directory that was noted, and the note.
func (s *scratch) removeSockets() error {
	files, err := s.w.files(s.plan)
	if err != nil {
		return err
	}
	var dir string
	if found, err := files.read(noteScratchSockets, &dir); !found || err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the sockets of a scratch cluster: %w", err)
	}
	return files.remove(noteScratchSockets)
}

// discard stops the cluster, if it runs, and removes its directory.
func (s *scratch) discard(ctx context.Context) error {
	clusters := s.rehearsalClusters()
	clusters[s.pgdata()] = s.plan.Target.Bindir
	for pgdata, bindir := range clusters {
		if err := s.w.stopLeftover(ctx, s.plan, bindir, pgdata, pgbin.StopImmediate); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the scratch cluster: %w", err)
	}
	return nil
}

// remove ends the scratch cluster's life. What cannot be removed is told in the log: it is in the
// way of nothing.
func (s *scratch) remove(ctx context.Context) {
	err := s.discard(ctx)
	if s.sockets != "" {
		err = errors.Join(err, os.RemoveAll(s.sockets), s.removeSockets())
	}
	if err != nil {
		s.w.log.WarnContext(ctx, "remove the scratch cluster of a precheck", "dir", s.dir, "error", err)
	}
}
