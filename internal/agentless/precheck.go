// Package agentless prechecks a server that pgleap reaches over SQL alone: one that is not registered, on a host
// without an agent. What cannot be known so is told as not checked, and such a report never passes.
package agentless

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Request is what is to be prechecked.
type Request struct {
	ConnString string // of libpq; the environment and libpq's files count
	Target     upgrade.Major
	Mode       upgrade.Mode
	Options    upgrade.Options
	// Bindir has the target's programs on this machine. Empty: they are looked for where packages
	// put them, and done without if they are not there.
	Bindir string
}

// errUnseen is why the host's checks cannot tell.
var errUnseen = errors.New("it takes an agent on the server's host to tell")

// Precheck runs the checks and returns the report. Nothing is registered or kept.
func Precheck(ctx context.Context, req Request, now time.Time, log *slog.Logger) (upgrade.Report, error) {
	login := postgres.Login{ConnString: req.ConnString}
	address, database, err := login.Server()
	if err != nil {
		return upgrade.Report{}, err
	}
	login.Database = database // the one for cluster-wide checks
	server, err := look(ctx, login)
	if err != nil {
		return upgrade.Report{}, err
	}
	plan := upgrade.Plan{
		Instance: address.String(), Mode: req.Mode, Options: req.Options.WithDefaults(),
		Source: upgrade.Cluster{Version: server.version},
		// Without programs there is no more than a major version.
		Target: upgrade.Cluster{Version: upgrade.VersionNum(int(req.Target) * 10000)},
	}
	subject := precheck.Subject{Plan: plan, Source: login, Host: precheck.UnseenHost(errUnseen)}
	runner := run.New(log)
	programs, err := findPrograms(ctx, runner, req)
	if err != nil {
		return upgrade.Report{}, err
	}
	if programs.Bindir == "" {
		subject.Target.Err = fmt.Errorf("programs of PostgreSQL %d are not on this machine, see --target-bindir", req.Target)
	} else {
		subject.Plan.Target.Version, subject.Plan.Target.Bindir = programs.Version, programs.Bindir
		scratch := newScratch(runner, programs)
		defer scratch.discard(context.WithoutCancel(ctx), log)
		subject.Target = precheck.Known(scratch.start(ctx, server))
	}
	report, err := precheck.Run(ctx, subject, now)
	if err != nil {
		return upgrade.Report{}, fmt.Errorf("precheck %s: %w", address, err)
	}
	report.NotChecked = append(server.hidden(), report.NotChecked...)
	return report, nil
}

// findPrograms finds the newest programs of the target. None is no error, unless the user named a directory.
func findPrograms(ctx context.Context, runner *run.Runner, req Request) (pgbin.Installation, error) {
	if req.Bindir != "" {
		version, err := pgbin.Version(ctx, runner, req.Bindir)
		if err != nil {
			return pgbin.Installation{}, &upgrade.Refused{
				Reason: fmt.Sprintf("%s has no programs of PostgreSQL: %v", req.Bindir, err), Remedy: "name the directory that has postgres in it",
			}
		}
		if version.Major() != req.Target {
			return pgbin.Installation{}, &upgrade.Refused{
				Reason: fmt.Sprintf("%s has PostgreSQL %s, not %d", req.Bindir, version, req.Target), Remedy: "name that of the target's version",
			}
		}
		return pgbin.Installation{Bindir: req.Bindir, Version: version}, nil
	}
	all, err := pgbin.Installations(ctx, runner, nil)
	if err != nil {
		return pgbin.Installation{}, err
	}
	i := slices.IndexFunc(all, func(i pgbin.Installation) bool { return i.Version.Major() == req.Target })
	if i < 0 {
		return pgbin.Installation{}, nil
	}
	return all[i], nil
}

// server is what is asked of the source before the checks.
type server struct {
	version      upgrade.VersionNum
	role         string
	seesSettings bool
	superuser    bool
	segment      int // bytes
	checksums    bool
}

// look connects for the first time, so that a server that cannot be asked at all is told of soon.
func look(ctx context.Context, login postgres.Login) (server, error) {
	conn, err := postgres.Connect(ctx, login)
	if err != nil {
		return server{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	var s server
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_user, r.rolsuper,
			r.rolsuper OR pg_has_role(r.oid, 'pg_read_all_settings', 'USAGE'),
			(SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'),
			current_setting('data_checksums') = 'on'
		FROM pg_roles r WHERE rolname = current_user`).
		Scan(&s.version, &s.role, &s.superuser, &s.seesSettings, &s.segment, &s.checksums)
	if err != nil {
		return server{}, fmt.Errorf("ask the server who it is: %w", err)
	}
	return s, nil
}

// hidden is what no check can see of a server over SQL, or as this role. It is never empty.
func (s server) hidden() []string {
	hidden := []string{"the source's files and host: " + errUnseen.Error()}
	if !s.seesSettings {
		hidden = append(hidden, fmt.Sprintf("some settings: role %s may not see all of them (GRANT pg_read_all_settings or connect as a superuser)", s.role))
	}
	if !s.superuser {
		hidden = append(hidden, fmt.Sprintf("subscriptions and what else only superusers see: role %s is none", s.role))
	}
	return hidden
}
