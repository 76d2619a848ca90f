package precheck

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// WALPoint is where the source's WAL was at a moment: from two of them comes what it writes.
type WALPoint struct {
	LSN postgres.LSN
	At  time.Time
}

// ReadWALPoint reads where the WAL of a primary is now. A standby has none of its own.
func ReadWALPoint(ctx context.Context, conn *pgx.Conn) (WALPoint, error) {
	lsn, err := postgres.InsertLSN(ctx, conn)
	return WALPoint{LSN: lsn, At: time.Now()}, err
}

// rate is in bytes per second; 0 if too little time has passed to tell.
func (p WALPoint) rate(later WALPoint) float64 {
	passed := later.At.Sub(p.At).Seconds()
	if p.LSN == 0 || passed < 0.5 || later.LSN < p.LSN {
		return 0
	}
	return float64(later.LSN-p.LSN) / passed
}

// measureCluster counts what can be seen from any database. The relations of the others cannot be; their
// files can.
func measureCluster(ctx context.Context, source *pgx.Conn, settings postgres.Settings) (w upgrade.Workload, err error) {
	err = source.QueryRow(ctx, `
		SELECT
			(SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace),
			(
				SELECT count(*)
				FROM pg_database d CROSS JOIN (
					SELECT 'base/'
					UNION ALL
					SELECT concat('pg_tblspc/', t.oid, '/PG_', current_setting('server_version_num')::int / 10000, '_', catalog_version_no, '/')
					FROM pg_tablespace t CROSS JOIN pg_control_system()
					WHERE t.oid >= 16384
				) AS spaces (dir)
				CROSS JOIN LATERAL pg_ls_dir(dir || d.oid, true, false)
			),
			(SELECT count(*) FROM pg_database)`).Scan(&w.DataBytes, &w.Files, &w.Databases)
	if err != nil {
		return w, fmt.Errorf("measure the source: %w", err)
	}
	if w.MaxWALSize, err = settings.Bytes("max_wal_size"); err != nil {
		return w, err
	}
	w.SharedBuffers, err = settings.Bytes("shared_buffers")
	return w, err
}

// measureDatabase counts what is in a database; of what a switchover carries only what is not accepted.
func (f *Facts) measureDatabase(ctx context.Context, conn *pgx.Conn) (w upgrade.Workload, err error) {
	err = conn.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE relkind = 'S'), (SELECT count(*) FROM pg_largeobject_metadata),
			pg_table_size('pg_largeobject')
		FROM pg_class
		WHERE oid >= 16384`).Scan(&w.Relations, &w.Sequences, &w.LargeObjects, &w.LargeObjectBytes)
	if err != nil {
		return w, fmt.Errorf("count the relations of %s: %w", conn.Config().Database, err)
	}
	if w.LargeObjects == 0 || f.Plan.Options.AcceptsObject("large-objects", conn.Config().Database) {
		w.LargeObjectBytes = 0
	}
	w.UnloggedBytes, err = f.unloggedBytes(ctx, conn, "pg_table_size(c.oid)")
	if err != nil && ctx.Err() == nil { // one is locked
		w.UnloggedBytes, err = f.unloggedBytes(ctx, conn, "c.relpages::bigint * current_setting('block_size')::int")
	}
	return w, err
}

// unloggedBytes sums up the unlogged tables that are not accepted to be lost.
func (f *Facts) unloggedBytes(ctx context.Context, conn *pgx.Conn, sizeOf string) (sum int64, err error) {
	rows, _ := conn.Query(ctx, `
		SELECT n.nspname, c.relname, `+sizeOf+`
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence = 'u'`)
	var schema, name string
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&schema, &name, &size}, func() error {
		if !f.Plan.Options.AcceptsObject("unlogged-tables", conn.Config().Database, schema, name) {
			sum += size
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure the unlogged tables of %s: %w", conn.Config().Database, err)
	}
	return sum, nil
}

// addWorkload adds what is in a database to what the whole holds.
func (f *Facts) addWorkload(database Measured[upgrade.Workload]) {
	if f.Workload.Err == nil {
		f.Workload.Err = database.Err
	}
	f.Workload.Value.Relations += database.Value.Relations
	f.Workload.Value.Sequences += database.Value.Sequences
	f.Workload.Value.LargeObjects += database.Value.LargeObjects
	f.Workload.Value.LargeObjectBytes += database.Value.LargeObjectBytes
	f.Workload.Value.UnloggedBytes += database.Value.UnloggedBytes
}

// estimate is what all that was measured comes to, or nil if too little was.
func (r *round) estimate(ctx context.Context, source *pgx.Conn) *upgrade.Estimate {
	workload, err := r.facts.Workload.Get()
	if err != nil {
		return nil // the check of the disk space has told
	}
	if since, err := r.facts.Host.WAL.Get(); err == nil {
		if now, err := ReadWALPoint(ctx, source); err == nil {
			workload.WALRate = since.rate(now)
		}
	}
	speed, _ := r.facts.Host.Speed.Get() // without it there are rates of a slow disk
	rehearsed := r.facts.Host.SchemaRehearsal.Value
	speed.SchemaUpgrade, speed.SchemaRelations, speed.SchemaDatabases = rehearsed.Upgraded, rehearsed.Relations, rehearsed.Databases
	plan := r.facts.Plan
	plan.Options.Transfer = r.facts.transfer()
	estimate := upgrade.NewEstimate(plan, workload, speed)
	if chosen := r.facts.Host.Transfer.Value.Chosen; chosen.Transfer != "" {
		estimate.Transfer = &chosen
	}
	return &estimate
}

// transfer is how files come to the target: what auto has come to on the host, where that was tried.
func (f *Facts) transfer() upgrade.Transfer {
	if chosen := f.Host.Transfer.Value.Chosen.Transfer; chosen != "" {
		return chosen
	}
	return f.Plan.Options.WithDefaults().Transfer
}
