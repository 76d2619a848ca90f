package precheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// textSearchFiles tries on the scratch cluster to make the dictionaries whose templates are the server's own: each
// reads its files when it is made (tsearchcmds.c, verify_dictoptions), from a directory that belongs to the version. What
// is a letter in them is up to the database's encoding and locale (spell.c), so they are tried in one like the source's.
var textSearchFiles = Check{
	ID: "text-search-files", Title: "The target cannot make dictionaries for full-text search",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, OfMachine: true,
	Why: "Dictionaries read files for stop words, synonyms and spelling from the directory tsearch_data of their version's programs, where an upgrade does not bring your own. " +
		"Without them the restore of the database fails; pg_upgrade --check does not see it.",
	Remedy: "Copy the files into tsearch_data below what the target's pg_config --sharedir prints. If nobody uses the dictionary, drop it.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		dictionaries, err := s.query(ctx, `
			SELECT format('%I.%I', n.nspname, d.dictname),
				format('CREATE TEXT SEARCH DICTIONARY public.pgleap_probe (%s)', concat_ws(', ', format('TEMPLATE = pg_catalog.%I', t.tmplname),
					CASE t.tmplname WHEN 'thesaurus' -- the scratch cluster lacks the dictionary that it is built on
						THEN regexp_replace(d.dictinitoption, '(^|, )dictionary = ''([^'']|'''')*''', '\1dictionary = ''pg_catalog.simple''')
						ELSE d.dictinitoption END)), NULL
			FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
			WHERE d.oid >= 16384 AND t.oid < 16384 AND t.tmplnamespace = 'pg_catalog'::regnamespace
			ORDER BY 1`)
		if err != nil || len(dictionaries) == 0 {
			return nil, err
		}
		p, err := f.probe(ctx, f.database(s.Database))
		if err != nil || p.refusal != "" { // another check tells of the refusal
			return nil, err
		}
		var found []Found
		for _, dictionary := range dictionaries {
			err := execAndRollBack(ctx, p.conn, dictionary.Note)
			refused, ok := errors.AsType[*pgconn.PgError](err)
			switch {
			case ok:
				found = append(found, Found{Object: dictionary.Object, Note: refused.Message})
			case err != nil:
				return nil, fmt.Errorf("try %q on the target: %w", dictionary.Note, err)
			}
		}
		return found, nil
	},
}
