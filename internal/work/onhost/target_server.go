package onhost

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// preloadSetting has the libraries that a server loads when it starts.
const preloadSetting = "shared_preload_libraries"

// targetServer is what of a target's configuration pg_upgrade's own server of the target needs: some libraries
// can be loaded in no other way (loadable_libraries.txt), slots need their plugins allowed, and subscriptions room
// for their origins. What is preloaded must not begin to work, a scheduler for example.
func targetServer(conf *pgconf.Conf) []string {
	settings := []string{"max_worker_processes=0"}
	for _, name := range []string{preloadSetting, "output_plugin_libraries", "max_active_replication_origins"} {
		if value, ok := conf.Get(name); ok && strings.TrimSpace(value) != "" {
			settings = append(settings, name+"="+strings.TrimSpace(value))
		}
	}
	return settings
}

// targetServerOf reads them from the source's configuration, translated.
func (w *Worker) targetServerOf(ctx context.Context, plan upgrade.Plan, source postgres.Login) ([]string, error) {
	started, err := commandLine(ctx, source)
	if err != nil {
		return nil, err
	}
	conf, _, err := w.translateConf(ctx, plan, started)
	if err != nil {
		return nil, err
	}
	return targetServer(conf), nil
}

// targetServer is the same without libraries that the target's programs lack: they have a check of their own, and a
// server that looks for them would not start. The scratch cluster, which is down, runs for a moment to tell.
func (s *scratch) targetServer(ctx context.Context) ([]string, error) {
	settings, err := s.w.targetServerOf(ctx, s.plan, s.w.host.Login(s.plan.Source, "postgres"))
	if err != nil {
		return nil, err
	}
	for i, setting := range settings {
		list, ok := strings.CutPrefix(setting, preloadSetting+"=")
		if !ok {
			continue
		}
		login, err := s.start(ctx)
		if err != nil {
			return nil, err
		}
		err = with(ctx, login, func(conn *pgx.Conn) error {
			list, err = knownLibraries(ctx, conn, list)
			return err
		})
		if stopped := s.stop(ctx); err == nil {
			err = stopped
		}
		if err != nil {
			return nil, fmt.Errorf("see which libraries the target can preload: %w", err)
		}
		settings[i] = preloadSetting + "=" + list
	}
	return settings, nil
}
