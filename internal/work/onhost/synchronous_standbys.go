package onhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// synchronousWait is how long commits may wait at most for standbys that do not count as synchronous, or
// are not as many as synchronous_standby_names wants.
const synchronousWait = 10 * time.Second

// restoreSynchronous gives the target the source's synchronous_standby_names, which was withheld, as soon
// as every standby that was synchronous has a successor that streams now, and a commit has been seen to come
// back. Otherwise it stays empty: clients' commits would wait for ever. What the user has set meanwhile stays.
func (w *Worker) restoreSynchronous(ctx context.Context, plan upgrade.Plan) ([]upgrade.Event, error) {
	files, records, err := w.standbyRecords(plan)
	if err != nil || records.SynchronousNames == "" {
		return nil, err
	}
	tell := func(level upgrade.Level, text string, args ...any) ([]upgrade.Event, error) {
		return []upgrade.Event{w.say(ctx, level, fmt.Sprintf(text, args...))}, nil
	}
	names := records.SynchronousNames
	now, _, err := w.synchronous(ctx, plan)
	if err != nil {
		return nil, err
	}
	switch {
	case now != "" && now != names:
		return tell(upgrade.LevelInfo, "synchronous_standby_names was set on the target meanwhile, and is left at %q", now)
	case now == names && !records.SynchronousBegun:
		return tell(upgrade.LevelInfo, "synchronous_standby_names is %q on the target", now)
	}
	lacking := w.lackingSynchronous(ctx, plan, records)
	if lacking == "" {
		err = w.setSynchronous(ctx, plan, files, &records)
	} else if records.SynchronousBegun { // by an agent that died before it knew whether commits come back
		if err = w.writeSynchronous(context.WithoutCancel(ctx), plan, ""); err == nil {
			records.SynchronousBegun = false
			err = files.write(noteStandbys, records)
		}
	}
	switch unproven, ok := errors.AsType[*unprovenError](err); {
	case ok:
		lacking = unproven.Error()
	case err != nil:
		return nil, err
	}
	if lacking == "" {
		return tell(upgrade.LevelInfo, "the synchronous standbys stream from the target: synchronous_standby_names is %q again", names)
	}
	return tell(upgrade.LevelWarning,
		"synchronous_standby_names stays empty on the target (%s), so commits do not wait for standbys. When they stream: ALTER SYSTEM SET synchronous_standby_names = %s; SELECT pg_reload_conf()",
		lacking, quoteLiteral(names))
}

func quoteLiteral(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// lackingSynchronous says which synchronous standbys of the source have no successor that streams now.
func (w *Worker) lackingSynchronous(ctx context.Context, plan upgrade.Plan, records standbyRecords) string {
	var lacking []string
	count := 0
	for _, r := range records.All {
		if !r.Synchronous {
			continue
		}
		count++
		if r.Stage == standbyStreams {
			if streams, _ := w.streams(ctx, plan, r.Successor, r.Name); streams { // an error is a no
				continue
			}
		}
		lacking = append(lacking, r.Name)
	}
	switch {
	case count == 0:
		return "no standby of the source was synchronous when it was looked at"
	case len(lacking) > 0:
		return "these do not stream: " + strings.Join(lacking, ", ")
	}
	return ""
}

// unprovenError is why synchronous_standby_names was taken back.
type unprovenError struct{ reason string }

// Error tells the reason.
func (e *unprovenError) Error() string { return e.reason }

// setSynchronous sets the names, and takes them back unless commits are seen to come back. That it is about
// to is noted: the names that an agent which died in between has left are proven again, or taken back.
func (w *Worker) setSynchronous(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords) error {
	names := records.SynchronousNames
	records.SynchronousBegun = true
	if err := files.write(noteStandbys, records); err != nil {
		return err
	}
	err := w.writeSynchronous(ctx, plan, names)
	if err == nil {
		err = w.proveSynchronous(ctx, plan, names)
	}
	if err != nil {
		if taken := w.writeSynchronous(context.WithoutCancel(ctx), plan, ""); taken != nil {
			return errors.Join(fmt.Errorf("take synchronous_standby_names back: %w", taken), err)
		}
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // whoever comes next begins anew
	}
	records.SynchronousBegun = false
	return errors.Join(err, files.write(noteStandbys, records))
}

// proveSynchronous wants the names to be in effect, a standby to count as synchronous, and commits to come
// back.
func (w *Worker) proveSynchronous(ctx context.Context, plan upgrade.Plan, names string) error {
	deadline := w.now().Add(synchronousWait)
	for {
		now, count, err := w.synchronous(ctx, plan)
		if err == nil && now == names && count > 0 {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !w.now().Before(deadline) {
			return &unprovenError{fmt.Sprintf("no standby counts as synchronous with %q", names)}
		}
		_ = sleep(ctx, 50*time.Millisecond)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Commits wait only when the checkpointer has read the setting (syncrep.c, SyncRepUpdateSyncStandbysDefined).
	// It has been sent the signal by now, since a new session has the setting, and obeys it before a checkpoint.
	checkpointed := make(chan error, 1)
	go func() {
		checkpointed <- w.onTarget(ctx, plan, func(conn *pgx.Conn) error { return postgres.Checkpoint(ctx, conn) })
	}()
	for { // from the first moment on, for the clients' commits may wait as well
		if err := w.commitReturns(ctx, plan, names); err != nil {
			return err
		}
		select {
		case err := <-checkpointed:
			if err != nil {
				return err
			}
			return w.commitReturns(ctx, plan, names)
		default:
			_ = sleep(ctx, 100*time.Millisecond)
		}
	}
}

// commitReturns wants a commit of ours, which waits as clients' do, to come back in time.
func (w *Worker) commitReturns(ctx context.Context, plan upgrade.Plan, names string) error {
	within, cancel := context.WithTimeout(ctx, synchronousWait)
	defer cancel()
	err := w.onTarget(within, plan, func(conn *pgx.Conn) error { return postgres.CommitSynchronously(within, conn) })
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return &unprovenError{fmt.Sprintf("with %q a commit did not come back within %s", names, synchronousWait)}
	}
	return err
}

// synchronous reads the names that are in effect, and how many standbys count as synchronous.
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
