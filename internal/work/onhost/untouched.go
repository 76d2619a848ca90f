package onhost

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What is remembered of a target that was made of a clone, to prove that nobody has written to it.
const (
	noteBaseline note = "target.baseline.json" // where its WAL stood before its first start
	noteOwnXIDs  note = "target.own-xids.json" // transactions of our own since
)

// baseline is where the WAL of a target stood before its first start: nobody had written to it yet.
type baseline struct {
	LSN      string `json:"lsn"`
	Timeline int    `json:"timeline"`
}

// noteBaseline notes it, unless the target may have been started already.
func (w *Worker) noteBaseline(ctx context.Context, plan upgrade.Plan, files files) error {
	if files.has(noteBaseline) {
		return nil
	}
	as, err := w.caller(plan, "pg_controldata")
	if err != nil {
		return err
	}
	control, err := pgbin.PgControldata(ctx, as, plan.Target.Bindir, plan.Target.Pgdata)
	if err != nil {
		return err
	}
	if control.State != pgbin.StateShutDown {
		return nil // it runs, or has run: what was written to it is not known, and nothing will be proven
	}
	return files.write(noteBaseline, baseline{LSN: control.CheckpointLSN, Timeline: control.TimelineID})
}

// noteOwnXID notes a transaction of our own on the target that changes what clients could change, too.
func (f files) noteOwnXID(xid uint64) error {
	var own []uint64
	if _, err := f.read(noteOwnXIDs, &own); err != nil {
		return err
	}
	return f.write(noteOwnXIDs, append(own, xid))
}

// proof is up to where it is known that nobody has written to a target, and how to go on from there.
type proof struct {
	since     string          // an LSN at which a record begins; empty: the baseline
	explained map[uint32]bool // see judge; their commits may come later
}

// proveUntouched reads the WAL that a plan's source, which was made of a clone, has written since its first
// start, or since an earlier proof, up to an LSN that is on disk. It refuses unless nothing is in it but
// what autovacuum, ANALYZE and pgleap have done. Every change that a transaction makes carries its id, and
// one that leaves nothing else in the WAL leaves its commit. Rows of unlogged tables, which leave no more
// than that, are looked for: beside something harmless in one transaction the commit would tell nothing.
func (w *Worker) proveUntouched(ctx context.Context, plan upgrade.Plan, so *proof, until postgres.LSN) error {
	files, err := w.files(plan)
	if err != nil {
		return err
	}
	var from baseline
	found, err := files.read(noteBaseline, &from)
	if err != nil {
		return err
	}
	if !found {
		return &upgrade.Refused{Reason: "it cannot be proven that nothing was written since the switch: where the target stood then was not noted"}
	}
	since := so.since
	if since == "" {
		since = from.LSN
	}
	judge, err := w.newJudge(ctx, plan, files)
	if err != nil {
		return err
	}
	judge.explained = so.explained
	user, err := owner(plan)
	if err != nil {
		return err
	}
	// Without a transcript: it would be as long as the WAL.
	err = pgbin.Waldump{
		Bindir: plan.Source.Bindir, Pgdata: plan.Source.Pgdata, Timeline: from.Timeline, Start: since, End: until.String(),
	}.Run(ctx, pgbin.Caller{Runner: w.runner, As: user}, judge.see)
	if found := cmp.Or(judge.foreign, judge.unlogged); found != "" {
		return &upgrade.Refused{
			Reason: "something was written on the target since the switch, which would be lost at the source: " + found,
			Remedy: "a way back that keeps what is written after the switch is what mode zero-downtime has",
		}
	}
	if err != nil && ctx.Err() == nil {
		return &upgrade.Refused{Reason: "it cannot be proven that nothing was written since the switch: " + err.Error()}
	}
	return err
}

// judge tells what clients have done from what happens by itself.
type judge struct {
	own        map[uint32]bool
	ofRoles    map[uint32]bool // transactions that begin with a message like pgleap's
	statistics map[pgbin.WALRelation]bool
	roles      map[pgbin.WALRelation]bool // what pgleap changes in those; both sides are compared, too
	inPlace    map[pgbin.WALRelation]bool // what VACUUM and ANALYZE overwrite
	explained  map[uint32]bool            // transactions that have left something harmless
	foreign    string                     // the first record that is not harmless
	unlogged   string                     // what has been written without a record
}

func (w *Worker) newJudge(ctx context.Context, plan upgrade.Plan, files files) (*judge, error) {
	j := &judge{
		own: map[uint32]bool{}, ofRoles: map[uint32]bool{},
		statistics: map[pgbin.WALRelation]bool{}, roles: map[pgbin.WALRelation]bool{}, inPlace: map[pgbin.WALRelation]bool{},
	}
	var own []uint64
	if _, err := files.read(noteOwnXIDs, &own); err != nil {
		return nil, err
	}
	for _, xid := range own {
		j.own[uint32(xid)] = true //nolint:gosec // pg_waldump shows the low half
	}
	at := quiet(login(plan, plan.Source))
	var databases []string
	err := with(ctx, at, func(conn *pgx.Conn) (err error) {
		settings, err := postgres.ReadSettings(ctx, conn)
		if err != nil {
			return err
		}
		if settings.Text("wal_level") == "minimal" {
			j.unlogged = "what wal_level = minimal keeps out of the WAL"
		}
		databases, err = postgres.ConnectableDatabases(ctx, conn)
		return err
	})
	for _, database := range databases {
		if err != nil {
			return nil, err
		}
		err = with(ctx, at.In(database), func(conn *pgx.Conn) error {
			files, err := postgres.ReadCatalogFiles(ctx, conn)
			if err != nil {
				return err
			}
			j.know(files)
			return j.lookForRows(ctx, conn)
		})
	}
	return j, err
}

// lookForRows looks for what clients have written to unlogged tables: in a clone they all begin empty.
func (j *judge) lookForRows(ctx context.Context, conn *pgx.Conn) error {
	filled, err := postgres.FilledUnloggedTables(ctx, conn)
	if err != nil {
		return err
	}
	if len(filled) > 0 {
		j.unlogged = fmt.Sprintf("rows in the unlogged table %s of database %s", filled[0], conn.Config().Database)
	}
	return nil
}

func (j *judge) know(files postgres.CatalogFiles) {
	add := func(to map[pgbin.WALRelation]bool, database uint32, nodes []uint32) {
		for _, node := range nodes {
			to[pgbin.WALRelation{Database: database, Filenode: node}] = true
		}
	}
	add(j.statistics, files.Database, files.Statistics)
	add(j.roles, 0, files.Roles)
	add(j.inPlace, files.Database, files.Classes)
	add(j.inPlace, 0, files.Databases)
}

// see judges a record.
func (j *judge) see(r pgbin.WALRecord) {
	if j.foreign != "" || r.XID != 0 && j.own[r.XID] || j.harmless(r) {
		return
	}
	verb, _, _ := strings.Cut(r.Desc, " ")
	by := "without a transaction"
	if r.XID != 0 {
		by = fmt.Sprintf("by transaction %d", r.XID)
	}
	j.foreign = fmt.Sprintf("%s %s %s at LSN %s", r.Manager, verb, by, r.LSN)
}

// Records that are harmless whichever relation they are of: they change nothing that a query sees.
var (
	housekeepers = []string{"XLOG", "XLOG2", "CLOG", "CommitTs", "ReplicationOrigin"}
	heapCleaning = []string{"PRUNE", "VISIBLE", "FREEZE", "VACUUM", "CLEAN", "NEW_CID"} // beginnings: the words differ by version
	pageCleaning = []string{"DELETE", "VACUUM", "REUSE", "MARK", "UNLINK", "META_CLEANUP"}
	indexes      = []string{"Btree", "Hash", "Gin", "Gist", "SPGist", "BRIN"}
)

func begins(text string, with []string) bool {
	return slices.ContainsFunc(with, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

func (j *judge) harmless(r pgbin.WALRecord) bool {
	switch {
	case slices.Contains(housekeepers, r.Manager):
		return true
	case r.Manager == "Transaction":
		return j.endsHarmlessly(r)
	case r.Manager == "Standby":
		return begins(r.Desc, []string{"RUNNING_XACTS", "INVALIDATIONS"})
	case r.Manager == "MultiXact":
		return begins(r.Desc, []string{"ZERO"})
	case r.Manager == "LogicalMessage":
		return r.XID == 0 || j.isOurs(r)
	case r.Manager == "Heap2" && begins(r.Desc, heapCleaning):
		return true
	case r.Manager == "Heap" && strings.HasPrefix(r.Desc, "INPLACE"):
		return j.explain(r, all(r.Relations, j.inPlace))
	case r.Manager == "Heap" || r.Manager == "Heap2":
		return r.XID != 0 && j.explain(r, j.isOfCatalogs(r))
	case slices.Contains(indexes, r.Manager):
		return r.XID == 0 || begins(r.Desc, pageCleaning) || j.isOfCatalogs(r)
	}
	return false
}

// endsHarmlessly judges the end of a transaction: one that commits must have left something harmless,
// else it may have changed what leaves no trace in the WAL.
func (j *judge) endsHarmlessly(r pgbin.WALRecord) bool {
	verb, _, _ := strings.Cut(r.Desc, " ")
	switch verb {
	case "COMMIT":
		return r.XID == 0 || j.explained[r.XID]
	case "ABORT", "INVALIDATION", "ASSIGNMENT":
		return true
	}
	return false
}

// isOfCatalogs tells whether a record changes nothing but statistics, or roles in a transaction of pgleap's.
func (j *judge) isOfCatalogs(r pgbin.WALRecord) bool {
	return all(r.Relations, j.statistics) || j.ofRoles[r.XID] && all(r.Relations, j.roles)
}

// isOurs tells whether a message is one of pgleap's: then changes of roles that follow it in its transaction
// are, too. Nothing else is, since everybody may write such a message.
func (j *judge) isOurs(r pgbin.WALRecord) bool {
	ours := strings.Contains(r.Desc, `prefix "`+upgrade.Schema+`"`)
	if ours {
		j.ofRoles[r.XID] = true
	}
	return j.explain(r, ours)
}

func (j *judge) explain(r pgbin.WALRecord, harmless bool) bool {
	if harmless {
		j.explained[r.XID] = true
	}
	return harmless
}

// all tells whether there are relations, and all of them are known.
func all(relations []pgbin.WALRelation, known map[pgbin.WALRelation]bool) bool {
	return len(relations) > 0 && !slices.ContainsFunc(relations, func(r pgbin.WALRelation) bool { return !known[r] })
}

// proveSameRoles compares the roles of both sides: somebody may have changed them after a message like pgleap's.
// It says nothing of the right to log in, which is taken by a fence.
func (w *Worker) proveSameRoles(ctx context.Context, plan upgrade.Plan) error {
	var facts [2][]string
	for i, cluster := range []upgrade.Cluster{plan.Source, plan.Target} {
		err := with(ctx, quiet(login(plan, cluster)), func(conn *pgx.Conn) (err error) {
			facts[i], err = postgres.RoleFacts(ctx, conn)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !slices.Equal(facts[0], facts[1]) {
		return &upgrade.Refused{
			Reason: "roles, or comments on roles or databases, were changed on the target since the switch, which would be lost at the source",
			Remedy: "make the same changes on the source, as its superuser, or stay",
		}
	}
	return nil
}
