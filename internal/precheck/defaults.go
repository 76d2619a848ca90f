package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// defaults: what nobody has set gets the target's default.
var defaults = Check{
	ID: "defaults", Title: "Settings that nobody has set get another value",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster,
	Why:    "The built-in defaults of the two versions differ, and so the target behaves differently where nobody has set anything.",
	Remedy: "The new defaults are good for most. To keep an old one, set it before the upgrade: it is what the source has anyway, and is carried over.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		c, err := f.compared.Get()
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, change := range c.Changes {
			one := Found{Object: change.Name}
			switch change.Kind {
			case pgconf.Default:
				one.Note = change.From + " becomes " + change.To
				one.SQL = "ALTER SYSTEM SET " + quoteIdent(change.Name) + " = " + quoteLiteral(change.From)
			case pgconf.New:
				one.Note = "new, " + change.To
			default:
				continue
			}
			if change.Reason != "" {
				one.Note += ": " + change.Reason
			}
			if change.Weighty {
				one.Severity = upgrade.Warning
			}
			found = append(found, one)
		}
		return found, nil
	},
}
