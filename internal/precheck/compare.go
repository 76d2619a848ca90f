package precheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Configuration is what the source's configuration says, and what the target's programs said of it.
type Configuration struct {
	// Tree is the source's own: its files, what ALTER SYSTEM wrote, and its command line.
	Tree *pgconf.Tree
	// Known tells whether the target's postgres takes a setting in a file. It is what the
	// translation goes by.
	Known func(name string) bool
	// Access are the changes of pg_hba.conf.
	Access []pgconf.Change
	// Withheld are settings that the target does not get as they were, whatever its version.
	Withheld []pgconf.Change
	// Stranded are lines that name places within the source's data directory, on the target too.
	Stranded []pgconf.Change
	// Complaints are what the target's programs had to say of the translated configuration.
	Complaints []string
	// SharedMemory is how many bytes of shared memory the target takes with it, or 0 where its programs cannot tell.
	SharedMemory int64
}

// compared is the source's configuration beside what the target makes of it.
type compared struct {
	pgconf.Compared
	files          Configuration
	source, target pgconf.Description
	// ofObjects are settings of roles, databases and functions; several who look at the same time note them.
	mutex     sync.Mutex
	ofObjects []upgrade.ConfigurationChange
}

// compare asks both servers for all their settings, and computes what becomes of the source's.
func (f *Facts) compare(ctx context.Context, source *pgx.Conn) (*compared, error) {
	files, err := f.Host.Configuration.Get()
	if err == nil && files.Tree == nil {
		err = errors.New("they are out of reach")
	}
	if err != nil {
		return nil, fmt.Errorf("read the source's configuration files: %w", err)
	}
	target, err := f.Target()
	if err != nil {
		return nil, err
	}
	ofSource, err := postgres.Parameters(ctx, source)
	if err != nil {
		return nil, err
	}
	ofTarget, err := postgres.Parameters(ctx, target)
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	for _, p := range ofSource {
		set[p.Name] = p.Set
	}
	c := &compared{files: files, source: describe(ofSource), target: describe(ofTarget)}
	c.Compared = pgconf.Compare(files.Tree, f.majors(), files.Known, c.source, c.target, func(name string) bool { return set[name] })
	c.Changes = slices.Concat(c.Changes, files.Access, files.Withheld)
	c.Diff += pgconf.Diff(files.Access, c.source, c.target)
	return c, nil
}

func (f *Facts) majors() pgconf.Versions {
	return pgconf.Versions{Source: int(f.Version.Major()), Target: int(f.Plan.Target.Version.Major())}
}

func describe(parameters []postgres.Parameter) pgconf.Description {
	rows := make([]pgconf.Parameter, len(parameters))
	for i, p := range parameters {
		rows[i] = pgconf.Parameter{
			Name: p.Name, Context: p.Context, Type: p.Type, Unit: p.Unit, Default: p.Default, Min: p.Min, Max: p.Max, Values: p.Values,
		}
	}
	return pgconf.Describe(rows)
}

// configurationReport is what the report says of the configuration; nil if it could not be compared.
func (f *Facts) configurationReport() *upgrade.Configuration {
	c := f.compared.Value
	if f.compared.Err != nil || c == nil {
		return nil
	}
	report := &upgrade.Configuration{Changes: []upgrade.ConfigurationChange{}, Kept: c.Kept, Diff: shortened(c.Diff)}
	for _, change := range c.Changes {
		report.Changes = append(report.Changes, upgrade.ConfigurationChange{
			Kind: upgrade.ConfigurationKind(change.Kind), Name: change.Name, Where: where(change),
			From: change.From, To: change.To, Reason: change.Reason,
		})
	}
	slices.SortStableFunc(c.ofObjects, func(a, b upgrade.ConfigurationChange) int { // whoever noted his first
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Name, b.Name))
	})
	report.Changes = append(report.Changes, c.ofObjects...)
	report.Changes = report.Changes[:min(len(report.Changes), maxChanges)]
	return report
}

// maxChanges and maxDiff bound what a report says of a configuration of unreasonable length. The
// findings count everything.
const (
	maxChanges = 1000
	maxDiff    = 64 << 10
)

// shortened is a diff up to the last whole line that fits.
func shortened(diff string) string {
	if len(diff) <= maxDiff {
		return diff
	}
	return diff[:strings.LastIndexByte(diff[:maxDiff], '\n')+1] + "# the rest is left out\n"
}

func where(c pgconf.Change) string {
	if c.Kind == pgconf.Default || c.Kind == pgconf.New {
		return "default"
	}
	return pgconf.Setting{File: c.File, Line: c.Line}.Place()
}

// noteRefused adds a setting of a role, database or function to the report.
func (f *Facts) noteRefused(s Session, object, name, value, reason string) {
	c := f.compared.Value
	if f.compared.Err != nil || c == nil {
		return
	}
	if s.Ident != "" {
		object = "function " + s.Ident + "." + object
	}
	change := upgrade.ConfigurationChange{
		Kind: upgrade.ConfigurationInvalid, Name: name, Where: object,
		From: pgconf.Shown(name, value, c.source, c.target), Reason: f.withoutValue(name, reason),
	}
	if !c.target.Knows(name) {
		change.Kind = upgrade.ConfigurationDropped
	}
	if to := pgconf.Successor(name, value, f.majors(), c.target.Knows); to != "" {
		change.Kind, change.To = upgrade.ConfigurationRenamed, to
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.ofObjects = append(c.ofObjects, change)
}

// withoutValue is what the target says of a setting, unless that repeats a value which may be a secret.
func (f *Facts) withoutValue(name, reason string) string {
	c := f.compared.Value
	secret := c == nil || pgconf.Shown(name, "", c.source, c.target) == pgconf.NotShown
	if secret && !isUnknown(reason) {
		return "the target refuses its value"
	}
	return reason
}
