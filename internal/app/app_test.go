package app

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/config"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func configIn(dir string) config.Server {
	return config.Server{StateDir: dir, Listen: "127.0.0.1:0", LogLevel: "info", LogFormat: "text"}
}

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// running is a server that serves, and how to stop it.
type running struct {
	*Server
	stop func() error
}

// serve starts a server and waits until it has said where it listens.
func serve(t *testing.T, dir string) running {
	t.Helper()
	began := time.Now()
	s, err := Start(t.Context(), configIn(dir), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	r := running{s, func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	for get(t, r, "/api/v1/health", "") != http.StatusOK {
		if time.Since(began) > time.Minute {
			t.Fatal("it does not answer")
		}
	}
	t.Logf("ready after %s", time.Since(began)) // make bench-idle measures it
	return r
}

// get returns the status of an answer, 0 without one.
func get(t *testing.T, r running, path, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func content(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first := serve(t, dir)
	token := content(t, dir, "token")
	for _, file := range []string{"token", "address"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}
	if got := content(t, dir, "address"); got != first.Address() {
		t.Errorf("the file says %s, it listens on %s", got, first.Address())
	}
	if got := get(t, first, "/api/v1/instances", token); got != http.StatusOK {
		t.Errorf("with the token: status %d", got)
	}
	if got := get(t, first, "/api/v1/instances", "another"); got != http.StatusUnauthorized {
		t.Errorf("with another token: status %d", got)
	}
	_, err := Start(t.Context(), configIn(dir), testLog(t))
	if err == nil || !strings.Contains(err.Error(), "is in use by the pgleap process with pid") || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a second server on the same directory: %v", err)
	}
	if got := get(t, first, "/api/v1/health", ""); got != http.StatusOK {
		t.Errorf("the first server after the second's attempt: status %d", got)
	}

	if err := first.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "address")); !os.IsNotExist(err) {
		t.Errorf("the address is still there: %v", err)
	}
	if got := get(t, first, "/api/v1/health", ""); got != 0 {
		t.Errorf("it still answers: status %d", got)
	}
	second := serve(t, dir)
	if got := content(t, dir, "token"); got != token {
		t.Error("the token has changed")
	}
	if got := get(t, second, "/api/v1/instances", token); got != http.StatusOK {
		t.Errorf("after a restart: status %d", got)
	}
}

// What cannot start leaves the directory free for what can.
func TestStartThatFails(t *testing.T) {
	dir := t.TempDir()
	taken := serve(t, t.TempDir())
	c := configIn(dir)
	c.Listen = taken.Address()
	if _, err := Start(t.Context(), c, testLog(t)); err == nil || !strings.Contains(err.Error(), "choose another address with --listen") {
		t.Errorf("on a port that is taken: %v", err)
	}
	serve(t, dir)
}

func TestEngineOfAnotherVersion(t *testing.T) {
	old := func(dir string) string { return filepath.Join(dir, "engine", "engine-0.0.1.db") }
	prepare := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(old(dir)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(old(dir), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Run("is discarded when nothing runs", func(t *testing.T) {
		dir := prepare(t)
		serve(t, dir)
		if _, err := os.Stat(old(dir)); !os.IsNotExist(err) {
			t.Errorf("it is still there: %v", err)
		}
	})
	t.Run("is kept while a task runs in it", func(t *testing.T) {
		dir := prepare(t)
		runningTask(t, dir)
		record := olderSchema(t, dir)
		_, err := Start(t.Context(), configIn(dir), testLog(t))
		if err == nil || !strings.Contains(err.Error(), "task 1 is running on engine version 0.0.1") || !strings.Contains(err.Error(), "finish or cancel it") {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(old(dir)); err != nil {
			t.Errorf("it is gone: %v", err)
		}
		// The program that began the task must find its record as it was, or it does not start either.
		var version int
		if err := record.QueryRowContext(t.Context(), newestMigration).Scan(&version); err != nil || version >= newSchema {
			t.Errorf("the record was migrated to version %d, %v", version, err)
		}
	})
}

// newSchema is the version of the schema that olderSchema takes back.
const newSchema = 7

const newestMigration = "SELECT max(version_id) FROM catalog_version"

// olderSchema makes of a record one that an older pgleap has written.
func olderSchema(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, statement := range []string{
		fmt.Sprintf("DELETE FROM catalog_version WHERE version_id >= %d", newSchema),
		"ALTER TABLE task DROP COLUMN server",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// runningTask leaves a record with a task that runs.
func runningTask(t *testing.T, dir string) {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(dir, "catalog.db"), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close() //nolint:errcheck // it is opened again
	if err := record.AddInstance(t.Context(), upgrade.Instance{ID: "shop", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	_, err = record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskPrecheck, Instance: "shop", Mode: upgrade.ZeroDowntime, Source: 150018, Target: 17, StartedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}
