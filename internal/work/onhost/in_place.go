package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// registerInPlace registers the activities of an in-place upgrade.
func (w *Worker) registerInPlace(r Registry) {
	register(r, step.PrepareInPlace, upgrade.PhasePrepareTarget, w.PrepareInPlace)
	register(r, step.UpgradeInPlace, upgrade.PhaseUpgrade, w.upgradeInPlaceAround)
	register(r, step.FinishInPlace, upgrade.PhaseFinishing, w.FinishInPlace)
	register(r, step.UpdateInPlace, upgrade.PhaseFinishing, w.UpdateInPlace)
	register(r, step.AnalyzeInPlace, upgrade.PhaseFinishing, w.AnalyzeInPlace)
	register(r, step.DiscardInPlace, upgrade.PhaseCleanup, w.DiscardInPlace)
}

// upgradeInPlaceAround is UpgradeInPlace with the user's programs around it. Where it is too late to begin, none is run
// before; and whatever was run for an outage that did not begin in time is run anew for the next one.
func (w *Worker) upgradeInPlaceAround(ctx context.Context, args step.InPlaceArgs) (result step.InPlaceResult, err error) {
	attempt := step.SwitchOverArgs{Plan: args.Plan, Attempt: 1, SettleOnly: args.SettleOnly || w.isLate(args.NotAfter)}
	result.Switchover, err = w.aroundSwitch(ctx, attempt, func() (upgrade.Switchover, error) {
		result, err = w.UpgradeInPlace(ctx, args)
		return result.Switchover, err
	})
	if err == nil && result.Late {
		err = w.forgetHooks(attempt)
	}
	return result, err
}

// The notes of an in-place upgrade.
const (
	noteInPlaceBegun    note = "in-place.begun" // or about to be: there is something to remove
	noteInPlacePrepared note = "in-place.prepared"
)

// inPlacePrepared is what PrepareInPlace has found out and decided.
type inPlacePrepared struct {
	Done   step.Done      `json:"done"`
	Chosen chosenTransfer `json:"chosen"`
	// OldOptions and NewOptions are for pg_upgrade's servers.
	OldOptions string `json:"oldOptions"`
	NewOptions string `json:"newOptions"`
	// Spaces are the directories that pg_upgrade makes for the target within the tablespaces.
	Spaces []string `json:"spaces,omitempty"`
	// Sources are the hashes of what the target's configuration was made of, and Server is what of it pg_upgrade's server
	// of the target is started with.
	Sources map[string]string `json:"sources,omitempty"`
	Server  []string          `json:"server,omitempty"`
	// SyncAtOnce tells that the target is synced by file systems, and not by pg_upgrade.
	SyncAtOnce bool `json:"syncAtOnce,omitempty"`
}

// PrepareInPlace makes the target beside the source while that serves, and has pg_upgrade check both as
// they will be upgraded: what can fail without an outage fails here.
func (w *Worker) PrepareInPlace(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	files, err := w.files(plan)
	if err != nil {
		return step.Done{}, err
	}
	var prepared inPlacePrepared
	if found, err := files.read(noteInPlacePrepared, &prepared); found || err != nil {
		return prepared.Done, err
	}
	if err := plan.Options.RefuseUnacceptedSwap(); err != nil {
		return step.Done{}, err
	}
	user, err := owner(plan)
	if err != nil {
		return step.Done{}, err
	}
	if err := w.takePlace(plan, files); err != nil {
		return step.Done{}, err
	}
	if err := files.write(noteInPlaceBegun, w.now()); err != nil {
		return step.Done{}, err
	}
	if err := w.makeWorkdir(plan, user); err != nil {
		return step.Done{}, err
	}
	if _, err := w.lookForStandbys(ctx, plan); err != nil {
		return step.Done{}, err
	}
	if err := w.prepareInPlace(ctx, plan, files, user, &prepared); err != nil {
		return step.Done{}, err
	}
	return prepared.Done, files.write(noteInPlacePrepared, prepared)
}

func (w *Worker) prepareInPlace(ctx context.Context, plan upgrade.Plan, files files, user run.User, prepared *inPlacePrepared) error {
	spaces, err := w.tablespaces(ctx, plan)
	if err != nil {
		return err
	}
	at, err := transferPlaces(plan, spaces, plan.Workdir())
	if err != nil {
		return err
	}
	if prepared.Chosen, err = chooseTransfer(plan.Options.Transfer, plan.Target.Version, at, user); err != nil {
		return err
	}
	decided := []upgrade.Event{
		w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("files are transferred by %s: %s", prepared.Chosen.Transfer, prepared.Chosen.Why)),
		w.say(ctx, upgrade.LevelInfo, wayBack(prepared.Chosen.Transfer)),
		w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("pg_upgrade works with %d jobs", jobsOf(plan))),
	}
	if err := w.enoughSpace(ctx, plan, prepared.Chosen.Transfer); err != nil {
		return err
	}
	if err := w.initInPlace(ctx, plan, files, user); err != nil {
		return err
	}
	progressOf(ctx).text("carrying the configuration over")
	events, err := w.configureInPlace(ctx, plan, user, prepared)
	if err != nil {
		return err
	}
	if err := w.optionsInPlace(ctx, plan, user, prepared.Server, prepared); err != nil {
		return err
	}
	if prepared.Spaces, err = w.targetSpaces(ctx, plan, at.spaces); err != nil {
		return err
	}
	kinds, err := fileSystemKinds(targetDirs(plan, prepared.Spaces)...)
	if err != nil {
		return err
	}
	prepared.SyncAtOnce = syncsAtOnce(plan.Target.Version.Major(), prepared.Chosen.Transfer, kernelRelease(), kinds)
	register := w.host.CheckRegister // a unit of both starts the source until the outage
	if hasOwnUnit(plan) {
		register = w.host.Register
	}
	if err := register(ctx, plan.Target, plan.Source); err != nil {
		return err
	}
	warned, err := w.checkInPlace(ctx, plan, *prepared)
	if err != nil {
		return err
	}
	prepared.Done.Events = append(append(append(decided, events...), w.toldOfWAL(ctx, plan)...), warned...)
	return nil
}

// isWithin tells whether a path is below a directory, by their names and by where links lead.
func isWithin(path, dir string) bool {
	for _, resolve := range []func(string) (string, error){filepath.Abs, filepath.EvalSymlinks} {
		inner, errInner := resolve(path)
		outer, errOuter := resolve(dir)
		if errInner == nil && errOuter == nil && strings.HasPrefix(inner+"/", outer+"/") {
			return true
		}
	}
	return false
}

// initInPlace makes the target's data directory with what must be alike. What an earlier attempt made
// is made again.
func (w *Worker) initInPlace(ctx context.Context, plan upgrade.Plan, files files, user run.User) error {
	if err := w.clearTarget(ctx, plan, files); err != nil {
		return err
	}
	if _, err := os.Lstat(plan.Target.Pgdata); errors.Is(err, fs.ErrNotExist) {
		if err := files.write(noteTargetDir, w.now()); err != nil {
			return err
		}
	}
	if err := makeDir(plan.Target.Pgdata, user); err != nil {
		return err
	}
	as, err := w.caller(plan, "initdb")
	if err != nil {
		return err
	}
	initdb, err := w.initdbLike(ctx, plan, as, plan.Source.Pgdata, w.host.Login(plan.Source, "postgres"))
	if err != nil {
		return err
	}
	initdb.NoSync = true // all of the target is synced when pg_upgrade is done
	if initdb.WALDir, err = w.placeTargetWAL(ctx, plan, files, user); err != nil {
		return err
	}
	progressOf(ctx).text("making the target's data directory")
	if err := initdb.Run(ctx, as); err != nil {
		return err
	}
	return w.noteIdentity(plan, files, user)
}

// optionsInPlace decides what pg_upgrade's servers are started with. The source's runs nothing but what
// pg_upgrade asks of it, lets only its owner in, and finds its configuration wherever that is. The
// target's loads the libraries that it will preload: some cannot be loaded otherwise, and what cannot be
// loaded is found by the check.
func (w *Worker) optionsInPlace(ctx context.Context, plan upgrade.Plan, user run.User, server []string, prepared *inPlacePrepared) error {
	if err := accessForPgUpgrade(plan, user); err != nil {
		return err
	}
	var settings postgres.Settings
	superuser := w.host.Login(plan.Source, "postgres")
	err := with(ctx, superuser, func(conn *pgx.Conn) (err error) {
		settings, err = postgres.ReadSettings(ctx, conn)
		return err
	})
	if err != nil {
		return err
	}
	locks, err := askLockNeeds(ctx, superuser, jobsOf(plan))
	if err != nil {
		return err
	}
	old, err := sourceServerOptions(plan, settings)
	if err != nil {
		return err
	}
	fresh := append([]string{locks.target(plan.Target.Version.Major()), withoutJIT}, server...)
	for _, name := range []string{"wal_level", "max_replication_slots", "max_wal_senders"} { // for the slots that it takes over
		fresh = append(fresh, name+"="+settings.Text(name))
	}
	prepared.OldOptions, prepared.NewOptions = pgbin.Options(append(old, locks.source())...), pgbin.Options(fresh...)
	return nil
}

// sourceServerOptions is what pg_upgrade's own server of the source is started with.
func sourceServerOptions(plan upgrade.Plan, settings postgres.Settings) ([]string, error) {
	buffers, err := settings.Bytes("shared_buffers")
	if err != nil {
		return nil, err
	}
	server := []string{
		withoutJIT, withoutMergeJoin, fmt.Sprintf("shared_buffers=%dkB", min(buffers, enoughBuffers)>>10),
		"max_worker_processes=0", "max_logical_replication_workers=0", "hba_file=" + accessFile(plan),
	}
	if filepath.Dir(plan.Source.ConfigFile) != filepath.Clean(plan.Source.Pgdata) {
		server = append(server, "config_file="+plan.Source.ConfigFile, "ident_file="+plan.Source.IdentFile)
	}
	return server, nil
}

// enoughBuffers are for the catalogs, which are all that pg_upgrade reads in the source: starting and stopping a server
// takes some 20 ms more with each GiB of shared_buffers.
const enoughBuffers = 1 << 30

// withoutJIT spares the queries of pg_upgrade and pg_dump their compilation: they are estimated to be long where there
// are many tables, run once, and are done sooner than compiled.
const withoutJIT = "jit=off"

// withoutMergeJoin halves the time in which the source plans the queries that pg_dump, up to 17, puts for each relation
// (pg_dump.c, binary_upgrade_set_pg_class_oids): those take five times as long to be planned as to be run. Others find a
// hash join instead.
const withoutMergeJoin = "enable_mergejoin=off"

// targetSpaces are the directories that the target gets within the tablespaces: both versions share a
// tablespace's location, each with a directory of its own (relpath.h, TABLESPACE_VERSION_DIRECTORY).
func (w *Worker) targetSpaces(ctx context.Context, plan upgrade.Plan, spaces []string) ([]string, error) {
	if len(spaces) == 0 {
		return nil, nil
	}
	as, err := w.caller(plan, "pg_controldata")
	if err != nil {
		return nil, err
	}
	control, err := pgbin.PgControldata(ctx, as, plan.Target.Bindir, plan.Target.Pgdata)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, space := range spaces {
		dir := filepath.Join(space, fmt.Sprintf("PG_%d_%d", plan.Target.Version.Major(), control.CatalogVersion))
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return nil, &upgrade.Refused{
				Reason: fmt.Sprintf("%s exists already: another cluster of PostgreSQL %d uses that tablespace, or did", dir, plan.Target.Version.Major()),
				Remedy: "see what uses it; if nothing does, move it away and start the upgrade again",
				Cause:  upgrade.CausePlace,
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// checkInPlace runs pg_upgrade --check with the very directories, options and transfer of the upgrade.
func (w *Worker) checkInPlace(ctx context.Context, plan upgrade.Plan, prepared inPlacePrepared) ([]upgrade.Event, error) {
	as, err := w.caller(plan, "pg_upgrade_check")
	if err != nil {
		return nil, err
	}
	files, err := w.files(plan)
	if err != nil {
		return nil, err
	}
	as.Pidfile = files.pidfile("pg_upgrade_check")
	if err := run.EndLeftover(ctx, as.Pidfile); err != nil {
		return nil, err
	}
	sockets, err := privateSocketDir(as.As)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(sockets) //nolint:errcheck // an empty directory is no harm
	check, err := w.pgUpgradeInPlace(plan, prepared, sockets, as.As)
	if err != nil {
		return nil, err
	}
	check.OldPort = plan.Source.Port
	progressOf(ctx).text("running pg_upgrade --check")
	result, err := check.Check(ctx, as)
	if err != nil {
		return nil, explainPgUpgrade(err, nil)
	}
	return w.warnedBy(ctx, "pg_upgrade --check", files, as.As, result), nil
}

// pgUpgradeInPlace is the pg_upgrade of a plan.
func (w *Worker) pgUpgradeInPlace(plan upgrade.Plan, prepared inPlacePrepared, sockets string, user run.User) (pgbin.PgUpgrade, error) {
	dir := filepath.Join(plan.Workdir(), "pg_upgrade")
	if err := makeDir(dir, user); err != nil {
		return pgbin.PgUpgrade{}, err
	}
	oldPort, err := freePort(sockets)
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	newPort, err := freePort(sockets)
	if err != nil {
		return pgbin.PgUpgrade{}, err
	}
	return pgbin.PgUpgrade{
		OldMajor: plan.Source.Version.Major(), OldBindir: plan.Source.Bindir, NewBindir: plan.Target.Bindir,
		OldPgdata: plan.Source.Pgdata, NewPgdata: plan.Target.Pgdata, OldPort: oldPort, NewPort: newPort,
		SocketDir: sockets, Superuser: plan.Source.Superuser, Transfer: prepared.Chosen.Transfer, Jobs: jobsOf(plan),
		OldOptions: prepared.OldOptions, NewOptions: prepared.NewOptions, NoSync: prepared.SyncAtOnce, Dir: dir,
	}, nil
}
