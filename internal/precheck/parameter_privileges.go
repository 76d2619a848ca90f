package precheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// parameterPrivileges: pg_dumpall writes them among the roles (pg_dumpall.c, dumpRoleGUCPrivs), which pg_upgrade restores
// first and --check does not.
var parameterPrivileges = Check{
	ID: "parameter-privileges", Title: "Privileges are granted on parameters that the target does not have",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster, Versions: Versions{Sources: 15},
	Why: "From 15 on roles can be granted to set a parameter. Parameters are removed between major versions: a GRANT on one that the target does not know " +
		"makes pg_upgrade fail half-way.",
	Remedy: "Revoke the privilege. If the parameter has been renamed, grant it on the new one on the target after the upgrade.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		// All grants come down from the owner, who is the first superuser, and are revoked with his. He may have lost his own.
		granted, err := s.query(ctx, `
			SELECT p.parname, string_agg(DISTINCT g.name, ', ') FILTER (WHERE g.grantee <> 10),
				CASE WHEN count(*) FILTER (WHERE g.grantee <> 10) > 0 THEN format('REVOKE ALL ON PARAMETER %I FROM %s CASCADE', p.parname,
						string_agg(DISTINCT g.name, ', ') FILTER (WHERE g.grantee <> 10))
					ELSE format('GRANT ALL ON PARAMETER %I TO %I', p.parname, (SELECT rolname FROM pg_roles WHERE oid = 10)) END
			FROM pg_parameter_acl p LEFT JOIN LATERAL (
				SELECT a.grantee, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS name FROM aclexplode(p.paracl) AS a
			) AS g ON true
			GROUP BY p.parname
			ORDER BY p.parname`)
		if err != nil {
			return nil, err
		}
		return f.unknownToTarget(ctx, granted)
	},
}

// unknownToTarget keeps the parameters on which the target grants nothing: what the restore would try is tried on the
// scratch cluster, and rolled back.
func (f *Facts) unknownToTarget(ctx context.Context, granted []Found) ([]Found, error) {
	if len(granted) == 0 {
		return nil, nil
	}
	conn, err := f.Target()
	if err != nil {
		return nil, err
	}
	var refused []Found
	for _, parameter := range granted {
		said, err := tryInTransaction(ctx, conn, fmt.Sprintf("GRANT SET ON PARAMETER %s TO PUBLIC", pgx.Identifier{parameter.Object}.Sanitize()))
		if err != nil {
			return nil, err
		}
		if said == "" {
			continue
		}
		if parameter.Note != "" {
			said = "granted to " + parameter.Note + "; " + said
		}
		parameter.Note = said
		refused = append(refused, parameter)
	}
	return refused, nil
}

// tryInTransaction returns what the server has against a statement. If it has nothing, it is rolled back.
func tryInTransaction(ctx context.Context, conn *pgx.Conn, statement string) (refusal string, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it is meant to be rolled back
	_, err = tx.Exec(ctx, statement)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Message, nil
	}
	return "", err
}
