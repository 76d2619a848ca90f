package precheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Subject is what is to be checked, and what is known about its host.
type Subject struct {
	Number int64  // of the precheck's task
	ID     string // UUID of the precheck's task
	Plan   upgrade.Plan
	Source postgres.Login // to the source, as a superuser; its database is the one for cluster-wide checks
	// Target leads to a running scratch cluster, made by the target's initdb with the source's
	// parameters. Checks ask it what the target can do. They may write to it.
	Target Measured[postgres.Login]
	Host   Host
}

// Host is what SQL cannot tell.
type Host struct {
	// TargetProblems are reasons why the target's place cannot be used, each a sentence.
	TargetProblems  []string
	TargetSpace     Measured[Space] // of the file system that will hold clone and target
	SourceSpace     Measured[Space] // of the file system that holds the source's WAL
	SameFileSystem  bool            // whether the two are one
	MemoryAvailable Measured[int64] // bytes, without swapping
	PgUpgrade       Measured[PgUpgrade]
	Configuration   Measured[Configuration]
	SchemaRehearsal Measured[SchemaRehearsal]
	Speed           Measured[upgrade.Speed]
	WAL             Measured[WALPoint] // a while ago
}

// Space is what is free on a file system for who is not root.
type Space struct {
	Bytes  int64
	Inodes int64 // 0 if the file system does not count them
}

// PgUpgrade is what pg_upgrade --check said.
type PgUpgrade struct {
	Compatible bool
	Failures   []PgUpgradeComplaint
	Warnings   []PgUpgradeComplaint
}

// PgUpgradeComplaint is one thing that pg_upgrade --check had to say.
type PgUpgradeComplaint struct {
	Step    string   // its status line, such as "Checking for prepared transactions"
	Text    string   // its explanation
	File    string   // base name of its report file, such as "loadable_libraries.txt"; may be empty
	Objects []string // the report's lines, led by the database where it names one
}

// Measured is a fact, or the reason why it is not known.
type Measured[T any] struct {
	Value T
	Err   error
}

// Known wraps what a measurement returned.
func Known[T any](value T, err error) Measured[T] { return Measured[T]{value, err} }

// Get returns the fact or the reason.
func (m Measured[T]) Get() (T, error) { return m.Value, m.Err }

// Facts is what checks have at hand.
type Facts struct {
	Plan      upgrade.Plan
	Host      Host
	Version   upgrade.VersionNum // of the running source
	Settings  postgres.Settings  // of the source
	Databases []postgres.Database
	Workload  Measured[upgrade.Workload]
	// Published are the databases that are going to be replicated.
	Published []postgres.ReplicatedDatabase

	compared Measured[*compared]

	login     postgres.Login // of the scratch cluster
	target    *pgx.Conn      // to the scratch cluster
	targetErr error
	probes    map[probeKey]probe
}

// Target is a session on the scratch cluster, outside a transaction.
func (f *Facts) Target() (*pgx.Conn, error) {
	if f.targetErr != nil {
		return nil, fmt.Errorf("ask the target's programs: %w", f.targetErr)
	}
	return f.target, nil
}

// gather reads what most checks need from the source.
func gather(ctx context.Context, source *pgx.Conn, subject Subject) (*Facts, error) {
	f := &Facts{Plan: subject.Plan, Host: subject.Host, probes: map[probeKey]probe{}}
	var err error
	if f.Settings, err = postgres.ReadSettings(ctx, source); err != nil {
		return nil, err
	}
	version, err := f.Settings.Int("server_version_num")
	if err != nil {
		return nil, err
	}
	f.Version = upgrade.VersionNum(version)
	if f.Databases, err = postgres.Databases(ctx, source); err != nil {
		return nil, err
	}
	if f.Published, err = postgres.ReplicatedDatabases(ctx, source); err != nil {
		return nil, err
	}
	f.Workload = Known(measureCluster(ctx, source, f.Settings))
	f.login, f.targetErr = subject.Target.Get()
	if f.targetErr == nil && f.login.User == "" {
		f.targetErr = errors.New("there is no scratch cluster of the target version")
	}
	if f.targetErr == nil {
		f.target, f.targetErr = postgres.Connect(ctx, f.login)
	}
	return f, nil
}

// close leaves the scratch cluster as it was found.
func (f *Facts) close(ctx context.Context) {
	if f.target == nil {
		return
	}
	for _, p := range f.probes {
		p.drop(ctx, f.target)
	}
	_ = f.target.Close(ctx)
}
