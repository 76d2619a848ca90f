package catalog_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/catalog/catalogtest"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, func(t *testing.T) *catalog.Catalog { return open(t, newFile(t)) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	var schemas atomic.Int64
	catalogtest.Run(t, func(t *testing.T) *catalog.Catalog {
		// A schema is made faster than a database.
		schema := fmt.Sprintf("record%d", schemas.Add(1))
		server.Exec(t, "postgres", "CREATE SCHEMA "+schema)
		return open(t, inSchema(t, server, schema))
	})
}

func newFile(t *testing.T) string {
	t.Helper()
	return (&url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "a record?%20#1.db")}).String()
}

func open(t *testing.T, url string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), url, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func inSchema(t *testing.T, server *pgtest.Cluster, schema string) string {
	t.Helper()
	u, err := url.Parse(server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestServersOpenOneDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	server.Exec(t, "postgres", "CREATE SCHEMA record")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			c, err := catalog.Open(t.Context(), inSchema(t, server, "record"), quiet())
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestRecordOutlivesItsServer(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	first, err := catalog.Open(t.Context(), file, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.SetSetting(t.Context(), "host", "db1"), first.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, file).Setting(t.Context(), "host"); got != "db1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, "sqlite://"+filepath.Join(dir, "record.db"))
	if err := c.SetSetting(t.Context(), "host", "db1"); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 { // the database, its write-ahead log, the log's index
		t.Fatalf("got %v, %v", files, err)
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", file.Name(), info.Mode(), err)
		}
	}
}

func TestNewerRecordIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.db")
	open(t, "sqlite://"+path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`INSERT INTO catalog_version (version_id, is_applied) VALUES (999, TRUE)`); err != nil {
		t.Fatal(err)
	}
	_, err = catalog.Open(t.Context(), "sqlite://"+path, quiet())
	if _, ok := errors.AsType[*upgrade.Refused](err); !ok || !strings.Contains(err.Error(), "newer pgleap") {
		t.Errorf("got %v", err)
	}
}

func TestURLsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, says string }{
		{"empty", "", "sqlite:// or postgres://"},
		{"a path", "/var/lib/pgleap/record.db", "sqlite:// or postgres://"},
		{"another database", "mysql://root:hunter2@db/x", "sqlite:// or postgres://"},
		{"no file", "sqlite://", "sqlite:///absolute/path"},
		{"a relative path", "sqlite://record.db", "sqlite:///absolute/path"},
		{"a directory", "sqlite:///var/lib/", "sqlite:///absolute/path"},
		{"options", "sqlite:///record.db?mode=memory", "sqlite:///absolute/path"},
		{"a folder that does not exist", "sqlite:///nowhere/record.db", "/nowhere/record.db: no such file or directory"},
		{"a password with a slash", "postgres://pgleap:hunter2/@db/x", "%XX"},
		{"a certificate that does not exist", "postgres://u:hunter2@db/x?sslmode=verify-full&sslrootcert=/nowhere.crt", "/nowhere.crt"},
		{"nobody there", "postgres://pgleap:hunter2@127.0.0.1:1/x", "127.0.0.1:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := catalog.Open(t.Context(), test.url, quiet())
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q tells the password", err)
			}
		})
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
