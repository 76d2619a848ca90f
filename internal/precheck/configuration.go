package precheck

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// configuration tells what the translation does to the source's files. All of it is in the report,
// with a diff.
var configuration = Check{
	ID: "configuration", Title: "Settings mean something else to the target",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster,
	Why:    "The target gets the source's configuration, translated: what has another name or value there is renamed or converted, and what it does not know becomes a comment.",
	Remedy: "Nothing has to be done for the upgrade. See that nobody misses what is dropped; what ALTER SYSTEM wrote can be reset before.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		c, err := f.compared.Get()
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, change := range c.Changes {
			one := Found{Object: change.Name, Note: string(change.Kind) + ", " + where(change) + ": " + change.Reason}
			switch change.Kind {
			case pgconf.Default, pgconf.New, pgconf.Invalid:
				continue // another check's
			case pgconf.Dropped, pgconf.Kept:
				one.Severity = upgrade.Warning
				if (pgconf.Setting{File: change.File}).IsAuto() {
					one.SQL = resetSystem(change.Name)
				}
			}
			if change.Weighty {
				one.Severity = upgrade.Warning
			}
			found = append(found, one)
		}
		return found, nil
	},
}

// resetSystem takes a setting out of postgresql.auto.conf.
func resetSystem(name string) string {
	return "ALTER SYSTEM RESET " + quoteIdent(name)
}

// quoteIdent quotes each part of the name of a setting, unless it is a plain word.
func quoteIdent(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		return name
	}
	return pgx.Identifier(strings.Split(name, ".")).Sanitize()
}
