package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// schemaRehearsal upgrades a copy of the source without its data: a scratch cluster of the source's
// version takes the definitions, and pg_upgrade makes a scratch cluster of the target's version of it.
// What that one refuses is taken out of the copy, and pg_upgrade is run again, so that one rehearsal
// tells of several things. Everything lies in the directory of the precheck's scratch cluster.
type schemaRehearsal struct {
	*scratch
	place     string // its own directory
	newPort   int
	oldPort   int
	preload   string // what the copy preloads
	newLibs   string // what the target preloads
	databases []rehearsedDatabase
	said      precheck.SchemaRehearsal
}

// rehearsedDatabase is a database of the source.
type rehearsedDatabase struct {
	postgres.Database
	relations    int64
	lockable     int64 // relations that pg_dump locks
	largeObjects int64
	gone         bool // it is not in the copy, or not any more
}

const (
	// rehearsalRounds bounds how often pg_upgrade is run.
	rehearsalRounds = 10
	// rehearsalLockWait is how long a dump waits for a lock: behind it whoever wants a stronger one waits, too.
	rehearsalLockWait = 3 * time.Second
	// rehearsalNice lets the applications go first.
	rehearsalNice = 10
	// rehearsalServer is how long a scratch server may take to start or stop.
	rehearsalServer = time.Minute
)

// rehearseSchema carries it out within the plan's bounds. An error means that it could not be carried out,
// which says nothing about the schema. target leads to the scratch cluster, which knows what the target's
// programs have.
func (s *scratch) rehearseSchema(ctx context.Context, target precheck.Measured[postgres.Login]) (precheck.SchemaRehearsal, error) {
	if s.plan.Options.SkipSchemaRehearsal {
		return precheck.SchemaRehearsal{}, errors.New("it is switched off (--no-schema-rehearsal)")
	}
	if target.Err != nil {
		return precheck.SchemaRehearsal{}, fmt.Errorf("there is no scratch cluster of the target version: %w", target.Err)
	}
	limit, disk := s.plan.Options.SchemaRehearsalBounds()
	tooLong := fmt.Errorf("it took more than the %s that it may take (--schema-rehearsal-timeout)", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, tooLong)
	defer cancel()
	r := &schemaRehearsal{scratch: s, place: s.rehearsalDir()}
	if err := r.survey(ctx, target.Value, disk); err != nil {
		return r.said, err
	}
	ctx, stop := withinSpace(ctx, s.dir, disk)
	defer stop()
	err := r.run(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil && len(r.said.Refused) > 0 { // what was found, was found
		r.said.Unfinished, err = err.Error(), nil
	}
	return r.said, err
}

func (s *scratch) rehearsalDir() string { return filepath.Join(s.dir, "rehearsal") }

// rehearsalClusters are the data directories in which a rehearsal's servers may run, with their programs.
func (s *scratch) rehearsalClusters() map[string]string {
	dir := s.rehearsalDir()
	return map[string]string{filepath.Join(dir, "copy"): s.plan.Source.Bindir, filepath.Join(dir, "target"): s.plan.Target.Bindir}
}

func (r *schemaRehearsal) copyData() string   { return filepath.Join(r.place, "copy") }
func (r *schemaRehearsal) targetData() string { return filepath.Join(r.place, "target") }

func (r *schemaRehearsal) run(ctx context.Context) error {
	defer func() { _ = os.RemoveAll(r.place) }()
	progressOf(ctx).text("schema rehearsal: copying all definitions into a scratch cluster")
	if err := r.makeCopy(ctx); err != nil {
		return err
	}
	seen := map[string]bool{}
	for round := range rehearsalRounds {
		progressOf(ctx).text(fmt.Sprintf("schema rehearsal: upgrading the copy, round %d", round+1))
		failure, err := r.upgradeCopy(ctx)
		if err != nil || failure == nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		again, err := r.takeOut(ctx, failure, seen)
		if err != nil {
			return err
		}
		if !again {
			return nil
		}
	}
	r.said.Unfinished = fmt.Sprintf("there may be more: pg_upgrade was run %d times, and refused something each time", rehearsalRounds)
	return nil
}

// caller runs the rehearsal's programs: nicely, and found by the next attempt if this one is killed.
func (r *schemaRehearsal) caller() (pgbin.Caller, error) {
	as, err := r.w.caller(r.plan, "schema_rehearsal")
	if err != nil {
		return as, err
	}
	as.Nice = rehearsalNice
	as.Pidfile, err = r.pidfile()
	return as, err
}

// makeCopy makes the copy and fills it. Afterwards it is down.
func (r *schemaRehearsal) makeCopy(ctx context.Context) error {
	as, err := r.caller()
	if err != nil {
		return err
	}
	if err := makeDir(r.place, as.As); err != nil {
		return err
	}
	if r.oldPort, err = freePort(r.sockets); err != nil {
		return err
	}
	if r.newPort, err = freePort(r.sockets); err != nil {
		return err
	}
	initdb, err := r.w.initdbLike(ctx, r.plan, as, r.plan.Source.Pgdata, r.w.host.Login(r.plan.Source, "postgres"))
	if err != nil {
		return err
	}
	initdb.Bindir, initdb.Version, initdb.Pgdata, initdb.NoSync = r.plan.Source.Bindir, r.plan.Source.Version, r.copyData(), true
	if err := initdb.Run(ctx, as); err != nil {
		return err
	}
	if err := r.startCopy(ctx, as); err != nil {
		return err
	}
	err = r.fillCopy(ctx, as)
	return errors.Join(err, r.stopCopy(ctx, as))
}

// serverOptions are for both scratch servers: for their owner alone, without background workers of what
// they preload, and without anything that would outlive them.
func (r *schemaRehearsal) serverOptions(version upgrade.VersionNum, preload string) []string {
	most := int64(0)
	for _, database := range r.databases {
		most = max(most, database.relations)
	}
	settings := []string{
		"listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0",
		"archive_mode=off", "autovacuum=off", "max_connections=20", "max_worker_processes=0", "max_parallel_workers=0",
		"shared_buffers=64MB", "max_wal_size=256MB", "logging_collector=off", "log_min_error_statement=panic",
		// pg_dump locks all tables of a database at once, see lockNeeds.
		fmt.Sprintf("max_locks_per_transaction=%d", max(256, most/8)),
	}
	if version.Major() >= 17 { // what fires at a login may reach beyond the scratch cluster
		settings = append(settings, "event_triggers=off")
	}
	if preload != "" {
		settings = append(settings, "shared_preload_libraries="+preload)
	}
	return settings
}

// startCopy starts the copy in binary upgrade mode, which its definitions need, see pgbin.SchemaCopy.
// Without what it should preload, if it does not start with that.
func (r *schemaRehearsal) startCopy(ctx context.Context, as pgbin.Caller) error {
	start := func(preload string) error {
		options := append(r.serverOptions(r.plan.Source.Version, preload),
			"unix_socket_directories="+r.sockets, "unix_socket_permissions=0700", fmt.Sprintf("port=%d", r.oldPort))
		as.Pidfile = "" // the server is found by its data directory
		return r.copyCtl().Start(ctx, as, filepath.Join(r.place, "copy.log"), "-b "+pgbin.Options(options...), rehearsalServer)
	}
	err := start(r.preload)
	if err != nil && r.preload != "" && ctx.Err() == nil {
		r.preload = ""
		err = start("")
	}
	if err != nil {
		return fmt.Errorf("start a scratch cluster of the source's version: %w", err)
	}
	return nil
}

func (r *schemaRehearsal) copyCtl() pgbin.PgCtl {
	return pgbin.PgCtl{Bindir: r.plan.Source.Bindir, Pgdata: r.copyData()}
}

func (r *schemaRehearsal) stopCopy(ctx context.Context, as pgbin.Caller) error {
	as.Pidfile = ""
	return r.copyCtl().Stop(context.WithoutCancel(ctx), as, pgbin.StopFast, rehearsalServer)
}

func (r *schemaRehearsal) copyLogin(database string) postgres.Login {
	return postgres.Login{
		Address:  upgrade.Address{Host: r.sockets, Port: r.oldPort},
		Database: database, User: r.plan.Source.Superuser,
		// The users' triggers, and event triggers before 17, must not run: they may do anything, as a superuser.
		Settings: map[string]string{"session_replication_role": "replica"},
	}
}

// fillCopy carries the definitions over, one database after the other.
func (r *schemaRehearsal) fillCopy(ctx context.Context, as pgbin.Caller) error {
	source := r.w.host.Login(r.plan.Source, "postgres").Address
	carry := pgbin.SchemaCopy{
		Bindir: r.plan.Source.Bindir, Major: r.plan.Source.Version.Major(), From: source, To: r.copyLogin("").Address, User: r.plan.Source.Superuser,
		Dir: r.place, LockWait: rehearsalLockWait,
	}
	left, err := carry.Globals(ctx, as)
	if err != nil {
		return err
	}
	r.leaveOut("", left)
	for i := range r.databases {
		database := &r.databases[i]
		if database.gone {
			continue
		}
		progressOf(ctx).count("schema rehearsal: copying definitions", int64(i), int64(len(r.databases)), "databases")
		left, err := carry.Database(ctx, as, database.Name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others may do
			database.gone = database.Name != "template1" && database.Name != "postgres"
			r.leave(*database, err.Error())
			continue
		}
		r.leaveOut(database.Ident, left)
		if err := r.settle(ctx, database.Name); err != nil {
			return err
		}
	}
	return nil
}

// leave notes that a database is not rehearsed, or not as it is.
func (r *schemaRehearsal) leave(database rehearsedDatabase, why string) {
	r.said.LeftOut = append(r.said.LeftOut, precheck.RehearsalFailure{Database: database.Ident, Error: why})
}

// leaveOut notes what the copy did not take.
func (r *schemaRehearsal) leaveOut(database string, failures []pgbin.Statement) {
	for _, failure := range failures {
		if database == "" && strings.Contains(failure.Error, "already exists") {
			continue // the bootstrap superuser
		}
		left := rehearsalFailure(database, failure)
		left.Undo = ""
		r.said.LeftOut = append(r.said.LeftOut, left)
	}
}

// settle gives the tables of the copy transaction ids of its own: the dump has set the source's, which
// lie in the copy's future. It puts the event triggers to sleep.
func (r *schemaRehearsal) settle(ctx context.Context, database string) error {
	return with(ctx, r.copyLogin(database), func(conn *pgx.Conn) error {
		for _, sql := range []string{
			`UPDATE pg_class c SET relfrozenxid = d.datfrozenxid, relminmxid = d.datminmxid
			FROM pg_database d WHERE d.datname = 'template0' AND c.relfrozenxid <> '0'`,
			`UPDATE pg_database c SET datfrozenxid = d.datfrozenxid, datminmxid = d.datminmxid
			FROM pg_database d WHERE d.datname = 'template0' AND c.datname = current_database()`,
			// Nor those that fire in spite of that. pg_upgrade makes them with all that they are, so their functions are tried.
			`UPDATE pg_event_trigger SET evtenabled = 'D'`,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("settle the copy: %w", err)
			}
		}
		return nil
	})
}

// upgradeCopy runs pg_upgrade with a new target. A *Failure is pg_upgrade's own word; any other error
// means that it could not be run.
func (r *schemaRehearsal) upgradeCopy(ctx context.Context) (*pgbin.Failure, error) {
	as, err := r.caller()
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(r.targetData()); err != nil {
		return nil, fmt.Errorf("remove the scratch target: %w", err)
	}
	if err := copyTree(ctx, as, r.pristine(), r.targetData()); err != nil {
		return nil, err
	}
	begun := time.Now()
	_, err = pgbin.PgUpgrade{
		OldMajor: r.plan.Source.Version.Major(), OldBindir: r.plan.Source.Bindir, NewBindir: r.plan.Target.Bindir,
		OldPgdata: r.copyData(), NewPgdata: r.targetData(), OldPort: r.oldPort, NewPort: r.newPort,
		SocketDir: r.sockets, Superuser: r.plan.Source.Superuser, Transfer: pgbin.TransferLink, Jobs: 1,
		OldOptions: pgbin.Options(r.serverOptions(r.plan.Source.Version, r.preload)...),
		NewOptions: pgbin.Options(r.serverOptions(r.plan.Target.Version, r.newLibs)...),
		NoSync:     r.plan.Target.Version.Major() >= 15,
		Dir:        r.place,
	}.Run(ctx, as, nil)
	if err == nil {
		r.upgraded(time.Since(begun))
		return nil, nil
	}
	if failure, ok := errors.AsType[*pgbin.Failure](err); ok && ctx.Err() == nil {
		return failure, nil
	}
	return nil, err
}

func (r *schemaRehearsal) upgraded(took time.Duration) {
	r.said.Upgraded = took
	for _, database := range r.databases {
		if !database.gone {
			r.said.Databases++
			r.said.Relations += database.relations
		}
	}
}

// inCopy finds a database of the copy by its name.
func (r *schemaRehearsal) inCopy(name string) *rehearsedDatabase {
	i := slices.IndexFunc(r.databases, func(d rehearsedDatabase) bool { return d.Name == name && !d.gone })
	if i < 0 {
		return nil
	}
	return &r.databases[i]
}
