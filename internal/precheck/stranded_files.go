package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// strandedFiles: a copy of them is not theirs to make, of a log directory or a library for example.
var strandedFiles = Check{
	ID: "stranded-files", Title: "Settings name places within the source's data directory by their whole paths",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerCluster,
	Why: "The target goes on using these places within the source's data directory. When that is removed some day, the target lacks them, " +
		"and may not start again. Certificates, keys, revocation lists and keytabs are not among them: they are copied, and the settings name the copies.",
	Remedy: "Before the source's data directory is removed, choose a place outside it, or a path that is relative to the data directory. " +
		"Done before the upgrade, the target gets it so.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		c, err := f.compared.Get()
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, change := range c.files.Stranded {
			found = append(found, Found{Object: change.Name, Note: where(change)})
		}
		return found, nil
	},
}
