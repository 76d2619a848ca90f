package onhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// maxRehearsedObjects is how many large objects a database may have: a dump names each.
const maxRehearsedObjects = 100_000

// survey looks at what is to be rehearsed, before anything is done: what the source can bear, and what
// the host has room for.
func (r *schemaRehearsal) survey(ctx context.Context, target postgres.Login, disk int64) error {
	login := r.w.host.Login(r.plan.Source, "postgres")
	login.Settings = map[string]string{"statement_timeout": "60s", "lock_timeout": "3s"}
	var locks int64
	err := with(ctx, login, func(conn *pgx.Conn) error {
		databases, err := postgres.Databases(ctx, conn)
		if err != nil {
			return err
		}
		for _, database := range databases {
			if database.Connectable() {
				r.databases = append(r.databases, rehearsedDatabase{Database: database})
			}
		}
		if locks, err = freeLocks(ctx, conn); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `SELECT current_setting('shared_preload_libraries')`).Scan(&r.preload)
	})
	if err != nil {
		return err
	}
	for i := range r.databases {
		if err := with(ctx, login.In(r.databases[i].Name), r.databases[i].count(ctx)); err != nil {
			return err
		}
	}
	r.leaveWhatIsTooMuch(locks)
	if err := r.enoughRoom(disk); err != nil {
		return err
	}
	return with(ctx, target, func(conn *pgx.Conn) (err error) {
		r.newLibs, err = knownLibraries(ctx, conn, r.preload)
		return err
	})
}

// count counts what makes a dump large.
func (d *rehearsedDatabase) count(ctx context.Context) func(*pgx.Conn) error {
	return func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, `
			SELECT
				count(*),
				count(*) FILTER (WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
				(SELECT count(*) FROM (SELECT FROM pg_largeobject_metadata LIMIT $1 + 1) AS counted)
			FROM pg_class
			WHERE oid >= 16384`, int64(maxRehearsedObjects)).Scan(&d.relations, &d.lockable, &d.largeObjects)
		if err != nil {
			return fmt.Errorf("count the relations of %s: %w", d.Ident, err)
		}
		return nil
	}
}

// freeLocks is how many locks a dump may take: half of the table of locks (lock.c, NLOCKENTS), less what
// is taken. Who fills that table makes others' transactions fail.
func freeLocks(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var free int64
	err := conn.QueryRow(ctx, `
		SELECT (current_setting('max_locks_per_transaction')::bigint
			* (SELECT sum(setting::bigint) FROM pg_settings WHERE name IN (
				'max_connections', 'max_prepared_transactions', 'autovacuum_max_workers', 'max_worker_processes', 'max_wal_senders')) / 2)::bigint
			- (SELECT count(*) FROM pg_locks WHERE NOT fastpath)`).Scan(&free)
	if err != nil {
		return 0, fmt.Errorf("see how many locks the source has left: %w", err)
	}
	return free, nil
}

// leaveWhatIsTooMuch leaves out databases that the source, or the time, would not bear to be dumped.
func (r *schemaRehearsal) leaveWhatIsTooMuch(locks int64) {
	for i := range r.databases {
		database := &r.databases[i]
		switch {
		case database.lockable > locks:
			r.leave(*database, fmt.Sprintf(
				"a dump locks its %d tables, views and sequences at once, and the running source should give no more than %d locks to one session: "+
					"raise max_locks_per_transaction there", database.lockable, max(0, locks)))
		case database.largeObjects > maxRehearsedObjects:
			r.leave(*database, fmt.Sprintf("it has more than %d large objects, and a dump names each", maxRehearsedObjects))
		default:
			continue
		}
		database.gone = true
	}
}

// rehearsalSpace is what a rehearsal takes, generously: two clusters, whose databases are copies of
// template0, and for each relation its empty files, its rows in both catalogs and in two dumps.
func rehearsalSpace(databases, relations, segment int64) int64 {
	return 2*(64<<20) + 8*segment + databases*2*(10<<20) + relations*(30<<10)
}

// enoughRoom refuses a rehearsal that takes more than it may, or that leaves little to others.
func (r *schemaRehearsal) enoughRoom(limit int64) error {
	var databases, relations int64
	for _, database := range r.databases {
		if !database.gone {
			databases, relations = databases+1, relations+database.relations
		}
	}
	need := rehearsalSpace(databases, relations, 16<<20)
	if need > limit {
		return fmt.Errorf("it would take about %d MiB, and may take %d MiB (--schema-rehearsal-disk)", need>>20, limit>>20)
	}
	free, err := freeSpace(r.dir)
	if err != nil {
		return err
	}
	if free.Bytes < need+rehearsalReserve {
		return fmt.Errorf("it would take about %d MiB, and the file system of %s has only %d MiB free, of which %d MiB are left to others",
			need>>20, r.dir, free.Bytes>>20, int64(rehearsalReserve)>>20)
	}
	return nil
}

// rehearsalReserve is what a rehearsal leaves to others on its file system.
const rehearsalReserve = 512 << 20

// withinSpace is a context that ends when the file system has lost more than limit bytes since, or when
// little is left on it: whoever takes it, a rehearsal is not worth the applications' last megabytes.
func withinSpace(ctx context.Context, dir string, limit int64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	before, err := freeSpace(dir)
	if err != nil {
		return ctx, func() { cancel(nil) }
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := freeSpace(dir)
			if err == nil && (now.Bytes < rehearsalReserve || before.Bytes-now.Bytes > limit) {
				cancel(fmt.Errorf("the file system of %s went from %d MiB free to %d MiB meanwhile", dir, before.Bytes>>20, now.Bytes>>20))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// knownLibraries keeps the libraries of a list that the target's programs have.
func knownLibraries(ctx context.Context, target *pgx.Conn, list string) (string, error) {
	var kept []string
	for library := range strings.SplitSeq(list, ",") {
		library = strings.Trim(strings.TrimSpace(library), `"`)
		if library == "" {
			continue
		}
		var exists bool
		err := target.QueryRow(ctx, `
			SELECT (pg_stat_file(setting || '/' || $1 || '.so', true)).size IS NOT NULL
			FROM pg_config WHERE name = 'PKGLIBDIR'`, strings.TrimPrefix(library, "$libdir/")).Scan(&exists)
		if err != nil {
			return "", fmt.Errorf("look for library %s: %w", library, err)
		}
		if exists {
			kept = append(kept, library)
		}
	}
	return strings.Join(kept, ","), nil
}
