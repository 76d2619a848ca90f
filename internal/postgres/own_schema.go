package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// What is in a schema depends on it, and on its owner: only objects of the bootstrap superuser do not
// (pg_shdepend.c, recordDependencyOnOwner), who is never our role. What belongs to a table or a type, such as
// indexes, triggers and defaults, can be made by its owner alone, unless he grants it.
const notOurs = `
	WITH ours AS (
		SELECT n.oid, n.nspname, n.nspowner, n.nspacl, r.oid AS role
		FROM pg_namespace n LEFT JOIN pg_roles r ON r.rolname = $2
		WHERE n.nspname = $1
	)
	SELECT format('schema %I of role %I', nspname, pg_get_userbyid(nspowner))
	FROM ours WHERE nspowner IS DISTINCT FROM role
	UNION ALL
	SELECT format('the privilege CREATE on schema %I of %s', nspname,
		CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
	FROM ours, aclexplode(nspacl) AS acl WHERE acl.privilege_type = 'CREATE' AND acl.grantee <> nspowner
	UNION ALL
	SELECT format('%s %s', named.type, named.identity)
	FROM ours, pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) AS named
	WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = ours.oid AND d.deptype = 'n' AND NOT EXISTS (
		SELECT FROM pg_shdepend s
		WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND s.classid = d.classid AND s.objid = d.objid AND s.objsubid = 0
			AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = ours.role AND s.deptype = 'o')
	LIMIT 1`

// ensureOwnSchema makes the schema pgleap, or refuses the one that is there: if anything in it is another's, or
// another can make anything in it, his code would run as our role, a superuser. Nobody else can add to a schema
// that has passed.
func ensureOwnSchema(ctx context.Context, tx pgx.Tx) error {
	schema, role := quoteIdent(upgrade.Schema), quoteIdent(upgrade.Role)
	if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema+" AUTHORIZATION "+role); err != nil {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	rows, err := tx.Query(ctx, notOurs, upgrade.Schema, upgrade.Role)
	if err != nil {
		return fmt.Errorf("look who owns schema %s: %w", schema, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look who owns schema %s: %w", schema, err)
	}
	if len(found) > 0 {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("database %s has %s, where pgleap keeps what is its own and runs it as a superuser", tx.Conn().Config().Database, found[0]),
			Remedy: "rename it, move it to another schema or drop it (a privilege: revoke it), then start the upgrade anew",
		}
	}
	return nil
}

// hasOwnSchema tells whether the schema pgleap is there, and is ours.
func hasOwnSchema(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var ours bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = $1 AND r.rolname = $2)`,
		upgrade.Schema, upgrade.Role).Scan(&ours)
	if err != nil {
		return false, fmt.Errorf("look who owns schema %s: %w", upgrade.Schema, err)
	}
	return ours, nil
}
