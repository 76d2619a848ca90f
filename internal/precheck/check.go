package precheck

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Check looks for one thing.
type Check struct {
	ID       string // lower case with hyphens; users accept objects by it
	Title    string // what was found, as a heading
	Severity upgrade.Severity
	Modes    []upgrade.Mode
	Scope    Scope
	Why      string // what would happen, with its cause
	Remedy   string // what to do about it
	// Acceptable tells whether the user may take the objects upon himself, each by name.
	Acceptable bool
	// Find returns what is there; nothing if all is well. An error means: could not look.
	Find func(ctx context.Context, f *Facts, s Session) ([]Found, error)
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
	Object   string
	Note     string           // what there is to say of this object
	SQL      string           // mends it, when run in the session's database
	In       string           `db:"-"` // the database to run it in, when it is not the session's
	Severity upgrade.Severity // when it is not the check's own
}

// Session is where a check looks: a read-only transaction in a database of the source.
type Session struct {
	Database string
	Ident    string // the database's name as SQL wants it
	Tx       pgx.Tx
}

// query makes a Find of a query that returns object, note and SQL; each may be NULL.
func query(sql string) func(context.Context, *Facts, Session) ([]Found, error) {
	return func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		return s.query(ctx, sql)
	}
}

// query runs a query that returns object, note and SQL; each may be NULL.
func (s Session) query(ctx context.Context, sql string, args ...any) ([]Found, error) {
	rows, err := s.Tx.Query(ctx, sql, args...)
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
