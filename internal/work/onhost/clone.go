package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// cloneStart bounds a start of the clone until it has read its own WAL; what it replays then has no bound.
const cloneStart = 10 * time.Minute

// cloneClose is how near the source the clone must be before the hand-over begins, in bytes.
const cloneClose = 16 << 20

// cloneApplication is the clone's name in pg_stat_replication.
const cloneApplication = "pgleap_clone"

// StreamClone lets the clone stream from the source until it is close behind, and stops it. Only
// then are logical slots made: they hold back vacuum on the source, a base backup does not.
func (w *Worker) StreamClone(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil || files.has(noteHandover) {
		return step.Done{}, err // the hand-over has been decided: the clone must not pass it
	}
	user, err := owner(plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := writeOwned(standbySignal(plan), nil, user, 0o600); err != nil {
		return step.Done{}, err
	}
	if err := w.startClone(ctx, plan, nil); err != nil {
		return step.Done{}, err
	}
	err = withinCap(ctx, plan, func(ctx context.Context) error {
		return with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error { return w.awaitStreaming(ctx, plan, conn) })
	})
	if err != nil {
		return step.Done{}, err
	}
	return w.info(ctx, "the clone has caught up with the source's WAL"), w.stopClone(ctx, plan)
}

func (w *Worker) awaitStreaming(ctx context.Context, plan upgrade.Plan, conn *pgx.Conn) error {
	var first int64
	for {
		behind, streaming, err := postgres.StandbyLag(ctx, conn, cloneApplication)
		if err != nil {
			return err
		}
		first = max(first, behind)
		progressOf(ctx).count("the clone replays the source's WAL", first-behind, first, "bytes")
		if streaming && behind < cloneClose {
			return nil
		}
		if _, running := w.host.Running(w.cloneCluster(plan)); !running {
			return fmt.Errorf("the clone stopped by itself: %s", pgbin.ServerLog(plan.ClonePgdata(), cloneLog(plan), 0))
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// cloneCluster is the clone as a cluster.
func (w *Worker) cloneCluster(plan upgrade.Plan) upgrade.Cluster {
	clone := plan.Source
	clone.Pgdata, clone.Manager, clone.Name, clone.Unit = plan.ClonePgdata(), upgrade.ManagerPgCtl, "", ""
	clone.ConfigFile = filepath.Join(clone.Pgdata, "postgresql.conf")
	clone.HBAFile = filepath.Join(clone.Pgdata, "pg_hba.conf")
	clone.IdentFile = filepath.Join(clone.Pgdata, "pg_ident.conf")
	return clone
}

// standbySignal makes the clone a standby for as long as it exists.
func standbySignal(plan upgrade.Plan) string {
	return filepath.Join(plan.ClonePgdata(), "standby.signal")
}

func cloneLog(plan upgrade.Plan) string { return filepath.Join(plan.Workdir(), "clone.log") }

// startClone configures the clone as a standby, or as one that ends at recovery's target, and starts it.
func (w *Worker) startClone(ctx context.Context, plan upgrade.Plan, target map[string]string) error {
	if err := w.stopClone(ctx, plan); err != nil {
		return err
	}
	sockets, err := w.makeCloneSockets(plan)
	if err != nil {
		return err
	}
	port, err := freePort(sockets)
	if err != nil {
		return err
	}
	if err := w.configureClone(ctx, plan, upgrade.Address{Host: sockets, Port: port}, target); err != nil {
		return err
	}
	as, err := w.caller(plan, "clone")
	if err != nil {
		return err
	}
	progressOf(ctx).text("starting the clone")
	return pgbin.PgCtl{Bindir: plan.Source.Bindir, Pgdata: plan.ClonePgdata()}.
		Start(ctx, as, cloneLog(plan), "", cloneStart)
}

func (w *Worker) stopClone(ctx context.Context, plan upgrade.Plan) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	if _, running := w.host.Running(w.cloneCluster(plan)); !running {
		return removeCloneSockets(files)
	}
	as, err := w.caller(plan, "clone")
	if err != nil {
		return err
	}
	err = pgbin.PgCtl{Bindir: plan.Source.Bindir, Pgdata: plan.ClonePgdata()}.
		Stop(context.WithoutCancel(ctx), as, pgbin.StopFast, cloneStart)
	if err != nil {
		return err
	}
	return removeCloneSockets(files)
}

// makeCloneSockets makes the directory of the clone's socket: the source may have none, and in one of
// the source's somebody could take the clone for it.
func (w *Worker) makeCloneSockets(plan upgrade.Plan) (string, error) {
	user, err := owner(plan)
	if err != nil {
		return "", err
	}
	files, err := w.files(plan)
	if err != nil {
		return "", err
	}
	dir, err := privateSocketDir(user)
	if err != nil {
		return "", err
	}
	return dir, files.write(noteCloneSockets, dir)
}

func removeCloneSockets(files files) error {
	var dir string
	if found, err := files.read(noteCloneSockets, &dir); !found || err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the directory of the clone's socket: %w", err)
	}
	return files.remove(noteCloneSockets)
}

// configureClone gives the clone a configuration of its own: nobody but its owner reaches it, it
// archives nothing, runs no background worker of an extension and no subscription of the source's.
func (w *Worker) configureClone(ctx context.Context, plan upgrade.Plan, at upgrade.Address, target map[string]string) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	settings := map[string]string{
		"port": strconv.Itoa(at.Port), "listen_addresses": "", "unix_socket_permissions": "0700",
		"unix_socket_directories": at.Host, "hot_standby": "off", "archive_mode": "off",
		"max_worker_processes": "0", "max_logical_replication_workers": "0", "autovacuum": "off",
		"wal_level": "replica", "logging_collector": "off", "log_min_messages": "log", "max_wal_senders": "5",
		"primary_conninfo":  login(plan, plan.Source).ConnInfo(cloneApplication),
		"primary_slot_name": upgrade.BaseBackupSlot, "recovery_target_timeline": "latest",
	}
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		source, err := postgres.ReadSettings(ctx, conn)
		for _, name := range []string{
			"shared_preload_libraries", "dynamic_library_path",
			"max_connections", "max_prepared_transactions", "max_locks_per_transaction",
		} {
			settings[name] = source.Text(name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, value := range target {
		settings[name] = value
	}
	return writeClone(plan, user, settings)
}

func writeClone(plan upgrade.Plan, user run.User, settings map[string]string) error {
	conf, err := pgconf.ParseConf(nil)
	if err != nil {
		return err
	}
	for name, value := range settings {
		if err := conf.Set(name, value); err != nil {
			return fmt.Errorf("configure the clone: %w", err)
		}
	}
	hba := "local all all trust\nlocal replication all reject\nhost all all 127.0.0.1/32 reject\n"
	for name, content := range map[string]string{
		"postgresql.conf": conf.String(), "postgresql.auto.conf": "", "pg_hba.conf": hba, "pg_ident.conf": "",
	} {
		if err := writeOwned(filepath.Join(plan.ClonePgdata(), name), []byte(content), user, 0o600); err != nil {
			return err
		}
	}
	return nil
}
