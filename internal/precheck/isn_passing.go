package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// isnPassing: 32-bit builds pass 8-byte values by reference, and isn's functions have to be declared so (pg_upgrade's
// check.c, check_for_isn_and_int8_passing_mismatch).
var isnPassing = Check{
	ID: "isn-passing", Title: "Functions of isn pass numbers in another way than the target",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:       "Source and target are built for different sizes of words, and the functions of the extension isn depend on it.",
	Remedy:    "Install programs of the target version that are built like the source's; or drop the extension, after a dump of what uses it, which is restored on the target. The SQL drops the extension, and is refused as long as a column uses it.",
	PgUpgrade: []string{"contrib_isn_and_int8_pass_by_value.txt"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		functions, err := s.query(ctx, `
			SELECT format('%I.%I', n.nspname, p.proname), NULL,
				(SELECT format('DROP EXTENSION %I', extname) FROM pg_extension WHERE extname = 'isn')
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE p.probin = '$libdir/isn'
			ORDER BY 1`)
		if err != nil || len(functions) == 0 {
			return nil, err
		}
		target, err := f.Target()
		if err != nil {
			return nil, err
		}
		const byValue = `SELECT float8_pass_by_value FROM pg_control_init()`
		var source, theirs bool
		if err := s.Tx.QueryRow(ctx, byValue).Scan(&source); err != nil {
			return nil, err
		}
		if err := target.QueryRow(ctx, byValue).Scan(&theirs); err != nil {
			return nil, fmt.Errorf("ask the target how it passes numbers: %w", err)
		}
		if source == theirs {
			return nil, nil
		}
		return functions, nil
	},
}
