package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// extensionViews: pg_upgrade brings an extension along in the version that it has. The update to the target's comes
// afterwards, and its scripts drop and make anew the extension's views and functions where those have changed, as
// pg_stat_statements does in almost every version.
var extensionViews = Check{
	ID: "extension-views", Title: "Views stand in the way of updates of extensions",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase, OfMachine: true, Acceptable: true,
	Why: "When the target is up, its extensions are updated to the versions that it has. An update that drops and makes anew what a view is made of fails: " +
		"the extension stays in its old version, and a dump of the target makes the new one, in which the view may not work.",
	Remedy: "Keep the view's definition and drop it before the upgrade, or on the target afterwards. Update the extension there (ALTER EXTENSION ... UPDATE), " +
		"and make the view anew; its columns may be called otherwise. Or accept it by name, and mend it later.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		uses, err := s.extensionUses(ctx)
		if err != nil || len(uses) == 0 {
			return nil, err
		}
		conn, err := f.Target()
		if err != nil {
			return nil, err
		}
		available, err := availableExtensions(ctx, conn)
		if err != nil {
			return nil, err
		}
		var found []Found
		refusals := map[string]string{} // by what was tried: many views may be made of the same member
		for _, use := range uses {
			to := available[use.extension]
			reachable, err := updatable(ctx, conn, use.extension, use.version, to)
			if err != nil {
				return nil, err
			}
			if to == "" || to == use.version || !reachable || slices.ContainsFunc(found, func(one Found) bool { return one.Object == use.view }) {
				continue // another check tells what cannot be had
			}
			refusal, tried := refusals[use.create+use.probe]
			if !tried {
				if refusal, err = f.tryUpdate(ctx, use); err != nil {
					return nil, err
				}
				refusals[use.create+use.probe] = refusal
			}
			if refusal != "" {
				note, err := s.describeUse(ctx, use, to, refusal)
				if err != nil {
					return nil, err
				}
				found = append(found, Found{Object: use.view, Note: note})
			}
		}
		return found, nil
	},
}

// extensionUse is a view of the user's upon a member of an extension.
type extensionUse struct {
	view, extension, version string
	oid                      uint32
	create, probe, update    string // SQL for the target: the extension, a view upon the same member, and the update
}

// extensionUses lists the views upon relations and functions of extensions.
func (s Session) extensionUses(ctx context.Context) ([]extensionUse, error) {
	rows, err := s.Tx.Query(ctx, fmt.Sprintf(`
		SELECT DISTINCT v.oid, format('%%I.%%I', vn.nspname, v.relname), e.extname, e.extversion,
			concat(CASE WHEN n.nspname NOT IN ('public', 'pg_catalog') THEN format('CREATE SCHEMA IF NOT EXISTS %%I; ', n.nspname) END,
				format('CREATE EXTENSION %%I SCHEMA %%I VERSION %%L CASCADE', e.extname, n.nspname, e.extversion)),
			concat('CREATE VIEW public.pgleap_probe AS SELECT 1 AS one FROM ', CASE WHEN c.oid IS NOT NULL THEN format('%%I.%%I', cn.nspname, c.relname)
				ELSE format('%%I.%%I(%%s)', pn.nspname, p.proname, (
					SELECT string_agg(%s, ', ' ORDER BY k) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, k)
				)) END),
			format('ALTER EXTENSION %%I UPDATE', e.extname)
		FROM pg_depend d
			JOIN pg_rewrite r ON r.oid = d.objid
			JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
			JOIN pg_namespace vn ON vn.oid = v.relnamespace
			JOIN pg_depend m ON m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e'
			JOIN pg_extension e ON e.oid = m.refobjid
			JOIN pg_namespace n ON n.oid = e.extnamespace
			LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
			LEFT JOIN pg_namespace cn ON cn.oid = c.relnamespace
			LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid AND p.prokind = 'f'
			LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
		WHERE d.classid = 'pg_rewrite'::regclass AND (c.oid IS NOT NULL OR p.oid IS NOT NULL)
			AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = v.oid AND x.deptype = 'e')
		ORDER BY 2, 3, 6`, fmt.Sprintf(argument, "type")))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var uses []extensionUse
	for rows.Next() {
		var u extensionUse
		if err := rows.Scan(&u.oid, &u.view, &u.extension, &u.version, &u.create, &u.probe, &u.update); err != nil {
			return nil, err
		}
		uses = append(uses, u)
	}
	return uses, rows.Err()
}

// tryUpdate makes the extension as the target gets it, with a view upon it, and updates it. The answer is empty too if
// not even that can be made there.
func (f *Facts) tryUpdate(ctx context.Context, use extensionUse) (refusal string, err error) {
	before := use.create + "; " + use.probe
	if refusal, err := f.tryOnTarget(ctx, before); err != nil || refusal != "" {
		return "", err
	}
	return f.tryOnTarget(ctx, before+"; "+use.update)
}

// describeUse tells of the view what has to be done anew.
func (s Session) describeUse(ctx context.Context, use extensionUse, to, refusal string) (string, error) {
	var definition string
	if err := s.Tx.QueryRow(ctx, `SELECT pg_get_viewdef($1::oid)`, use.oid).Scan(&definition); err != nil {
		return "", err
	}
	definition = strings.TrimSuffix(strings.TrimSpace(definition), ";")
	return fmt.Sprintf("the update of %s from %s to %s fails: %s; the view is %s", use.extension, use.version, to, refusal, definition), nil
}
