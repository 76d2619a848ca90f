package agentless

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

const secret = "s3cr3t/pass"

// A server that nothing is known of but how to log in.
func TestPrecheck(t *testing.T) {
	versions := pgtest.Versions(t)
	major := versions[len(versions)-1]
	bindir := pgtest.Bindir(t, major)
	source := pgtest.Start(t, versions[0], pgtest.HBA("local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"))
	source.CreateDatabase(t, "shop")
	source.Exec(t, "shop",
		`CREATE TABLE t (id int)`, `CREATE ROLE dba SUPERUSER LOGIN PASSWORD '`+secret+`'`, `CREATE ROLE clerk LOGIN PASSWORD '`+secret+`'`,
		`CREATE ROLE auditor SUPERUSER LOGIN PASSWORD '`+secret+`'`)
	request := func(user, password, bindir string) Request {
		return Request{
			ConnString: dsn(source, user, password), Target: upgrade.Major(major), Mode: upgrade.ZeroDowntime, Bindir: bindir,
		}
	}
	for name, test := range map[string]func(*testing.T){
		"with the target's programs": func(t *testing.T) {
			found := precheckOf(t, request("dba", secret, bindir))
			expectFinding(t, found, "replica-identity", "shop.public.t")
			expectNotChecked(t, found, "the source's files and host", "target-place", "disk-space", "pg-upgrade", "endpoint", "memory")
			if slices.ContainsFunc(found.NotChecked, func(s string) bool { return strings.Contains(s, "build") || strings.Contains(s, "extensions") }) {
				t.Errorf("the programs were not asked: %q", found.NotChecked)
			}
		},
		"without them": func(t *testing.T) {
			r := request("dba", secret, "")
			r.Target = 99 // nobody has it
			expectNotChecked(t, precheckOf(t, r), "the source's files and host", "build", "extensions in database shop")
		},
		"as a role that sees little": func(t *testing.T) {
			expectNotChecked(t, precheckOf(t, request("clerk", secret, "")), "some settings: role clerk", "role clerk is none")
		},
		"with the password of the environment": func(t *testing.T) {
			t.Setenv("PGPASSWORD", secret)
			precheckOf(t, request("dba", "", ""))
		},
		"with that of a password file": func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "passfile")
			if err := os.WriteFile(file, []byte("*:*:*:auditor:"+secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PGPASSFILE", file)
			precheckOf(t, request("auditor", "", ""))
		},
		"with the wrong password": func(t *testing.T) {
			_, err := Precheck(t.Context(), request("dba", "wrong"+secret, ""), time.Now(), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), "password authentication failed") || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v", err)
			}
		},
		"with the programs of another version": func(t *testing.T) {
			_, err := Precheck(t.Context(), request("dba", secret, source.Bindir), time.Now(), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), "has PostgreSQL") {
				t.Errorf("got %v", err)
			}
		},
	} {
		t.Run(name, test)
	}
}

func dsn(c *pgtest.Cluster, user, password string) string {
	login := user
	if password != "" {
		login += ":" + strings.ReplaceAll(password, "/", "%2F")
	}
	return strings.Replace(c.DSN("postgres"), "postgres@", login+"@", 1)
}

// precheckOf runs a precheck that does not fail, and looks at what must always hold: it does not pass, it names no
// password in any format, and it leaves nothing behind.
func precheckOf(t *testing.T, r Request) upgrade.Report {
	t.Helper()
	before := leftovers(t)
	var log bytes.Buffer
	found, err := Precheck(t.Context(), r, time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if found.Passed() {
		t.Error("passed, though nobody looked at the host")
	}
	for _, format := range report.Formats() {
		var out bytes.Buffer
		if err := report.Write(&out, format, found, report.Style{}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String()+log.String(), secret) {
			t.Errorf("the password is in %s or in the log", format)
		}
	}
	if diff := cmp.Diff(before, leftovers(t)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
	return found
}

// leftovers are the scratch directories of this process.
func leftovers(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(fmt.Sprintf("%s%d-*", scratchPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func expectFinding(t *testing.T, r upgrade.Report, check, object string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && slices.ContainsFunc(f.Objects, func(o string) bool { return strings.HasPrefix(o, object) }) {
			return
		}
	}
	t.Errorf("%s has not found %s: %+v", check, object, r.Findings)
}

func expectNotChecked(t *testing.T, r upgrade.Report, what ...string) {
	t.Helper()
	for _, part := range what {
		if !slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.Contains(s, part) }) {
			t.Errorf("%q is not said to be unchecked: %q", part, r.NotChecked)
		}
	}
}

// No part of a password is told, however the connection string is broken.
func TestBrokenConnectionStringsTellNoPassword(t *testing.T) {
	for name, text := range map[string]string{
		"a slash in the password":   "postgres://dba:abc/" + secret + "@127.0.0.1:5432/postgres",
		"a port that is none":       "postgres://dba:" + secret + "@127.0.0.1:x/postgres",
		"a percent sign":            "postgres://dba:%zz" + secret + "@127.0.0.1/postgres",
		"an open quote":             "host=127.0.0.1 user=dba password='" + secret,
		"an sslmode that is none":   "host=127.0.0.1 user=dba password=" + secret + " sslmode=odd",
		"no key":                    secret,
		"several servers":           "postgres://dba:" + secret + "@127.0.0.1:1,127.0.0.1:2/postgres",
		"nobody there":              "postgres://dba:" + strings.ReplaceAll(secret, "/", "%2F") + "@127.0.0.1:1/postgres",
		"a certificate that is not": "postgres://dba:x@127.0.0.1:1/postgres?sslmode=verify-full&sslrootcert=/nosuch/" + secret,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Precheck(t.Context(), Request{ConnString: text, Target: 17, Mode: upgrade.InPlace}, time.Now(), slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range strings.Split(secret, "/") {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error tells: %v", err)
				}
			}
		})
	}
}

// What a process that was killed has left is removed by the next one; what another one still needs is not.
func TestSweep(t *testing.T) {
	versions := pgtest.Versions(t)
	major := versions[len(versions)-1]
	bindir := pgtest.Bindir(t, major)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	runner := run.New(log)
	programs, err := findPrograms(t.Context(), runner, Request{Bindir: bindir, Target: upgrade.Major(major)})
	if err != nil {
		t.Fatal(err)
	}
	alive := newScratch(runner, programs)
	defer alive.discard(t.Context(), log)
	if _, err := alive.start(t.Context(), server{segment: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	left := newScratch(runner, programs)
	if _, err := left.start(t.Context(), server{segment: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	// As if its process had been one that is no more: ids end at 2^22 (proc(5), pid_max).
	if err := left.ctl().Stop(t.Context(), left.as, "immediate", time.Minute); err != nil {
		t.Fatal(err)
	}
	dead := scratchPrefix + "4194305-x"
	if err := os.Rename(left.dir, dead); err != nil {
		t.Fatal(err)
	}
	foreign := scratchPrefix + "4194306-link"
	if err := os.Symlink(alive.dir, foreign); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(foreign)
	alive.sweep(t.Context())
	for dir, want := range map[string]bool{dead: false, alive.dir: true, foreign: true} {
		if _, err := os.Lstat(dir); (err == nil) != want {
			t.Errorf("%s: is there: %t, want %t", dir, err == nil, want)
		}
	}
}

// Each of a host's facts is unknown when nobody could look: a new one that is not would count as a fact.
func TestNothingIsKnownOfAnUnseenHost(t *testing.T) {
	host := reflect.ValueOf(precheck.UnseenHost(errUnseen))
	for i := range host.NumField() {
		if host.Field(i).Kind() != reflect.Struct {
			continue
		}
		if reason := host.Field(i).FieldByName("Err"); reason.IsValid() && reason.IsNil() {
			t.Errorf("%s counts as known", host.Type().Field(i).Name)
		}
	}
}
