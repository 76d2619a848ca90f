package precheck

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// configurationInvalid: pg_upgrade starts the new cluster with a configuration of its own making, so
// it does not see that the translated one is refused.
var configurationInvalid = Check{
	ID: "configuration-invalid", Title: "The target does not start with the source's configuration",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why:    "The target's own programs were given the source's configuration, translated, and an empty cluster was started with it. A server that finds a wrong setting in its files, or misses a library, does not start.",
	Remedy: "Correct the setting where it stands. What ALTER SYSTEM wrote can be reset.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		c, err := f.compared.Get()
		if err != nil {
			return nil, err
		}
		var found []Found
		told := map[string]bool{}
		for _, change := range c.Changes {
			if change.Kind == pgconf.Invalid {
				told[change.Name] = true
				found = append(found, c.invalid(change.Name, change.From+": "+change.Reason))
			}
		}
		for _, complaint := range c.files.Complaints {
			name := c.settingOf(complaint)
			switch {
			case name == "":
				found = append(found, Found{Object: "start of the target", Note: complaint})
			case !told[name]:
				told[name] = true
				found = append(found, c.invalid(name, f.withoutValue(name, complaint)))
			}
		}
		return found, nil
	},
}

// invalid is a setting that stands somewhere, with its remedy.
func (c *compared) invalid(name, note string) Found {
	found := Found{Object: name, Note: note}
	setting, ok := c.files.Tree.Get(name)
	if !ok {
		return found
	}
	found.Note = setting.Place() + ": " + note
	if setting.IsAuto() {
		found.SQL = resetSystem(name)
	}
	return found
}

// preload is the setting whose libraries every server loads when it starts.
const preload = "shared_preload_libraries"

var (
	namesParameter = regexp.MustCompile(`parameter "([^"]+)"`)
	namesFile      = regexp.MustCompile(`(?:file|library) "([^"]+)"`)
)

// settingOf finds the setting that a complaint is about; empty if it does not say.
func (c *compared) settingOf(complaint string) string {
	if named := namesParameter.FindStringSubmatch(complaint); named != nil {
		return named[1]
	}
	setting, _ := c.files.Tree.Get(preload)
	named := namesFile.FindStringSubmatch(complaint)
	if named != nil && slices.Contains(libraryNames(setting.Value), strings.TrimSuffix(filepath.Base(named[1]), ".so")) {
		return preload
	}
	return ""
}

// isUnknown tells whether a complaint is about a name, and has no value in it.
func isUnknown(complaint string) bool {
	return strings.Contains(complaint, "unrecognized configuration parameter")
}
