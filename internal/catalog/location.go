package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// location is where the record is: in a file or in a database, one of the two.
type location struct {
	file     string
	postgres *pgx.ConnConfig
}

// parseURL reads the URL of a record. Its errors do not repeat the URL, which may hold a password.
func parseURL(text string) (location, error) {
	scheme, _, _ := strings.Cut(text, "://")
	switch scheme {
	case "postgres", "postgresql":
		config, err := pgx.ParseConfig(text)
		if err != nil {
			return location{}, errPostgresURL(err)
		}
		return location{postgres: config}, nil
	case "sqlite":
		u, err := url.Parse(text)
		if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !isFile(u.Path) {
			return location{}, errors.New("the sqlite:// URL cannot be read: " +
				"write sqlite:///absolute/path/of/the/file.db, special characters as %XX")
		}
		return location{file: filepath.Clean(u.Path)}, nil
	default:
		return location{}, errors.New("its URL must begin with sqlite:// or postgres://")
	}
}

// errPostgresURL keeps of pgx's error what cannot be a part of the password: that a file, such as
// one of certificates, cannot be read.
func errPostgresURL(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return file
	}
	return errors.New("the postgres:// URL cannot be read: " +
		"write postgres://user:password@host:port/database, special characters as %XX")
}

func isFile(path string) bool {
	return filepath.IsAbs(path) && !strings.HasSuffix(path, "/") && !strings.ContainsRune(path, 0)
}

// maxConns is small: nothing that the record is asked for takes long.
const maxConns = 8

// openPostgres opens a database twice: in sessions of the second kind a commit does not wait for
// the disk.
func openPostgres(config *pgx.ConnConfig) (db, loose *sql.DB) {
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "pgleap"
	}
	loosely := config.Copy()
	loosely.RuntimeParams["synchronous_commit"] = "off"
	return openPostgresPool(config, maxConns), openPostgresPool(loosely, 3)
}

func openPostgresPool(config *pgx.ConnConfig, conns int) *sql.DB {
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// openSQLite opens a file for writers and several readers. SQLite has one writer at a time: those
// who queue in the pool wait no longer than they must, those who meet in the file poll for it. So
// there is one connection for all changes that wait for the disk, and one for those that do not and
// are over in a moment. Readers see what has been committed, and never wait (write-ahead log).
func openSQLite(file string) (write, read, loose *sql.DB, err error) {
	if err := createPrivate(file); err != nil {
		return nil, nil, nil, err
	}
	const patience, wal, keys = "busy_timeout(10000)", "journal_mode(wal)", "foreign_keys(on)"
	// What requests leave behind goes to all places of an index. A cache of SQLite's own size (2 MB) does not hold that,
	// and moving the log into the file whenever it has 4 MB writes most pages again and again: KiB, and pages of 4 KiB.
	const cache, checkpoint = "cache_size(-16384)", "wal_autocheckpoint(4096)"
	for _, pool := range []struct {
		db      **sql.DB
		conns   int
		lock    string
		pragmas []string
	}{
		// FULL: what was committed survives a power failure. NORMAL: it survives a crash of ours.
		// IMMEDIATE: who reads in order to write has the lock before he reads.
		{&write, 1, "immediate", []string{patience, wal, "synchronous(full)", keys, checkpoint}},
		{&loose, 1, "immediate", []string{patience, wal, "synchronous(normal)", keys, checkpoint, cache}},
		{&read, maxConns, "deferred", []string{patience, "query_only(on)"}},
	} {
		if *pool.db, err = openSQLitePool(file, pool.conns, pool.lock, pool.pragmas...); err != nil {
			for _, opened := range []*sql.DB{write, loose} {
				if opened != nil {
					_ = opened.Close()
				}
			}
			return nil, nil, nil, err
		}
	}
	return write, read, loose, nil
}

func openSQLitePool(file string, conns int, lock string, pragmas ...string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: file, RawQuery: url.Values{
		"_pragma": pragmas,
		"_txlock": {lock},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// createPrivate makes an empty file that no other user can read, unless there is one. SQLite gives
// the files beside it the same mode (os_unix.c, findCreateFileMode).
func createPrivate(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
