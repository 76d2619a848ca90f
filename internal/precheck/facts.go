package precheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

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
	// Log gets the duration of each check, at debug level. Without one they are not told.
	Log *slog.Logger
}

// Host is what SQL cannot tell.
type Host struct {
	// Unseen is why nobody could look at the host, when nobody could: its checks cannot tell then.
	Unseen error
	// TargetProblems are reasons why the target's place cannot be used, each a sentence.
	TargetProblems  []string
	TargetSpace     Measured[Space] // of the file system that will hold clone and target
	SourceSpace     Measured[Space] // of the file system that holds the source's WAL
	SameFileSystem  bool            // whether the two are one
	OtherBytes      Measured[int64] // what a base backup copies of the data directory beside the tablespaces
	Transfer        Measured[Transfer]
	Copied          Measured[Copied] // by that transfer
	MemoryAvailable Measured[int64]  // bytes, without swapping
	// HugePages are the bytes free in huge pages, by the size of a page; 0 is the kernel's default.
	HugePages     Measured[map[int64]int64]
	HugePagesHeld Measured[int64] // bytes of them that the source's server has
	OpenFiles     Measured[OpenFiles]
	AccessControl Measured[AccessControl]
	ClockAdrift   Measured[bool] // whether nothing keeps the host's clock in time
	PgUpgrade     Measured[PgUpgrade]
	Configuration Measured[Configuration]
	// SourceConfiguration is what the source's program has to complain of in the source's configuration files.
	SourceConfiguration Measured[[]string]
	SchemaRehearsal     Measured[SchemaRehearsal]
	Speed               Measured[upgrade.Speed]
	WAL                 Measured[WALPoint] // a while ago
	// Standbys are the source's, and those of this host that do not stream from it now.
	Standbys Measured[[]Standby]
	// CloneFrom tells why the standby that the plan names cannot be copied, in a sentence.
	CloneFrom string
	// Dependents are the units that systemd stops with the source's.
	Dependents Measured[[]Dependent]
}

// Standby is a standby of the source, and where its successor would be.
type Standby struct {
	upgrade.Standby
	Place string // its data directory; empty with a Problem
	Free  int64  // bytes on that file system
}

// UnseenHost is a host of which nothing is known, for a reason.
func UnseenHost(reason error) Host {
	return Host{
		Unseen:              reason,
		TargetSpace:         Measured[Space]{Err: reason},
		SourceSpace:         Measured[Space]{Err: reason},
		OtherBytes:          Measured[int64]{Err: reason},
		Transfer:            Measured[Transfer]{Err: reason},
		Copied:              Measured[Copied]{Err: reason},
		MemoryAvailable:     Measured[int64]{Err: reason},
		HugePages:           Measured[map[int64]int64]{Err: reason},
		HugePagesHeld:       Measured[int64]{Err: reason},
		OpenFiles:           Measured[OpenFiles]{Err: reason},
		AccessControl:       Measured[AccessControl]{Err: reason},
		ClockAdrift:         Measured[bool]{Err: reason},
		PgUpgrade:           Measured[PgUpgrade]{Err: reason},
		Configuration:       Measured[Configuration]{Err: reason},
		SourceConfiguration: Measured[[]string]{Err: reason},
		SchemaRehearsal:     Measured[SchemaRehearsal]{Err: reason},
		Speed:               Measured[upgrade.Speed]{Err: reason},
		WAL:                 Measured[WALPoint]{Err: reason},
		Standbys:            Measured[[]Standby]{Err: reason},
		Dependents:          Measured[[]Dependent]{Err: reason},
	}
}

// Space is what is free on a file system for who is not root.
type Space struct {
	Bytes  int64
	Inodes int64 // 0 if the file system does not count them
}

// Plus is the sum of two needs.
func (s Space) Plus(other Space) Space {
	return Space{Bytes: s.Bytes + other.Bytes, Inodes: s.Inodes + other.Inodes}
}

// Transfer is how files would come to the target in place, or why they cannot come in the way that was asked for, in
// a sentence.
type Transfer struct {
	Chosen  upgrade.ChosenTransfer
	Refused string
}

// Copied is what a transfer in place writes anew of the source's data.
type Copied struct {
	ToTarget  Space  // to the file system of the target's data directory
	Elsewhere []Room // to the others, each of which has tablespaces
}

// Room is a file system, by a directory in it, what an upgrade needs there, and what is free.
type Room struct {
	Dir        string
	Need, Free Space
}

// PgUpgrade is what pg_upgrade --check said.
type PgUpgrade struct {
	Compatible bool
	Failures   []PgUpgradeComplaint
	Warnings   []PgUpgradeComplaint
}

// PgUpgradeComplaint is one thing that pg_upgrade --check had to say.
type PgUpgradeComplaint struct {
	Step    string // its status line, such as "Checking for prepared transactions"
	Text    string // its explanation
	File    string // base name of its report file, such as "loadable_libraries.txt"; may be empty
	Objects []PgUpgradeObject
}

// PgUpgradeObject is an entry of a report file.
type PgUpgradeObject struct {
	Database string   // empty when the file does not say
	Text     string   // the object as the file has it: its names are not quoted
	Names    []string // the parts of its name, the schema first; none when it cannot be told where one ends
	Note     string   // what the file says of it beside its name
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

	log       *slog.Logger
	login     postgres.Login // of the scratch cluster
	target    *pgx.Conn      // to the scratch cluster
	targetErr error
	probes    map[probeKey]probe
	twin      int // tells the names of its probes from those of others

	*recollection
}

// recollection is what checks have found out that others, or they in another database, ask again. Those who look at
// the same time have one each.
type recollection struct {
	offered       map[string]map[string]bool // names in the target's catalogs, by kind
	collated      map[string][]collation     // by the source's database
	lackedColumns []systemColumn             // of the source's system relations
	lackedCalls   map[string][]systemCall    // by kind
	tried         map[string]string          // why the target refuses statements, by statement
}

func newRecollection() *recollection {
	return &recollection{
		offered: map[string]map[string]bool{}, lackedCalls: map[string][]systemCall{}, collated: map[string][]collation{}, tried: map[string]string{},
	}
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
	f := &Facts{
		Plan: subject.Plan, Host: subject.Host, probes: map[probeKey]probe{}, recollection: newRecollection(),
		log: subject.Log,
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
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
	f.Workload.Value.OtherBytes = f.Host.OtherBytes.Value
	f.login, f.targetErr = subject.Target.Get()
	if f.targetErr == nil && f.login.User == "" {
		f.targetErr = errors.New("there is no scratch cluster of the target version")
	}
	f.connectTarget(ctx)
	return f, nil
}

func (f *Facts) connectTarget(ctx context.Context) {
	if f.targetErr == nil {
		f.target, f.targetErr = postgres.Connect(ctx, f.login)
	}
}

// sharedFacts are the facts for several who look at the same time: each has sessions of its own on the
// scratch cluster, and uses what another one has made there before.
type sharedFacts struct {
	original *Facts
	free     chan *Facts
	mutex    sync.Mutex
	twins    []*Facts
}

func (f *Facts) shared() *sharedFacts {
	s := &sharedFacts{original: f, free: make(chan *Facts, databasesAtOnce)}
	s.free <- f
	return s
}

// take returns facts that nobody else uses until they are given back.
func (s *sharedFacts) take(ctx context.Context) *Facts {
	select {
	case f := <-s.free:
		return f
	default:
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	twin := *s.original
	twin.probes, twin.target, twin.twin, twin.recollection = map[probeKey]probe{}, nil, len(s.twins)+1, newRecollection()
	twin.connectTarget(ctx)
	s.twins = append(s.twins, &twin)
	return &twin
}

func (s *sharedFacts) giveBack(f *Facts) { s.free <- f }

// close closes what the original does not.
func (s *sharedFacts) close(ctx context.Context) {
	for _, twin := range s.twins {
		twin.close(ctx)
	}
}

// close leaves the scratch cluster as it was found.
func (f *Facts) close(ctx context.Context) {
	if f.target == nil {
		return
	}
	for _, p := range f.probes {
		p.drop(ctx, f.target)
	}
	disconnect(ctx, f.target)
}
