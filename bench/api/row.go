package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// What the catalogue holds. Upgrades of many instances take turns, as they do in time: the tasks of
// one are far from each other in the table.
const (
	instances        = 10_000
	tasksPerInstance = 100 // of those that have any: fewer tasks are of fewer instances, so that answers are alike
	runningEvery     = 10  // the newest upgrade of every tenth instance is running
)

// begin is when the first upgrade began. The later ones follow a minute apart.
var begin = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// fixture makes the rows of a catalogue. The same number makes the same row.
type fixture struct {
	tasks  int // in all
	active int // instances that have tasks
}

func newFixture(tasks int) fixture {
	return fixture{tasks: tasks, active: min(instances, max(1, tasks/tasksPerInstance))}
}

// length is how many tasks an instance has.
func (f fixture) length(instance int) int { return (f.tasks - instance + f.active - 1) / f.active }

func instanceID(i int) string { return fmt.Sprintf("orders-%05d", i) }

// instanceUUID is 32 hexadecimal digits, in no order.
func instanceUUID(i int) string { return hex.EncodeToString(randomBytes("instance", i)) }

func randomBytes(kind string, n int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprintf("%s %d", kind, n))
	id := make([]byte, 16)
	rand.NewChaCha8(seed).Read(id) //nolint:errcheck // it never fails
	return id
}

const instanceColumns = "id, host, pgdata, cluster, endpoint, created_at, uuid"

func instanceRow(i int) ([]any, error) {
	cluster := clusterOf(i, 150_012)
	text, err := texts(cluster, endpointOf(i))
	if err != nil {
		return nil, err
	}
	return []any{instanceID(i), cluster.Host, cluster.Pgdata, text[0], text[1], begin.UnixMicro(), instanceUUID(i)}, nil
}

func clusterOf(instance int, version upgrade.VersionNum) upgrade.Cluster {
	pgdata := fmt.Sprintf("/srv/postgresql/%d/%s", version.Major(), instanceID(instance))
	return upgrade.Cluster{
		Host: "db1", Name: instanceID(instance), Version: version, Pgdata: pgdata,
		Bindir:     fmt.Sprintf("/usr/lib/postgresql/%d/bin", version.Major()),
		ConfigFile: pgdata + "/postgresql.conf", HBAFile: pgdata + "/pg_hba.conf", IdentFile: pgdata + "/pg_ident.conf",
		SocketDir: "/var/run/postgresql", Port: 10_000 + instance, Owner: "postgres", Superuser: "postgres",
		SystemIdentifier: fmt.Sprint(7_300_000_000_000_000_000 + instance), Manager: upgrade.ManagerPgCtl,
	}
}

func endpointOf(instance int) upgrade.Endpoint {
	dir := "/var/lib/pgleap/pgbouncer/" + instanceID(instance)
	return upgrade.Endpoint{
		Driver: upgrade.PgBouncer, Owned: true, Listen: upgrade.Address{Host: "127.0.0.1", Port: 30_000 + instance},
		Console: upgrade.Address{Host: dir, Port: 30_000 + instance}, ConsoleUser: "pgleap", Dir: dir, Ini: dir + "/pgbouncer.ini",
		AuthType: "scram-sha-256", PoolSize: 20,
	}
}

const taskColumns = `number, id, kind, instance, mode, source, target, status, phase, reason, progress, switchover, plan, phases,
started_at, ended_at, requested_by, statistics, switched, switch_started_at, switch_ended_at, log`

// taskRow is the task with a number, from 1 on.
func taskRow(f fixture, number int) ([]any, error) {
	instance := (number - 1) % f.active
	t := history{number: number, instance: instance, target: upgrade.Major(14 + (number-1)/f.active%5), start: begin.Add(time.Duration(number) * time.Minute)}
	t.running = instance%runningEvery == 0 && number+f.active > f.tasks
	random := randomBytes("task", number)
	id, err := uuid.FromBytes(random)
	if err != nil {
		return nil, err
	}
	plan := t.plan(id.String())
	status, phase, progress, switchover := upgrade.StatusSucceeded, upgrade.PhaseFinishing, (*upgrade.Progress)(nil), t.switchover()
	var ended, switchStart, switchEnd any = t.at(29).UnixMicro(), switchover.StartedAt.UnixMicro(), switchover.EndedAt.UnixMicro()
	switched := 1
	if t.running {
		status, phase, progress, switchover = upgrade.StatusRunning, upgrade.PhaseSynchronizing, t.progress(), nil
		ended, switchStart, switchEnd, switched = nil, nil, nil, 0
	}
	text, err := texts(progress, switchover, plan, t.phases())
	if err != nil {
		return nil, err
	}
	return []any{
		number, id.String(), string(upgrade.TaskUpgrade), instanceID(instance), string(upgrade.ZeroDowntime), int(plan.Source.Version), int(t.target),
		string(status), string(phase), "", text[0], text[1], text[2], text[3], t.start.UnixMicro(), ended, "access key PGLEAPBENCHMARK",
		string(plan.Options.Statistics), switched, switchStart, switchEnd, t.log(),
	}, nil
}

func texts(values ...any) ([]string, error) {
	all := make([]string, len(values))
	for i, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		all[i] = string(text)
	}
	return all, nil
}

// history is what happened in an upgrade.
type history struct {
	number   int
	instance int
	target   upgrade.Major
	start    time.Time
	running  bool
}

// at is so many minutes after the start.
func (h history) at(minutes int) time.Time { return h.start.Add(time.Duration(minutes) * time.Minute) }

func (h history) plan(id string) upgrade.Plan {
	options := upgrade.Options{Statistics: upgrade.StatisticsBefore}
	if h.number%3 == 0 {
		options.Statistics = upgrade.StatisticsAfter
	}
	return upgrade.Plan{
		Number: int64(h.number), ID: id, Instance: instanceID(h.instance), Mode: upgrade.ZeroDowntime,
		Source:   clusterOf(h.instance, upgrade.VersionNum(h.target-1)*10_000+12),
		Target:   clusterOf(h.instance, upgrade.VersionNum(h.target)*10_000+4),
		Endpoint: endpointOf(h.instance), Options: options.WithDefaults(),
	}
}

func (h history) progress() *upgrade.Progress {
	return &upgrade.Progress{
		Phase: upgrade.PhaseSynchronizing, Step: "apply changes", Text: "the target is 3 MB behind", At: h.at(24),
		Lag: &upgrade.Lag{Bytes: 3 << 20, LagSeconds: 0.8, RetainedWAL: 96 << 20, ETASeconds: 1.4},
	}
}

func (h history) switchover() *upgrade.Switchover {
	s := &upgrade.Switchover{
		Switched: true, Pause: 41 * time.Millisecond, StartedAt: h.at(26), EndedAt: h.at(26).Add(41 * time.Millisecond),
		SourceLSN: "2A/7C0001F8", TargetPort: 10_000 + h.instance,
	}
	for _, step := range []string{"pause", "fence", "drain", "last changes", "sequences", "compare", "move", "resume"} {
		s.Steps = append(s.Steps, upgrade.StepDuration{Step: step, Duration: 5 * time.Millisecond})
	}
	return s
}

// phases are three minutes each.
func (h history) phases() []upgrade.PhaseSpan {
	var spans []upgrade.PhaseSpan
	for i, phase := range upgrade.Phases() {
		span := upgrade.PhaseSpan{Phase: phase, StartedAt: h.at(3 * i)}
		open := h.running && phase == upgrade.PhaseSynchronizing
		if !open {
			ended := h.at(3*i + 3)
			span.EndedAt = &ended
		}
		if spans = append(spans, span); open {
			break
		}
	}
	return spans
}

// log is what a user sees of it: about 20 lines, 1.5 KB.
func (h history) log() string {
	var b strings.Builder
	line := func(minutes int, format string, args ...any) {
		b.WriteString(h.at(minutes).Format(time.DateTime))
		fmt.Fprintf(&b, " --- "+format+".\n", args...)
	}
	line(0, "The upgrade begins")
	for i, phase := range upgrade.Phases() {
		if h.running && phase == upgrade.PhaseSwitchover {
			break
		}
		line(3*i, "Phase %q begins", phase)
		line(3*i+1, "Step %d of the phase is done after %d ms on host db1, port %d", i+1, 100+h.number%900, 10_000+h.instance)
	}
	if !h.running {
		line(26, "The endpoint leads to PostgreSQL %d now, clients waited %d ms", h.target, 30+h.number%40)
		line(29, "The upgrade has ended: succeeded")
	}
	return b.String()
}
