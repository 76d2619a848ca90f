package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// roleComment marks the role as ours: one of that name without it is somebody else's.
const roleComment = "pgleap: for the running upgrade, removed when it has finished"

// oursNow begins each of pgleap's transactions that change roles: who reads the WAL to see whether anybody has
// written there knows them by it, and takes every other change of a role for somebody's.
const oursNow = "SELECT pg_catalog.pg_logical_emit_message(true, 'pgleap', 'roles')"

// EnsureRole makes pgleap's own role or gives the existing one a new password.
// It is a superuser: FOR ALL TABLES, the fence and subscriptions need one. The session of conn is
// silenced by this, and should be closed after it.
func EnsureRole(ctx context.Context, conn *pgx.Conn, verifier string) error {
	if err := silence(ctx, conn); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		verb, err := verbForRole(ctx, tx)
		if err != nil {
			return err
		}
		// A statement each: statements that are sent together are logged together.
		for _, statement := range []string{
			oursNow,
			verb + " ROLE " + quoteIdent(upgrade.Role) + " LOGIN SUPERUSER REPLICATION CONNECTION LIMIT -1 PASSWORD " + quoteLiteral(verifier),
			"COMMENT ON ROLE " + quoteIdent(upgrade.Role) + " IS " + quoteLiteral(roleComment),
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create role %s: %w", upgrade.Role, err)
	}
	return nil
}

// verbForRole tells whether the role has to be made. One that is there must be a superuser without members
// already, as ours is: whoever may create roles could have made it, to become a superuser with it. Nobody
// changes roles until tx ends.
func verbForRole(ctx context.Context, tx pgx.Tx) (string, error) {
	if _, err := tx.Exec(ctx, "LOCK TABLE pg_catalog.pg_authid, pg_catalog.pg_auth_members IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return "", err
	}
	var exists, foreign bool
	err := tx.QueryRow(ctx, `
		SELECT count(*) > 0, coalesce(bool_or(NOT r.rolsuper OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid)), false)
		FROM pg_roles r
		WHERE r.rolname = $1`, upgrade.Role).Scan(&exists, &foreign)
	switch {
	case err != nil:
		return "", err
	case foreign:
		return "", &upgrade.Refused{
			Reason: "there is a role " + upgrade.Role + " that is not pgleap's own: it is not a superuser, or it has members",
			Remedy: "rename or drop the role, or revoke it from its members, and start the upgrade again",
		}
	case exists:
		return "ALTER", nil
	}
	return "CREATE", nil
}

// silence keeps the statements of a session, for the rest of its life, from the server's log, from
// pg_stat_activity and from pg_stat_statements: the verifier is in one of them.
func silence(ctx context.Context, conn *pgx.Conn) error {
	const quiet = `
		SELECT set_config(name, value, false)
		FROM pg_settings JOIN (VALUES
			('log_statement', 'none'),
			('log_duration', 'off'),
			('log_min_duration_statement', '-1'),
			('log_min_duration_sample', '-1'),
			('log_transaction_sample_rate', '0'),
			('log_min_error_statement', 'panic'),
			('track_activities', 'off'),
			('pg_stat_statements.track_utility', 'off')
		) AS quiet (name, value) USING (name)`
	if _, err := conn.Exec(ctx, quiet); err != nil {
		return fmt.Errorf("keep the password out of the server's log: %w", err)
	}
	return nil
}

// DropRole removes pgleap's own role, if it is there and is ours.
func DropRole(ctx context.Context, conn *pgx.Conn) error {
	var ours bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM pg_roles
			WHERE rolname = $1 AND shobj_description(oid, 'pg_authid') = $2)`,
		upgrade.Role, roleComment).Scan(&ours)
	if err != nil {
		return fmt.Errorf("look for role %s: %w", upgrade.Role, err)
	}
	if !ours {
		return nil
	}
	if err := execAll(ctx, conn, []string{"BEGIN", oursNow, "DROP ROLE IF EXISTS " + quoteIdent(upgrade.Role), "COMMIT"}); err != nil {
		return fmt.Errorf("drop role %s: %w", upgrade.Role, err)
	}
	return nil
}

// LoginRoles lists the roles that may log in, other than pgleap's.
func LoginRoles(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT rolname FROM pg_roles
		WHERE rolcanlogin AND rolname <> $1
		ORDER BY rolname`, upgrade.Role)
	if err != nil {
		return nil, fmt.Errorf("list login roles: %w", err)
	}
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list login roles: %w", err)
	}
	return roles, nil
}

// PermitLogins gives LOGIN back to roles, in one transaction. A role that no longer exists is passed over, and
// so is one that has LOGIN: several processes may do this at once, and would be in each other's way.
func PermitLogins(ctx context.Context, conn *pgx.Conn, roles []string) error {
	kept, err := barredRoles(ctx, conn, roles)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		return nil
	}
	statements := []string{"BEGIN", oursNow}
	for _, role := range kept {
		statements = append(statements, "ALTER ROLE "+quoteIdent(role)+" LOGIN")
	}
	if err := execAll(ctx, conn, append(statements, "COMMIT")); err != nil {
		return fmt.Errorf("alter %d roles LOGIN: %w", len(kept), err)
	}
	return nil
}

// BarLogins takes LOGIN from roles in one transaction, and then, in a second one that stays open, keeps
// everybody from changing any role until PermitRoleChanges: who could still do so could let
// somebody in again. Logging in only reads roles, and goes on.
//
// It does not wait for the disk, since clients wait for it: WAL is flushed in its order, and what the caller
// writes next, a marker or a message, is flushed before anything is built on the fence.
func BarLogins(ctx context.Context, conn *pgx.Conn, roles []string) error {
	statements := []string{"BEGIN", "SET LOCAL synchronous_commit = off"}
	if len(roles) > 0 {
		statements = append(statements, oursNow)
	}
	for _, role := range roles {
		statements = append(statements, "ALTER ROLE "+quoteIdent(role)+" NOLOGIN")
	}
	statements = append(statements, "COMMIT", "BEGIN", "LOCK TABLE pg_catalog.pg_authid IN SHARE MODE")
	if err := execAll(ctx, conn, statements); err != nil {
		return fmt.Errorf("alter %d roles NOLOGIN: %w", len(roles), err)
	}
	return nil
}

// PermitRoleChanges ends the transaction that BarLogins left open.
func PermitRoleChanges(ctx context.Context, conn *pgx.Conn) error {
	if err := execAll(ctx, conn, []string{"COMMIT"}); err != nil {
		return fmt.Errorf("permit changes of roles again: %w", err)
	}
	return nil
}

func barredRoles(ctx context.Context, conn *pgx.Conn, roles []string) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND NOT rolcanlogin`, roles)
	if err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	return kept, nil
}

// execAll sends statements in one round trip by the simple protocol. After an error the
// transaction that they opened is rolled back.
func execAll(ctx context.Context, conn *pgx.Conn, statements []string) error {
	_, err := conn.PgConn().Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err != nil && !conn.IsClosed() {
		_, _ = conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
	}
	return err
}

// quoteIdent quotes an identifier.
func quoteIdent(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// quoteLiteral quotes a string constant, whatever standard_conforming_strings says.
func quoteLiteral(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// RoleSecret is a role and its pg_authid.rolpassword, which may be empty.
type RoleSecret struct {
	Name   string
	Secret string
}

// RoleSecrets reads the secrets of the roles, other than PostgreSQL's own and pgleap's. Only a superuser can.
func RoleSecrets(ctx context.Context, conn *pgx.Conn) ([]RoleSecret, error) {
	rows, err := conn.Query(ctx, `
		SELECT rolname, coalesce(rolpassword, '') FROM pg_authid
		WHERE rolname !~ '^pg_' AND rolname <> $1
		ORDER BY rolname`, upgrade.Role)
	if err != nil {
		return nil, fmt.Errorf("read the secrets of roles: %w", err)
	}
	secrets, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RoleSecret])
	if err != nil {
		return nil, fmt.Errorf("read the secrets of roles: %w", err)
	}
	return secrets, nil
}
