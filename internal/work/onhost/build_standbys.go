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
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// How often a standby is tried to be made, the time in between, and how long one may take from its start
// until it streams.
const (
	standbyAttempts = 3
	standbyRetry    = 5 * time.Second
	standbyCatchUp  = 10 * time.Minute
)

// BuildStandbys makes a successor of the target's version for every standby of the source that is on this
// host: copied from the running target, configured as the old one, streaming. It goes on where an earlier
// call was cut short. One that cannot be made is told, with what to do; it is an error only if Required.
func (w *Worker) BuildStandbys(ctx context.Context, args step.StandbysArgs) (step.Done, error) {
	plan := args.Plan
	if !args.Serving { // the source serves: what it has now counts
		if err := w.surveyStandbys(ctx, plan); err != nil {
			return step.Done{}, err
		}
		return w.buildWhileFollowing(ctx, args)
	}
	done, err := w.buildStandbys(ctx, plan, standbyAttempts, args.Required)
	if err != nil {
		return done, err
	}
	said, err := w.restoreSynchronous(ctx, plan)
	done.Events = append(done.Events, said...)
	return done, errors.Join(err, w.dropStandbySlots(ctx, plan))
}

// buildStandbys makes the successors of all standbys that were found, each in so many attempts.
func (w *Worker) buildStandbys(ctx context.Context, plan upgrade.Plan, attempts int, required bool) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	var records standbyRecords
	if found, err := files.read(noteStandbys, &records); err != nil || !found {
		return step.Done{}, err
	}
	var done step.Done
	var missing []string
	for i := range records.All {
		event, err := w.buildOrTell(ctx, plan, files, &records, i, attempts)
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		if err != nil {
			missing = append(missing, err.Error())
		}
		done.Events = append(done.Events, event)
	}
	if len(missing) > 0 && required {
		return done, fmt.Errorf("the target lacks standbys, and the switchover was to wait for them: %s", strings.Join(missing, "; "))
	}
	return done, nil
}

// buildOrTell makes one successor, or says how the user can.
func (w *Worker) buildOrTell(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, i, attempts int) (upgrade.Event, error) {
	r := &records.All[i]
	if r.Stage == standbyStreams {
		return w.stillStreams(ctx, plan, r), nil
	}
	var err error
	if r.Problem != "" {
		if isMissed(plan, r.Standby) {
			err = fmt.Errorf("standby %s: %s", r.Name, r.Problem)
		}
		return w.say(ctx, upgrade.LevelWarning, byHand(plan, r.Standby)), err
	}
	for attempt := 1; ; attempt++ {
		given := r.GivenUp
		if err = w.buildStandby(ctx, plan, files, records, i); err == nil {
			if given != "" {
				return w.say(ctx, upgrade.LevelWarning, describeMade(r)+"; "+given), nil
			}
			return w.say(ctx, upgrade.LevelInfo, describeMade(r)), nil
		}
		if ctx.Err() != nil {
			return upgrade.Event{}, ctx.Err() // whoever comes next goes on
		}
		if dropErr := w.dropStandbySlot(ctx, plan, r); dropErr == nil {
			err = errors.Join(err, w.discardStandby(ctx, plan, files, records, i))
		} else { // the note keeps that there is a slot
			err = errors.Join(err, dropErr)
		}
		_, refused := errors.AsType[*upgrade.Refused](err)
		if refused || attempt == attempts || sleep(ctx, standbyRetry) != nil {
			break
		}
		w.log.WarnContext(ctx, "a standby could not be made, which is tried again", "task", plan.Number, "standby", r.Name, "error", err)
	}
	failed := r.Standby
	failed.Problem = err.Error()
	return w.say(ctx, upgrade.LevelError, byHand(plan, failed)), fmt.Errorf("standby %s: %w", r.Name, err)
}

func describeMade(r *standbyRecord) string {
	text := fmt.Sprintf("standby %s is made anew and streams from the target: %s; the old one, %s, is as it was", r.Name, r.Successor, r.Cluster)
	if r.Cluster.Manager == upgrade.ManagerSystemd && r.Successor.Manager != upgrade.ManagerSystemd {
		text += "; nothing starts the new one with the system yet: make a unit for it, as " + r.Cluster.Unit
	}
	if walOfOld, err := elsewhere(r.Cluster.Pgdata); err == nil && walOfOld != "" && r.WAL == "" {
		text += fmt.Sprintf("; its WAL is in its data directory, since beside that of the old one, in %s, there was no room or no free name", walOfOld)
	}
	return text
}

// stillStreams tells of a standby that was made before. It is its user's by now, who may have stopped it.
func (w *Worker) stillStreams(ctx context.Context, plan upgrade.Plan, r *standbyRecord) upgrade.Event {
	if ok, err := w.streams(ctx, plan, r.Successor, r.Name); !ok {
		text := fmt.Sprintf("standby %s of the target does not stream now: %s; look at its log", r.Name, r.Successor)
		if err != nil {
			text += " (" + err.Error() + ")"
		}
		return w.say(ctx, upgrade.LevelWarning, text)
	}
	return w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("standby %s of the target: %s", r.Name, r.Successor))
}

// buildStandby brings one successor to the point where it streams. The note says before each stage what
// may be there.
func (w *Worker) buildStandby(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, i int) error {
	r := &records.All[i]
	user, err := owner(plan)
	if err != nil {
		return err
	}
	if r.Stage == standbyFound {
		if err := w.placeStandby(ctx, plan, user, r); err != nil {
			return err
		}
		r.Stage = standbyBegun
		if err := files.write(noteStandbys, records); err != nil {
			return err
		}
	}
	own := successorPlan(plan, r)
	if r.Stage == standbyBegun {
		if err := w.makeStandbySlot(ctx, plan, files, records, r); err != nil {
			return err
		}
		if err := w.copyStandby(ctx, plan, files, records, r); err != nil {
			return err
		}
		r.Stage = standbyCopied
		if err := files.write(noteStandbys, records); err != nil {
			return err
		}
	}
	if err := w.startStandby(ctx, plan, own, user, r); err != nil {
		return err
	}
	if r.Slot == "" {
		if err := w.onTarget(ctx, plan, func(conn *pgx.Conn) error { return postgres.DropSlot(ctx, conn, slotOf(r)) }); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(own.Workdir()); err != nil {
		return fmt.Errorf("remove the directory of the making of a standby: %w", err)
	}
	r.Stage, r.GivenUp = standbyStreams, ""
	return files.write(noteStandbys, records)
}

// successorPlan is the upgrade of a standby as if it were one of its own: all that carries configuration
// over from a source to a target does so from the old standby to the new one.
func successorPlan(plan upgrade.Plan, r *standbyRecord) upgrade.Plan {
	plan.Source, plan.Target, plan.Reversed = *r.Cluster, r.Successor, false
	return plan
}

// slotOf is the slot on the target from which the successor streams, or which keeps WAL for it until it
// does.
func slotOf(r *standbyRecord) string {
	if r.Slot != "" {
		return r.Slot
	}
	return "pgleap_standby_" + strconv.Itoa(r.Successor.Port)
}

// onTarget does something in a session of the target's superuser: pgleap's role comes and goes.
func (w *Worker) onTarget(ctx context.Context, plan upgrade.Plan, do func(*pgx.Conn) error) error {
	return with(ctx, quiet(w.host.Login(plan.Target, "postgres")), do)
}

// placeStandby decides where the successor goes, by the same custom as the target.
func (w *Worker) placeStandby(ctx context.Context, plan upgrade.Plan, user run.User, r *standbyRecord) (err error) {
	r.Successor, err = w.host.ChooseTarget(ctx, step.ChooseTargetArgs{Source: *r.Cluster, Major: plan.Target.Version.Major()})
	if err != nil {
		return err
	}
	_, err = os.Lstat(r.Successor.Pgdata)
	r.MadeDir = errors.Is(err, fs.ErrNotExist)
	r.Parents, err = makeParents(r.Successor.Pgdata, user)
	return err
}

// copyStandby takes a base backup of the target, from its beginning. It logs in as the old standby does,
// which shows that the new one will get in.
func (w *Worker) copyStandby(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, r *standbyRecord) error {
	own := successorPlan(plan, r)
	if err := w.clearStandby(ctx, plan, files, records, r); err != nil {
		return err
	}
	as, err := w.caller(plan, "pg_basebackup_standby")
	if err != nil {
		return err
	}
	as.Pidfile = files.pidfile("standby")
	if err := makeDir(own.Workdir(), as.As); err != nil {
		return err
	}
	service := filepath.Join(own.Workdir(), "service")
	conninfo, err := conninfoToTarget(plan, r, as.As)
	if err != nil {
		return err
	}
	conninfo.Remove("dbname")
	conninfo.Set("application_name", "pgleap_standby") // nobody's commits wait for it
	text, err := conninfo.Service(pgbin.ServiceName)
	if err != nil {
		return err
	}
	if err := writeOwned(service, text, as.As, 0o600); err != nil {
		return err
	}
	progressOf(ctx).text("copying the target to standby " + r.Name)
	mapping, err := w.placeTablespaces(ctx, plan, files, records, r, as.As)
	if err != nil {
		return err
	}
	if err := w.placeStandbyWAL(ctx, plan, files, records, r, as.As); err != nil {
		return err
	}
	return pgbin.PgBasebackup{
		Bindir: own.Target.Bindir, ServiceFile: service, Pgdata: own.Target.Pgdata, WALDir: r.WAL, Slot: slotOf(r),
		TablespaceMapping: mapping, FastCheckpoint: true, Label: backupLabel(plan, r),
	}.Run(ctx, as, func(done, total int64) {
		progressOf(ctx).count("copying the target to standby "+r.Name, done, max(done, total), "bytes")
	})
}

// placeStandbyWAL makes a directory for the successor's WAL beside that of the old standby, as placeTargetWAL does
// for the target's. Without a free name there it goes into the data directory: a standby is worth more than that.
func (w *Worker) placeStandbyWAL(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, r *standbyRecord, user run.User) error {
	fits, err := w.hasRoomForWAL(ctx, *r.Cluster, plan.Target)
	if err != nil || !fits {
		return err
	}
	_, err = makeTargetWAL(successorPlan(plan, r), user, func(dir string) error {
		r.WAL = dir
		return files.write(noteStandbys, records)
	})
	if _, taken := errors.AsType[*upgrade.Refused](err); taken {
		return nil
	}
	return err
}

// makeStandbySlot makes the slot that keeps WAL from now on. One that somebody else has made is not taken:
// another standby may stream from it.
func (w *Worker) makeStandbySlot(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, r *standbyRecord) error {
	return w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		exists, err := postgres.HasSlot(ctx, conn, slotOf(r))
		if err != nil {
			return err
		}
		if exists && !r.MadeSlot {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("the target has a slot %s already, which is not of this upgrade's making", slotOf(r)),
				Remedy: "see who uses it", Cause: upgrade.CausePlace,
			}
		}
		r.MadeSlot = true
		if err := files.write(noteStandbys, records); err != nil {
			return err
		}
		return postgres.EnsurePhysicalSlot(ctx, conn, slotOf(r))
	})
}

// placeTablespaces tells where the tablespaces go, and makes the directory for them.
func (w *Worker) placeTablespaces(ctx context.Context, plan upgrade.Plan, files files, records *standbyRecords, r *standbyRecord, user run.User) (map[string]string, error) {
	own, mapping := successorPlan(plan, r), map[string]string{}
	err := w.onTarget(ctx, plan, func(conn *pgx.Conn) error {
		spaces, err := postgres.TablespaceLocations(ctx, conn)
		for oid, location := range spaces {
			mapping[location] = filepath.Join(tablespacesDir(own), strconv.FormatUint(uint64(oid), 10))
		}
		return err
	})
	if err != nil || len(mapping) == 0 {
		return mapping, err
	}
	if !r.MadeSpaces {
		note := func(made bool) func() error {
			return func() error {
				r.MadeSpaces = made
				return files.write(noteStandbys, records)
			}
		}
		if err := makeOwnDir(tablespacesDir(own), note(true), note(false)); err != nil {
			return nil, err
		}
	}
	return mapping, ownDir(tablespacesDir(own), user)
}

// conninfoToTarget is the old standby's primary_conninfo, leading to the target.
func conninfoToTarget(plan upgrade.Plan, r *standbyRecord, user run.User) (pgconf.Conninfo, error) {
	var text string
	err := user.Do(func() error { // as its owner, see translateConf
		tree, err := pgconf.LoadTree(r.Cluster.ConfigFile, r.Cluster.Pgdata)
		if err != nil {
			return err
		}
		setting, _ := tree.Get("primary_conninfo")
		text = setting.Value
		return nil
	})
	if err != nil {
		return pgconf.Conninfo{}, fmt.Errorf("read the configuration of standby %s: %w", r.Name, err)
	}
	conninfo, err := pgconf.ParseConninfo(text)
	if err != nil {
		return conninfo, fmt.Errorf("read primary_conninfo of standby %s: %w", r.Name, err)
	}
	leadToTarget(&conninfo, plan.Target, r.Standby)
	return conninfo, nil
}

// leadToTarget changes what a standby streams from, and nothing else. Its name stays what it was, wherever
// it had that from.
func leadToTarget(conninfo *pgconf.Conninfo, target upgrade.Cluster, s upgrade.Standby) {
	host, address := conninfo.Get("host"), conninfo.Get("hostaddr")
	if host == "" && address == "" || strings.Contains(host+address, ",") {
		if host = s.Sender; host == "" {
			host = target.SocketDir
		}
		conninfo.Remove("hostaddr")
		conninfo.Set("host", host)
	}
	conninfo.Set("port", strconv.Itoa(target.Port))
	conninfo.Set("application_name", s.Name)
}

// startStandby configures the copy, starts it, and waits until it streams.
func (w *Worker) startStandby(ctx context.Context, plan, own upgrade.Plan, user run.User, r *standbyRecord) error {
	if _, running := w.host.Running(own.Target); !running {
		if err := w.configureStandby(ctx, plan, own, user, r); err != nil {
			return err
		}
	}
	progressOf(ctx).text("starting standby " + r.Name)
	if err := w.host.Start(ctx, own.Target, "", standbyCatchUp); err != nil {
		return w.explainStart(ctx, own, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, standbyCatchUp, fmt.Errorf("standby %s does not stream after %s", r.Name, standbyCatchUp))
	defer cancel()
	for {
		streams, err := w.streams(ctx, plan, own.Target, r.Name)
		if streams {
			return nil
		}
		if _, running := w.host.Running(own.Target); !running {
			return fmt.Errorf("the new standby stopped by itself: %s", pgbin.ServerLog(own.Target.Pgdata, filepath.Join(own.Target.Pgdata, "pg_ctl.log"), 0))
		}
		progressOf(ctx).text("standby " + r.Name + " catches up with the target")
		if sleep(ctx, 200*time.Millisecond) != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// streams asks both sides.
func (w *Worker) streams(ctx context.Context, plan upgrade.Plan, standby upgrade.Cluster, name string) (bool, error) {
	var self postgres.StandbySelf
	err := with(ctx, w.host.Login(standby, "postgres"), func(conn *pgx.Conn) (err error) {
		self, err = postgres.AskStandby(ctx, conn)
		return err
	})
	if err != nil || !self.InRecovery || !self.Streams || self.Port != plan.Target.Port {
		return false, err
	}
	count := 0
	err = w.onTarget(ctx, plan, func(conn *pgx.Conn) (err error) {
		count, err = postgres.StreamingStandbys(ctx, conn, name)
		return err
	})
	return count > 0, err
}
