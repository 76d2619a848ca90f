package onhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// synchronousWait is how long commits may wait at most for standbys that do not count as synchronous,
// though they stream under their old names.
const synchronousWait = 10 * time.Second

// restoreSynchronous gives the target the source's synchronous_standby_names, which was withheld, as soon
// as every standby that was synchronous has a successor that streams. Otherwise it stays empty: clients'
// commits would wait for ever.
func (w *Worker) restoreSynchronous(ctx context.Context, plan upgrade.Plan) ([]upgrade.Event, error) {
	files, err := w.files(plan)
	if err != nil {
		return nil, err
	}
	var records standbyRecords
	if _, err := files.read(noteStandbys, &records); err != nil || records.SynchronousNames == "" {
		return nil, err
	}
	names := records.SynchronousNames
	lacking := lackingSynchronous(records)
	if lacking == "" {
		err := w.setSynchronous(ctx, plan, names)
		if err == nil {
			return []upgrade.Event{w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("the synchronous standbys stream from the target: synchronous_standby_names is %q again", names))}, nil
		}
		lacking = err.Error()
	}
	return []upgrade.Event{w.say(ctx, upgrade.LevelWarning, fmt.Sprintf(
		"synchronous_standby_names stays empty on the target (%s), so commits do not wait for standbys. When they stream: ALTER SYSTEM SET synchronous_standby_names = %s; SELECT pg_reload_conf()",
		lacking, quoteLiteral(names)))}, nil
}

func quoteLiteral(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// lackingSynchronous says which synchronous standbys of the source have no successor.
func lackingSynchronous(records standbyRecords) string {
	var lacking []string
	count := 0
	for _, r := range records.All {
		if !r.Synchronous {
			continue
		}
		if count++; r.Stage != standbyStreams {
			lacking = append(lacking, r.Name)
		}
	}
	switch {
	case count == 0:
		return "no standby of the source was synchronous when it was looked at"
	case len(lacking) > 0:
		return "these do not stream: " + strings.Join(lacking, ", ")
	}
	return ""
}

// setSynchronous sets the names, and takes them back if no standby counts as synchronous then. What the
// user has set meanwhile stays.
func (w *Worker) setSynchronous(ctx context.Context, plan upgrade.Plan, names string) error {
	now, count, err := w.synchronous(ctx, plan)
	if err != nil || now != "" && now != names || now == names && count > 0 {
		return err
	}
	if err := w.writeSynchronous(ctx, plan, names); err != nil {
		return err
	}
	deadline := w.now().Add(synchronousWait)
	for w.now().Before(deadline) {
		if now, count, err = w.synchronous(ctx, plan); err == nil && now == names && count > 0 {
			return nil
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	if err := w.writeSynchronous(context.WithoutCancel(ctx), plan, ""); err != nil {
		return err
	}
	return fmt.Errorf("no standby counts as synchronous with %q", names)
}

func (w *Worker) synchronous(ctx context.Context, plan upgrade.Plan) (names string, count int, err error) {
	err = w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return err
		}
		names = settings.Text("synchronous_standby_names")
		count, err = postgres.SynchronousStandbys(ctx, conn)
		return err
	})
	return names, count, err
}

func (w *Worker) writeSynchronous(ctx context.Context, plan upgrade.Plan, names string) error {
	user, err := owner(plan)
	if err != nil {
		return err
	}
	text, err := user.ReadFile(plan.Target.ConfigFile)
	if err != nil {
		return fmt.Errorf("read the target's configuration: %w", err)
	}
	conf, err := pgconf.ParseConf(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", plan.Target.ConfigFile, err)
	}
	if err := conf.Set("synchronous_standby_names", names); err != nil {
		return fmt.Errorf("set synchronous_standby_names: %w", err)
	}
	if err := writeOwned(plan.Target.ConfigFile, conf.Bytes(), user, 0o600); err != nil {
		return err
	}
	return w.host.Reload(ctx, plan.Target)
}
