package precheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Check looks for one thing.
type Check struct {
	ID       string // lower case with hyphens; users accept objects by it
	Title    string // what was found, as a heading
	Severity upgrade.Severity
	// SeverityIn has the modes in which the severity is another one.
	SeverityIn map[upgrade.Mode]upgrade.Severity
	Modes      []upgrade.Mode
	Versions   Versions
	Scope      Scope
	Why        string // what would happen, with its cause
	Remedy     string // what to do about it
	// OfMachine says that it judges what the target's programs find on their machine: libraries, extensions, locales.
	// Where that is not the target's host, what would block is a warning.
	OfMachine bool
	// Acceptable tells whether the user may take the objects upon himself, each by name.
	Acceptable bool
	// PgUpgrade lists what pg_upgrade --check says when it finds the same: names of its report files, and parts
	// of its messages that stand in no other. What it names and Find does not is added.
	PgUpgrade []string
	// Find returns what is there; nothing if all is well. An error means: could not look.
	Find func(ctx context.Context, f *Facts, s Session) ([]Found, error)
}

// Versions are the upgrades that a check concerns; all, if it is empty.
type Versions struct {
	Crossing upgrade.Major // those from before a major version to it or beyond
	Sources  upgrade.Major // those from it on
	Targets  upgrade.Major // those to it or beyond
}

// concern tells whether an upgrade is among them.
func (v Versions) concern(f *Facts) bool {
	return (v.Crossing == 0 || f.crosses(v.Crossing)) && f.Version.Major() >= v.Sources && f.Plan.Target.Version.Major() >= v.Targets
}

// find is Find for the upgrades that the check concerns.
func (c Check) find(ctx context.Context, f *Facts, s Session) ([]Found, error) {
	if !c.Versions.concern(f) {
		return nil, nil
	}
	return c.Find(ctx, f, s)
}

// severity is that of what it finds in a mode, unless the object has one of its own.
func (c Check) severity(mode upgrade.Mode) upgrade.Severity {
	if severity, ok := c.SeverityIn[mode]; ok {
		return severity
	}
	return c.Severity
}

// elsewhere makes of a blocker what a check of the machine can say of another one than the target's.
func (f *Facts) elsewhere(check Check, found Found) Found {
	if f.Host.Unseen == nil || !check.OfMachine || found.Severity != upgrade.Blocker {
		return found
	}
	found.Severity = upgrade.Warning
	found.Note = strings.TrimPrefix(found.Note+"; on this machine, which need not be like the target's", "; ")
	return found
}

// Scope says where a check looks.
type Scope string

// A check looks once at what belongs to the whole cluster, or into every database that allows
// connections, or only into those whose tables are going to be published.
const (
	PerCluster   Scope = "cluster"
	PerDatabase  Scope = "database"
	PerPublished Scope = "published database"
)

// Found is an object that a check found.
type Found struct {
	// Object is its name, quoted where SQL needs it. The database is put before it by the frame;
	// an empty one means the database itself.
	Object string
	Note   string // what there is to say of this object
	SQL    string // mends it, when run in the session's database
	// Database is where to run the SQL, when it is not the session's.
	Database string           `db:"-"`
	Severity upgrade.Severity // when it is not the check's own
	// Raise is the value that the SQL gives a setting of the cluster, which has to do for all databases: the highest counts.
	Raise int64 `db:"-"`
}

// Session is where a check looks: a read-only transaction in a database of the source.
type Session struct {
	Database string
	Ident    string // the database's name as SQL wants it
	Tx       pgx.Tx
}

// onlyPgUpgrade is the Find of what pg_upgrade alone can tell.
func onlyPgUpgrade(context.Context, *Facts, Session) ([]Found, error) { return nil, nil }

// crosses tells whether the upgrade leads from before a major version to it or beyond.
func (f *Facts) crosses(major upgrade.Major) bool {
	return f.Version.Major() < major && f.Plan.Target.Version.Major() >= major
}

// newest is the major version of the newer of source and target.
func (f *Facts) newest() int { return int(max(f.Version.Major(), f.Plan.Target.Version.Major())) }

// query makes a Find of a query that returns object, note and SQL; each may be NULL.
func query(sql string) func(context.Context, *Facts, Session) ([]Found, error) {
	return func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		return s.query(ctx, sql)
	}
}

// query runs a query that returns object, note and SQL; each may be NULL.
func (s Session) query(ctx context.Context, sql string, args ...any) ([]Found, error) {
	return founds(s.Tx.Query(ctx, sql, args...))
}

func founds(rows pgx.Rows, err error) ([]Found, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Found, error) {
		var object, note, sql *string
		err := row.Scan(&object, &note, &sql)
		return Found{Object: text(object), Note: text(note), SQL: text(sql)}, err
	})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// withPgUpgrade lists the modes that run pg_upgrade.
func withPgUpgrade() []upgrade.Mode {
	return []upgrade.Mode{upgrade.InPlace, upgrade.BlueGreen, upgrade.ZeroDowntime}
}

// withReplication lists the modes in which the target follows the source by logical replication.
func withReplication() []upgrade.Mode {
	return []upgrade.Mode{upgrade.ZeroDowntime, upgrade.Logical}
}

// withClone lists the modes that begin with a physical clone of the source.
func withClone() []upgrade.Mode {
	return []upgrade.Mode{upgrade.BlueGreen, upgrade.ZeroDowntime}
}

// everyMode lists all modes.
func everyMode() []upgrade.Mode {
	return []upgrade.Mode{upgrade.InPlace, upgrade.BlueGreen, upgrade.ZeroDowntime, upgrade.Logical}
}

// bytes writes an amount as people do.
func bytes(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
