package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The SQL of the guard: what both ways share, the two ways, and what lets the other side follow.
var (
	//go:embed ddl_guard.sql
	ddlGuardSQL string
	//go:embed ddl_block.sql
	ddlBlockSQL string
	//go:embed ddl_capture.sql
	ddlCaptureSQL string
	//go:embed ddl_replay.sql
	ddlReplaySQL string
)

// DDLGuard watches over the definitions of a database during an upgrade, by event triggers. They are part of
// what a clone takes over, so that both sides have them. Sessions with session_replication_role = replica,
// as ours and those that apply changes, are not affected.
//
// Not seen, since no event trigger fires: changes of roles, databases and tablespaces, REASSIGN OWNED, event
// triggers themselves, EXPLAIN ANALYZE of CREATE TABLE AS, and superusers who switch triggers off. A comparison
// of both sides finds them, as far as they are in a Shape or among the CatalogFacts.
type DDLGuard struct {
	Task     int64
	Instance string
	// Allow captures changes, and replays them where the database is followed. Without it they are refused.
	Allow bool
}

// EnsureDDLGuard makes the guard in the database of conn, a superuser's session, or makes it anew. It is one
// transaction: there is never a part of it. Captured commands are kept, and a change of Allow does not touch what
// the other side needs to follow: the table of commands is there in any case, since a table that is made later
// would be unknown to a clone. A schema pgleap that is not ours alone is refused with *upgrade.Refused.
func EnsureDDLGuard(ctx context.Context, conn *pgx.Conn, guard DDLGuard) error {
	if strings.Contains(guard.Instance, "$") { // it would end the functions' bodies
		return fmt.Errorf("guard the definitions in %s: %q is not the name of an instance", conn.Config().Database, guard.Instance)
	}
	way := ddlBlockSQL
	if guard.Allow {
		way = ddlCaptureSQL
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, strings.Join(quietDDLGuard(), ";\n")); err != nil {
			return err
		}
		if err := ensureOwnSchema(ctx, tx); err != nil {
			return err
		}
		statements := append([]string{"SET LOCAL ROLE " + quoteIdent(upgrade.Role)}, dropDDLTriggers()...)
		statements = append(statements, "DROP TRIGGER IF EXISTS replay ON pgleap.ddl")
		statements = append(statements, dropDDLFunctions()...)
		statements = append(statements, guard.said(ddlGuardSQL), guard.said(way), ddlReplaySQL)
		_, err := tx.Exec(ctx, strings.Join(statements, ";\n"))
		return err
	})
	if err != nil {
		return fmt.Errorf("guard the definitions in %s: %w", conn.Config().Database, err)
	}
	return nil
}

// said puts what the guard's messages tell into its SQL.
func (g DDLGuard) said(sql string) string {
	end := fmt.Sprintf("The guard ends with the upgrade: `pgleap switchover %s cancel` before the switchover, `pgleap finish %s` after it.", g.Instance, g.Instance)
	return strings.NewReplacer(
		"{task}", quoteLiteral(strconv.FormatInt(g.Task, 10)),
		"{instance}", quoteLiteral(g.Instance),
		"{end}", quoteLiteral(end),
	).Replace(sql)
}

// DropDDLGuard removes all of the guard, or what there is of it, from the database of conn.
func DropDDLGuard(ctx context.Context, conn *pgx.Conn) error {
	ours, err := hasOwnSchema(ctx, conn)
	if err != nil {
		return fmt.Errorf("remove the guard of the definitions in %s: %w", conn.Config().Database, err)
	}
	if !ours { // nor is anything in it, and triggers are nothing without their functions
		return nil
	}
	statements := append([]string{"BEGIN"}, quietDDLGuard()...)
	statements = append(statements, dropDDLTriggers()...)
	statements = append(statements, "DROP TABLE IF EXISTS pgleap.ddl", "DROP SEQUENCE IF EXISTS pgleap.ddl_number")
	statements = append(append(statements, dropDDLFunctions()...), "COMMIT")
	if err := execAll(ctx, conn, statements); err != nil {
		return fmt.Errorf("remove the guard of the definitions in %s: %w", conn.Config().Database, err)
	}
	return nil
}

// quietDDLGuard lets neither the guard nor anybody else's event triggers fire in this transaction.
func quietDDLGuard() []string {
	return []string{"SET LOCAL session_replication_role = replica", "SET LOCAL client_min_messages = warning"}
}

func dropDDLTriggers() []string {
	var statements []string
	for _, name := range []string{"pgleap_ddl_start", "pgleap_ddl_end", "pgleap_ddl_drop", "pgleap_ddl_rewrite"} {
		statements = append(statements, "DROP EVENT TRIGGER IF EXISTS "+quoteIdent(name))
	}
	return statements
}

// dropDDLFunctions drops the functions of both ways.
func dropDDLFunctions() []string {
	var statements []string
	for _, function := range []string{
		"block_ddl()", "capture_ddl_end()", "capture_ddl_start()", "capture_ddl_rewrite()",
		"capture_ddl(text, text, text, boolean)", "ddl_changed()", "ddl_dropped()", "ddl_changes_nothing(text)",
		"ddl_is_alone(text, text)", "ddl_obstacle(text, text, boolean)", "ddl_plain(text, text)", "ddl_token(text)",
		"ddl_unsteady_column(oid, text, boolean)", "refuse_code_left()", "refuse_ddl(text, text, text)", "refuse_ddl_default(text, text)",
		"replay_ddl()", "run_ddl(text, text, jsonb, text)", "settle_ddl(bigint)", "settle_superseded(bigint, text, text)", "subscribe_tables(text[])",
	} {
		statements = append(statements, "DROP FUNCTION IF EXISTS pgleap."+function)
	}
	return statements
}
