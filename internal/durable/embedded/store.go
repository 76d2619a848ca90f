package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pgleap/pgleap/internal/durable"
)

const (
	filePrefix = "engine-"
	fileSuffix = ".db"

	// retention is how long a finished workflow can still be looked at. The catalogue is the
	// record; this is for whoever hunts a fault in pgleap itself.
	retention = 7 * 24 * time.Hour

	// schemaDone is the value of SQLite's user_version in a file whose schema is complete.
	schemaDone = 1
)

// Version is the version of the embedded Temporal server. Its files are neither migrated nor
// checked between versions, so each version has its own.
const Version = headers.ServerVersion

// Leftover looks for the file of another engine version in dir. While an upgrade runs in it,
// this version must not start: the workflow would be lost sight of. Otherwise it is of no more
// use (see Discard).
func Leftover(dir string) (version string, found bool, err error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(dir), filePrefix+"*"+fileSuffix))
	if err != nil {
		return "", false, fmt.Errorf("look for engine files: %w", err)
	}
	for _, path := range paths {
		v := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), filePrefix), fileSuffix)
		if v != Version {
			return v, true, nil
		}
	}
	return "", false, nil
}

// globEscape protects the characters of a directory's name that mean something to Glob.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Discard removes the engine file of a version and what SQLite keeps beside it. It must not be
// that of a running engine.
func Discard(dir, version string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(engineFile(dir, version) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("discard engine file: %w", err)
		}
	}
	return nil
}

// prepareStore makes the file with its schema and namespace, or finds it made.
func prepareStore(ctx context.Context, file string) error {
	// SQLite gives its journals the mode of the file.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make engine file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make engine file: %w", err)
	}
	if err := setUpSchema(ctx, file); err != nil {
		return fmt.Errorf("set up engine file %s: %w", file, err)
	}
	if err := createNamespace(file); err != nil {
		return fmt.Errorf("set up engine file %s: %w", file, err)
	}
	return nil
}

// setUpSchema makes all tables in one transaction, so that a process killed meanwhile leaves an
// empty file rather than half a schema. (Temporal's own set-up commits each statement.)
func setUpSchema(ctx context.Context, file string) error {
	// The driver is linked, under this name, by Temporal's SQLite plugin.
	db, err := sql.Open("sqlite", "file:"+uriPath(file)+"?mode=rwc")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version == schemaDone {
		return nil
	}
	if err := sqlite.SetupSchemaOnDB(schemaTx{tx: tx}); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaDone)); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaTx lends SetupSchemaOnDB a transaction to execute in, which is all that it does.
type schemaTx struct {
	sqlplugin.AdminDB
	tx *sql.Tx
}

// Exec implements sqlplugin.AdminDB.
func (s schemaTx) Exec(statement string, args ...any) error {
	_, err := s.tx.Exec(statement, args...)
	return err
}

// createNamespace registers pgleap's namespace before the engine runs, so that it is there from
// the first moment: through the API it would take a refresh of the namespace cache.
func createNamespace(file string) error {
	namespace, err := sqlite.NewNamespaceConfig(clusterName, durable.Namespace, false, nil)
	if err != nil {
		return err
	}
	namespace.Detail.Config.Retention = durationpb.New(retention)
	return sqlite.CreateNamespaces(sqlConfig(file), namespace)
}

// uriPath is a file's path as the path of a SQLite URI.
func uriPath(file string) string {
	return (&url.URL{Path: file}).EscapedPath()
}
