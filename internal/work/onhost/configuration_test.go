package onhost

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
)

// A source whose configuration comes from everywhere: its target starts with what it says, as far
// as that can be, and what cannot be is told.
func TestCarryConfiguration(t *testing.T) {
	b := newUpgradeBed(t)
	if from, to := b.plan.Source.Version.Major(), b.plan.Target.Version.Major(); from > 16 || to < 17 {
		t.Skipf("old_snapshot_threshold is there up to 16 and gone in 17; the versions are %d and %d", from, to)
	}
	user, err := owner(b.plan)
	b.must(err)
	b.configure(user)
	b.withCertificate(user)
	b.restartWith("maintenance_io_concurrency=3", "force_parallel_mode=on")
	before := read(b.plan.Source.HBAFile)
	b.do("PrepareSource", b.worker.PrepareSource)
	as, err := b.worker.caller(b.plan, "initdb")
	b.must(err)
	b.must(pgbin.Initdb{
		Bindir: b.plan.Target.Bindir, Version: b.plan.Target.Version, Pgdata: b.plan.Target.Pgdata,
		Superuser: "postgres", Encoding: "UTF8", LcCollate: "C", LcCtype: "C", NoSync: true,
	}.Run(t.Context(), as))

	events, err := b.worker.carryConfiguration(t.Context(), b.plan, user)
	b.must(err)
	var told strings.Builder
	for _, event := range events {
		fmt.Fprintln(&told, event.Text)
	}
	t.Logf("told:\n%s", told.String())
	for _, name := range []string{"old_snapshot_threshold", "archiving is withheld", "synchronous_standby_names", "log_directory kept"} {
		if !strings.Contains(told.String(), name) {
			t.Errorf("%s is not told", name)
		}
	}
	if strings.Contains(told.String(), "hunter2") {
		t.Error("a command is told that may hold a secret")
	}
	if conf := read(b.plan.Target.ConfigFile); !strings.Contains(conf, "#archive_command = 'cp --key hunter2") {
		t.Errorf("the source's archive_command is not in the target's postgresql.conf any more:\n%s", conf)
	}
	certs := filepath.Join(b.plan.Source.Pgdata, "certs")
	b.must(os.Rename(certs, certs+".removed"))
	b.must(b.worker.host.Start(t.Context(), b.plan.Target, targetLog(b.plan), targetStart))
	b.must(os.Rename(certs+".removed", certs))
	b.targetHas(map[string]string{
		"work_mem":                       "9MB", // ALTER SYSTEM over conf.d
		"maintenance_work_mem":           "70MB",
		"shop.currency":                  "EUR",
		"archive_mode":                   "on",
		"archive_command":                "true",
		"synchronous_standby_names":      "",
		"synchronous_commit":             "local",
		"maintenance_io_concurrency":     "3", // the command line
		"debug_parallel_query":           "on",
		"wal_level":                      "logical",
		"port":                           fmt.Sprint(b.plan.Target.Port),
		"data_directory":                 b.plan.Target.Pgdata,
		"log_line_prefix":                "it's %m ",
		"ssl":                            "on",
		"ssl_cert_file":                  "certs/server.crt",
		"log_directory":                  certs,
		"max_replication_slots":          "20",
		"max_active_replication_origins": "20",
	})
	hba := read(b.plan.Target.HBAFile)
	if !strings.Contains(hba, "# the office\nhost shop app 192.0.2.0/24 scram-sha-256\n") {
		t.Errorf("the target's pg_hba.conf lacks the source's line:\n%s", hba)
	}
	if ident := read(b.plan.Target.IdentFile); !strings.Contains(ident, "office") {
		t.Errorf("the target's pg_ident.conf: %s", ident)
	}

	// Replication's own settings and lines go when it ends; the source's file is what it was.
	b.must(endReplicationSettings(b.plan, user))
	b.must(b.worker.setHBABlock(t.Context(), b.plan.Target, user, nil))
	b.must(b.worker.setHBABlock(t.Context(), b.plan.Source, user, nil))
	if after := read(b.plan.Source.HBAFile); after != before {
		t.Errorf("the source's pg_hba.conf:\n%s", after)
	}
	for _, file := range []string{b.plan.Target.ConfigFile, b.plan.Target.HBAFile} {
		if text := read(file); strings.Contains(text, "BEGIN pgleap") {
			t.Errorf("left in %s:\n%s", file, text)
		}
	}
	b.must(b.worker.host.Stop(t.Context(), b.plan.Target, pgbin.StopFast, targetStart))
	b.must(b.worker.host.Start(t.Context(), b.plan.Target, targetLog(b.plan), targetStart))
}

// configure gives the source settings in three places, and a way in from an office.
func (b *upgradeBed) configure(user run.User) {
	b.Helper()
	pgdata := b.source.Pgdata
	b.must(os.Mkdir(filepath.Join(pgdata, "conf.d"), 0o700))
	b.must(user.Chown(filepath.Join(pgdata, "conf.d")))
	b.must(writeOwned(filepath.Join(pgdata, "conf.d", "10-memory.conf"), []byte(
		"work_mem = '7MB'\nmaintenance_work_mem = 70MB\nold_snapshot_threshold = 60 # minutes\nshop.currency = 'EUR'\n"), user, 0o600))
	b.append(user, "postgresql.conf", `
include_dir 'conf.d'
archive_mode = on
archive_command = 'cp --key hunter2 %p /archive/%f'
synchronous_standby_names = 'FIRST 1 (standby1)'
synchronous_commit = local
log_line_prefix = 'it''s %m '
`)
	b.append(user, "pg_hba.conf", "# the office\nhost shop app 192.0.2.0/24 scram-sha-256\n")
	b.append(user, "pg_ident.conf", "office alice app\n")
	b.source.Restart(b)
	b.source.Exec(b, "postgres", `ALTER SYSTEM SET work_mem = '9MB'`, `SELECT pg_reload_conf()`)
}

// restartWith starts the source again, with settings on its command line.
func (b *upgradeBed) restartWith(settings ...string) {
	b.Helper()
	as, err := b.worker.caller(b.plan, "pg_ctl")
	b.must(err)
	source := pgbin.PgCtl{Bindir: b.plan.Source.Bindir, Pgdata: b.plan.Source.Pgdata}
	b.must(source.Stop(b.Context(), as, pgbin.StopFast, targetStart))
	b.must(source.Start(b.Context(), as, filepath.Join(b.source.SocketDir, "log"), pgbin.Options(settings...), targetStart))
}

func (b *upgradeBed) append(user run.User, name, text string) {
	b.Helper()
	path := filepath.Join(b.source.Pgdata, name)
	b.must(writeOwned(path, []byte(read(path)+text), user, 0o600))
}

// targetHas compares settings of the running target, those that its version knows.
func (b *upgradeBed) targetHas(want map[string]string) {
	b.Helper()
	known := b.ask(b.plan.Target, "postgres", `SELECT name FROM pg_settings`)
	for name, value := range want {
		if !strings.Contains(name, ".") && !slices.Contains(known, name) {
			continue
		}
		if got := b.ask(b.plan.Target, "postgres", `SELECT current_setting($1)`, name)[0]; got != value {
			b.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if slices.Contains(known, "old_snapshot_threshold") {
		b.Error("the target knows old_snapshot_threshold: choose another removed setting for this test")
	}
}
