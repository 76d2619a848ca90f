package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native"
	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/secret"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// result is what a command line did.
type result struct {
	stdout, stderr string
	code           int
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := Main(ctx, args, &stdout, &stderr)
	return result{stdout.String(), stderr.String(), code}
}

// server is a running API over the real use cases and a real record. It has no engine: what is
// tested with it comes to its end before one is needed, and the tests do to the record what
// workflows would.
type server struct {
	record   *catalog.Catalog
	use      *control.Control
	http     *httptest.Server
	stateDir string
}

func startServer(t *testing.T) server {
	t.Helper()
	record, err := catalog.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	sealer, err := secret.NewKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	use := control.New(control.Deps{Catalog: record, Host: "db1", Sealer: sealer})
	s := server{record, use, httptest.NewServer(native.New(use, "secret", slog.New(slog.DiscardHandler))), t.TempDir()}
	t.Cleanup(s.http.Close)
	s.write(t, addressFile, s.http.Listener.Addr().String()+"\n")
	s.write(t, tokenFile, "secret\n")
	t.Setenv("PGLEAP_STATE_DIR", s.stateDir)
	t.Setenv("PGLEAP_SERVER", "")
	return s
}

func (s server) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.stateDir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s server) add(t *testing.T, id string) upgrade.Task {
	t.Helper()
	err := s.record.AddInstance(t.Context(), upgrade.Instance{
		ID: id, Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/" + id, Port: 5432}, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	task, err := s.record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskUpgrade, Instance: id, Mode: upgrade.ZeroDowntime, Source: 150012, Target: 17, Phase: upgrade.PhasePrecheck,
	})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func (s server) end(t *testing.T, number int64, outcome upgrade.Outcome) {
	t.Helper()
	if err := s.record.EndTask(t.Context(), number, outcome, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// keep records what an instance was made of before an upgrade.
func (s server) keep(t *testing.T, instance string, number int64) {
	t.Helper()
	err := s.record.AddFormerCluster(t.Context(), catalog.FormerCluster{
		Number: number, Instance: instance, Since: local(10, 3, 0),
		Cluster: upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/15", Port: 5432},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every help text is golden, and says what the exit codes mean.
func TestHelp(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return
		}
		path := strings.Fields(cmd.CommandPath())
		got := run(t, append(path[1:], "--help")...)
		if got.code != ExitOK || !strings.Contains(got.stdout, "EXIT STATUS") {
			t.Errorf("%s: ends with %d; help without exit status", cmd.CommandPath(), got.code)
		}
		golden(t, "help/"+strings.Join(path, "_")+".txt", got.stdout)
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(New())
}

func TestExitCodes(t *testing.T) {
	s := startServer(t)
	s.add(t, "orders")
	s.add(t, "billing")
	s.add(t, "refused")
	if err := s.record.EnterPhase(t.Context(), 2, upgrade.PhaseBaseBackup, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.end(t, 2, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "the disk is full"})
	s.end(t, 3, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "a table has no key"})
	s.keep(t, "orders", 1)
	s.keep(t, "billing", 2)
	if err := s.record.RetireFormerCluster(t.Context(), 2, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", ExitOK, ""},
		{"version", ExitOK, ""},
		{"instance", ExitOK, ""},
		{"instance list", ExitOK, ""},
		{"instance show orders", ExitOK, ""},
		{"tasks", ExitOK, ""},
		{"tasks orders", ExitOK, ""},
		{"task show 1", ExitOK, ""},
		{"task show 2", ExitOK, ""},
		{"completion bash", ExitOK, ""},
		{"task show 3 --follow", ExitRefused, "Error: upgrade 3 has ended (failed): a table has no key\nTry: pgleap task show 3\n"},
		{"task show 2 --follow", ExitFailed, "Error: upgrade 2 has ended (failed): the disk is full\nTry: pgleap task show 2\n"},
		{"nonsense", ExitRefused, "Error: \"nonsense\" is not a command of \"pgleap\"\nTry: pgleap --help\n"},
		{"upgarde orders --detach", ExitRefused, "Error: unknown flag: --detach\nTry: pgleap --help\n"},
		{"upgarde orders", ExitRefused, "Error: \"upgarde\" is not a command of \"pgleap\"\nTry: pgleap upgrade\n"},
		{"instance shwo orders", ExitRefused, "Error: \"shwo\" is not a command of \"pgleap instance\"\nTry: pgleap instance show\n"},
		{"instance nonsense", ExitRefused, "Error: \"nonsense\" is not a command of \"pgleap instance\"\nTry: pgleap instance --help\n"},
		{"instance show", ExitRefused, "Error: ID is missing\nTry: pgleap instance show --help\n"},
		{"instance show a b", ExitRefused, "Error: \"b\" is one argument too many\nTry: pgleap instance show --help\n"},
		{"instance list --nonsense", ExitRefused, "Error: unknown flag: --nonsense\nTry: pgleap instance list --help\n"},
		{"instance list -o xml", ExitRefused, "Error: invalid argument \"xml\" for \"-o, --output\" flag: choose table or json\nTry: pgleap instance list --help\n"},
		{"instance show nosuch", ExitRefused, "Error: instance nosuch does not exist\nTry: list the instances with `pgleap instance list`\n"},
		{"instance add", ExitRefused, "Error: the cluster is not named\nTry: give its data directory or its port; `pgleap instance discover` lists both\n"},
		{"instance add --port 5432 --pgbouncer adopt --console x", ExitRefused, "Error: --console: \"x\" is not HOST:PORT or SOCKETDIR:PORT\nTry: pgleap instance add --help\n"},
		{"instance remove orders", ExitRefused, "Error: upgrade 1 of instance orders is running\nTry: wait until it has ended, or abandon it: pgleap switchover orders cancel\n"},
		{"precheck nosuch --to 17", ExitRefused, "Error: instance nosuch does not exist\nTry: list the instances with `pgleap instance list`\n"},
		{"precheck orders", ExitRefused, "Error: --to VERSION is missing\nTry: pgleap precheck --help\n"},
		{"upgrade orders", ExitRefused, "Error: --to VERSION is missing\nTry: pgleap upgrade --help\n"},
		{"upgrade orders --to seventeen", ExitRefused, "Error: invalid argument \"seventeen\" for \"--to\" flag: give a number\nTry: pgleap upgrade --help\n"},
		{"rehearse orders --timeout 30", ExitRefused, "Error: invalid argument \"30\" for \"--timeout\" flag: give a time such as 30s or 10m\nTry: pgleap rehearse --help\n"},
		{"upgrade billing --to 15", ExitRefused, "Error: instance billing runs PostgreSQL 15.12: it cannot be upgraded to 15\nTry: choose a major version above 15\n"},
		{"upgrade billing --to 17 --mode logical", ExitRefused, "Error: mode \"logical\" is not available yet\nTry: choose \"zero-downtime\", \"blue-green\" or \"in-place\"\n"},
		{"upgrade billing --to 18 --mode in-place --transfer swap", ExitRefused, "Error: with transfer swap the source's files become the target's: as soon as pg_upgrade has begun to move them, nothing but a backup brings the source back\nTry: choose link or clone, or accept that by --accept transfer:swap\n"},
		{"upgrade billing --to 17 --mode in-place --clone-only", ExitRefused, "Error: making a clone only is for mode \"blue-green\", not for \"in-place\"\nTry: leave it out, or choose that mode\n"},
		{"upgrade billing --to 17 --switchover-timeout 1s", ExitRefused, "Error: switchoverTimeout 1s: choose between 10s and 1h0m0s\n"},
		{"upgrade billing --to 17 --max-retained-wal 5parsec", ExitRefused, "Error: invalid argument \"5parsec\" for \"--max-retained-wal\" flag: \"5parsec\" is not a size such as 16GB\nTry: pgleap upgrade --help\n"},
		{"upgrade orders --to 17", ExitRefused, "Error: upgrade 1 of instance orders is running\nTry: wait until it has ended, or abandon it: pgleap switchover orders cancel\n"},
		{"switchover orders", ExitRefused, "Error: the verb (switch, back, interrupt or cancel) is missing\nTry: pgleap switchover --help\n"},
		{"switchover orders jump", ExitRefused, "Error: \"jump\" is not switch, back, interrupt or cancel\nTry: pgleap switchover --help\n"},
		{"switchover orders switch --timeout 30s", ExitRefused, "Error: task 1 is in phase \"precheck\"\nTry: wait until it is \"synchronizing\"\n"},
		{"switchover orders switch --timeout 9s", ExitRefused, "Error: --timeout 9s: give whole seconds between 10s and 1h0m0s\nTry: pgleap switchover --help\n"},
		{"switchover orders cancel --timeout 30s", ExitRefused, "Error: --timeout goes with switch and back only\nTry: pgleap switchover --help\n"},
		{"instance set orders --window 22:00Z-02:00Z", ExitOK, ""},
		{"instance set orders", ExitRefused, "Error: name at least one setting\nTry: pgleap instance set --help\n"},
		{"instance set orders --before-switch /etc/pgleap/before --base-backup-taken", ExitOK, ""},
		{"instance set orders --before-switch before", ExitRefused, "Error: program \"before\": give its absolute path, without arguments\n"},
		{"instance set orders --before-switch=", ExitOK, ""},
		{"instance recheck orders", ExitOK, ""},
		{"instance recheck nosuch", ExitRefused, "Error: instance nosuch does not exist\nTry: list the instances with `pgleap instance list`\n"},
		{"instance set orders --window 22:00-02:00", ExitRefused, "Error: window \"22:00-02:00\": write it in UTC, as 22:00Z-02:00Z\nTry: pgleap instance set --help\n"},
		{"instance set nosuch --window 22:00Z-02:00Z", ExitRefused, "Error: instance nosuch does not exist\nTry: list the instances with `pgleap instance list`\n"},
		{"instance retire orders-old-1", ExitRefused, "Error: this would stop PostgreSQL 15.12 at /srv/15 (port 5432) for good\nTry: pgleap instance retire orders-old-1 --yes\n"},
		{"instance retire orders-old-1 --yes", ExitRefused, "Error: upgrade 1, whose source orders-old-1 is, has not ended\nTry: wait until it has\n"},
		{"instance retire billing-old-2", ExitRefused, "Error: billing-old-2 was retired already\n"},
		{"instance retire billing-old-2 --yes", ExitRefused, "Error: billing-old-2 was retired already\n"},
		{"instance retire orders", ExitRefused, "Error: former cluster orders does not exist\nTry: list them with `pgleap instance list`\n"},
		{"access-key list", ExitOK, ""},
		{"access-key create --account a/b", ExitRefused, "Error: \"a/b\" cannot be an account's name\nTry: choose 1 to 64 letters, digits, hyphens and underscores\n"},
		{"access-key create --policy nosuch", ExitRefused, "Error: --policy is not full or read-only, and no file: open nosuch: no such file or directory\nTry: pgleap access-key create --help\n"},
		{"access-key create --policy cli.go", ExitRefused, "Error: --policy: the file cli.go is not JSON\nTry: pgleap access-key create --help\n"},
		{"access-key disable nosuch", ExitRefused, "Error: access key nosuch does not exist\nTry: list the access keys with `pgleap access-key list`\n"},
		{"access-key enable nosuch", ExitRefused, "Error: access key nosuch does not exist\nTry: list the access keys with `pgleap access-key list`\n"},
		{"access-key rotate nosuch", ExitRefused, "Error: access key nosuch does not exist\nTry: list the access keys with `pgleap access-key list`\n"},
		{"audit", ExitOK, ""},
		{"audit --calls --limit 5", ExitOK, ""},
		{"audit --limit 1001", ExitRefused, "Error: the limit is out of range\nTry: choose 1 to 1000\n"},
		{"switchover orders switch", ExitRefused, "Error: task 1 is in phase \"precheck\"\nTry: wait until it is \"synchronizing\"\n"},
		{"switchover billing cancel", ExitRefused, "Error: no upgrade of instance billing is running\nTry: start one with `pgleap upgrade billing --to VERSION`\n"},
		{"tasks nosuch", ExitRefused, "Error: instance nosuch does not exist\nTry: list the instances with `pgleap instance list`\n"},
		{"task show x", ExitRefused, "Error: \"x\" is not the number of a task\nTry: pgleap task show --help\n"},
		{"task show 9", ExitRefused, "Error: task 9 does not exist\nTry: list the tasks with `pgleap tasks`\n"},
		{"task show 9 --follow", ExitRefused, "Error: task 9 does not exist\nTry: list the tasks with `pgleap tasks`\n"},
	} {
		got := run(t, strings.Fields(test.args)...)
		if got.code != test.code || got.stderr != test.stderr {
			t.Errorf("pgleap %s: got %d, %s", test.args, got.code, got.stderr)
		}
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	s := startServer(t)
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused.Close()
	stopped := t.TempDir()
	if err := os.WriteFile(filepath.Join(stopped, tokenFile), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		code   int
		reason string
	}{
		"never started":   {[]string{"--state-dir", t.TempDir(), "tasks"}, ExitUnreachable, "there is no sign of a server in"},
		"not started":     {[]string{"--state-dir", stopped, "tasks"}, ExitUnreachable, "the server of " + stopped + " does not run"},
		"stopped":         {[]string{"--server", unused.Addr().String(), "tasks"}, ExitUnreachable, "the server cannot be reached"},
		"stopped, follow": {[]string{"--server", unused.Addr().String(), "task", "show", "1", "-f"}, ExitUnreachable, "the server cannot be reached"},
		"wrong token":     {[]string{"--server", s.http.URL, "tasks"}, ExitRefused, "the request does not carry the server's token"},
		"there":           {[]string{"--server", s.http.URL, "tasks"}, ExitOK, ""},
	} {
		if name == "wrong token" {
			s.write(t, tokenFile, "another")
		} else {
			s.write(t, tokenFile, "secret")
		}
		got := run(t, test.args...)
		if got.code != test.code || !strings.Contains(got.stderr, test.reason) {
			t.Errorf("%s: got %d, %s", name, got.code, got.stderr)
		}
	}
}

func TestJSONIsWhatTheAPISays(t *testing.T) {
	s := startServer(t)
	task := s.add(t, "orders")
	got := run(t, "tasks", "--output", "json")
	var tasks []upgrade.Task
	if err := json.Unmarshal([]byte(got.stdout), &tasks); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if diff := cmp.Diff([]upgrade.Task{task}, tasks); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	got = run(t, "-o", "json", "instance", "show", "nosuch")
	want := `{"error":"instance nosuch does not exist","exitCode":2,"remedy":"list the instances with ` + "`pgleap instance list`" + `"}` + "\n"
	if got.code != ExitRefused || got.stderr != want || got.stdout != "" {
		t.Errorf("failure: got %+v", got)
	}
}
