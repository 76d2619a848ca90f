package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// configureStandby gives the copy of the target the old standby's configuration, in the words of the new
// version, in place of the target's own.
func (w *Worker) configureStandby(ctx context.Context, plan, own upgrade.Plan, user run.User, r *standbyRecord) error {
	if err := w.registerTarget(ctx, own); err != nil {
		return err
	}
	w.carryDebian(ctx, own)
	conf, err := w.standbyConf(ctx, plan, own, user, r)
	if err != nil {
		return err
	}
	mode, _, err := confMode(own, user)
	if err != nil {
		return err
	}
	if conninfo, _ := conf.Get("primary_conninfo"); strings.Contains(conninfo, "password") {
		mode &= 0o600
	}
	if err := writeWithMode(own.Target.ConfigFile, textFor(own, conf), user, mode); err != nil {
		return err
	}
	if _, err := carryAccess(own, user, own.Target.HBAFile, own.Target.IdentFile); err != nil {
		return err
	}
	if err := carryFiles(own, conf, user); err != nil {
		return err
	}
	for _, name := range []string{"standby.signal", "postgresql.auto.conf"} { // the latter had the target's settings
		if err := writeOwned(filepath.Join(own.Target.Pgdata, name), nil, user, 0o600); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(own.Target.Pgdata, "pg_ctl.log")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the target's log from its copy: %w", err)
	}
	return nil
}

// standbyConf is the new standby's postgresql.conf.
func (w *Worker) standbyConf(ctx context.Context, plan, own upgrade.Plan, user run.User, r *standbyRecord) (*pgconf.Conf, error) {
	// It cannot be asked now: a fence of the source's bars those who log in to its standbys, too.
	conf, _, err := w.translateConf(ctx, own, r.CommandLine)
	if err != nil {
		return nil, err
	}
	if _, err := withholdArchiving(conf); err != nil { // if it is promoted some day
		return nil, err
	}
	conninfo, err := conninfoToTarget(plan, r, user)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"primary_conninfo": conninfo.String()}
	if r.Slot != "" {
		settings["primary_slot_name"] = r.Slot
	}
	least, err := w.leastForStandby(ctx, plan, conf)
	if err != nil {
		return nil, err
	}
	for name, value := range least {
		settings[name] = value
	}
	for name, value := range settings {
		if err := conf.Set(name, value); err != nil {
			return nil, fmt.Errorf("set %s of standby %s: %w", name, r.Name, err)
		}
	}
	return conf, nil
}

// leastForStandby are the settings of which a standby must not have less than its primary (xlog.c,
// CheckRequiredParameterValues), as far as this one would.
func (w *Worker) leastForStandby(ctx context.Context, plan upgrade.Plan, conf *pgconf.Conf) (map[string]string, error) {
	least := map[string]string{}
	err := w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range []string{
			"max_connections", "max_prepared_transactions", "max_locks_per_transaction", "max_wal_senders", "max_worker_processes",
		} {
			primary, err := settings.Int(name)
			if err != nil {
				return err
			}
			text, ok := conf.Get(name)
			has, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if !ok || err != nil || has < primary {
				least[name] = strconv.FormatInt(primary, 10)
			}
		}
		return nil
	})
	return least, err
}
