package precheck

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	osrun "github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// A server that runs with files that it would not start with: each line is found, and what only waits for a restart is
// told apart. When the lines are mended, it starts.
func TestSourceThatWouldNotStartAgain(t *testing.T) {
	s := pair(t, pgtest.Config(map[string]string{"max_connections": "30", "wal_keep_size": "16MB"}))
	conf, hba := filepath.Join(s.source.Pgdata, "postgresql.conf"), filepath.Join(s.source.Pgdata, "pg_hba.conf")
	lines := func(path string) int { return strings.Count(read(t, path), "\n") }
	checks := []Check{sourceRestart, pendingRestart}
	expectObjects(t, "as it was started", map[string][]string{}, objectsBy(t, s.restartSubject(t), checks...))

	// None of these keeps it from starting: a line that never matches, a name that another database has, and what the command
	// line or a place for libraries says otherwise.
	s.source.CreateDatabase(t, "shop")
	s.source.Exec(t, "shop", `CREATE TEXT SEARCH CONFIGURATION public.odd (COPY = simple)`)
	for path, line := range map[string]string{
		hba: "hostssl all all 127.0.0.1/32 md5", conf: "default_text_search_config = 'public.odd'\nDynamic_Library_Path = '$libdir:/nowhere'",
	} {
		write(t, path, read(t, path)+line+"\n")
	}
	s.source.Restart(t)
	expectObjects(t, "with lines that do no harm", map[string][]string{}, objectsBy(t, s.restartSubject(t), checks...))

	of := map[string]string{conf: read(t, conf), hba: read(t, hba)}
	add := func(path, line string) (place string) {
		t.Helper()
		place = fmt.Sprintf("%s, line %d", path, lines(path)+1)
		write(t, path, read(t, path)+line+"\n")
		return place
	}
	expect := func(when string, restart, pending []string) {
		t.Helper()
		want := map[string][]string{}
		for check, objects := range map[string][]string{"source-restart": restart, "pending-restart": pending} {
			if len(objects) > 0 {
				want[check] = objects
			}
		}
		expectObjects(t, when, want, objectsBy(t, s.restartSubject(t), checks...))
	}
	connections := "max_connections = 30 (" + add(conf, "max_connections = 40") + ": 40)"
	preload := "shared_preload_libraries =  (" + add(conf, "Shared_Preload_Libraries = 'auto_explain, no such library'") + ": auto_explain, no such library)"
	library := "no such library (shared_preload_libraries: there is no such file)"
	add(conf, "wal_keep_size = 'much'")
	much := `wal_keep_size (invalid value for parameter "wal_keep_size")`
	half := add(hba, "host all all 127.0.0.1/32") + " (end-of-line before authentication method)"
	expect("lines that nobody starts with", []string{half, library, much}, []string{connections, preload})

	subject := s.restartSubject(t)
	subject.Host = UnseenHost(errors.New("nobody looked"))
	if got := objectsBy(t, subject, sourceRestart)["source-restart"]; !cmp.Equal(got, []string{half, library}) {
		t.Errorf("by SQL alone: %q", got)
	}

	// A value that only the program can judge: the setting takes a restart.
	port := add(conf, "port = 'none'")
	expect("with a value that the program refuses",
		[]string{half, library, much, `port (invalid value for parameter "port")`},
		[]string{connections, fmt.Sprintf("port = %d (%s: none)", s.source.Port, port), preload})

	// As one of the new version is. No other value is looked at then.
	unknown := "no_such_setting (" + add(conf, "no_such_setting = 1") + ": unrecognized configuration parameter)"
	expect("with a setting of another version", []string{unknown, half, library}, nil)

	for path, text := range of {
		write(t, path, text)
	}
	expectObjects(t, "as mended", map[string][]string{}, objectsBy(t, s.restartSubject(t), checks...))
	s.source.Restart(t)
}

// restartSubject is of an upgrade in place, with what the source's own program says of its files.
func (s stage) restartSubject(t *testing.T) Subject {
	t.Helper()
	owner, err := osrun.LookupUser(s.source.Owner)
	if err != nil {
		t.Fatal(err)
	}
	as := pgbin.Caller{Runner: osrun.New(slog.New(slog.DiscardHandler)), As: owner}
	subject := s.subject(t, upgrade.Options{})
	subject.Plan.Mode = upgrade.InPlace
	subject.Host.SourceConfiguration = Known(pgbin.ConfigurationComplaints(t.Context(), as, s.source.Bindir, s.source.Pgdata))
	return subject
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
