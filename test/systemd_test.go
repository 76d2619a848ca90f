package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// systemdRoot is the variable that names a container which scripts/systemd-container has made.
const systemdRoot = "PGLEAP_SYSTEMD_ROOT"

// machine is a container with systemd, with clusters that units of their own run.
type machine struct {
	*harness.Machine
	t   *testing.T
	ctx context.Context
	// serve are the clusters that run when all is done, and gone the units that must not.
	serve []served
	gone  []string
}

// served is a cluster, with what runs it.
type served struct {
	unit string
	port int
	rows string // in its table
}

// TestUnderSystemd upgrades clusters that a real systemd runs, in every mode and with units of several shapes, lets
// pg_upgrade and the agent die, and boots the machine again.
func TestUnderSystemd(t *testing.T) {
	root := os.Getenv(systemdRoot)
	if root == "" {
		t.Skip("it needs a container with systemd: it is run by make test-systemd (" + systemdRoot + ")")
	}
	m := &machine{t: t, ctx: deadline(t)}
	var err error
	m.Machine, err = harness.NewMachine(m.ctx, "../scripts/systemd-container", root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.clear)
	m.shell(`systemctl enable --now --quiet pgleap`)
	m.must(m.AwaitServer(m.ctx))
	m.within("a unit for each version", m.ownUnit)
	m.within("one unit for all versions", m.sharedUnit)
	m.within("beside the source", m.besideSource)
	m.within("and back", m.andBack)
	m.within("postgresql-common", m.debian)
	m.within("the machine is booted again", m.bootAgain)
	m.within("in the hands of its administrator", m.byHand)
}

// clear removes the machine, and tells what it has said if the test failed.
func (m *machine) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if m.t.Failed() {
		journal, err := m.Run(ctx, "journalctl", "--boot", "--no-pager", "--lines=200")
		m.t.Logf("the journal (%v):\n%s", err, journal)
	}
	if err := m.Clear(ctx); err != nil {
		m.t.Error(err)
	}
}

// ownUnit: 15 and 17 have units of their own, as the packages for Red Hat bring them. The first upgrades fail in the
// middle of the outage, and leave everything as it was.
func (m *machine) ownUnit() {
	const id, source, target = "orders", "postgresql-15.service", "postgresql-17.service"
	for _, version := range []string{"15", "17"} {
		m.writeUnit("/usr/lib/systemd/system/postgresql-"+version+".service", packagedUnit(version))
	}
	m.writeUnit("/etc/systemd/system/"+source+".d/limits.conf", "[Service]\nLimitNOFILE=40960\nRuntimeDirectory=orders\nRestart=on-failure\n")
	m.makeCluster("/var/lib/pgsql/15/data", 5501, source)
	m.add(id, 5501)
	m.killed(id, source, "pg_upgrade")
	m.killed(id, source, "agent")
	m.killed(id, source, "machine")
	m.isServed(source, 5501, "1")
	task := m.upgradeInPlace(id, "link", 5501)
	m.isServed(target, 5501, "2")
	m.isDown(source)
	if limit := m.property(target, "LimitNOFILE"); limit != "40960" {
		m.t.Errorf("the limit of %s is %s", target, limit)
	}
	m.retire(id, task)
	m.stays(served{target, 5501, "2"}, source)
}

// packagedUnit is what the packages for Red Hat bring: up to 15 they start the server by its former name.
func packagedUnit(version string) string {
	program := "postgres"
	if version == "15" {
		program = "postmaster"
	}
	return strings.NewReplacer("VERSION", version, "PROGRAM", program).Replace(packaged)
}

const packaged = `[Unit]
Description=PostgreSQL VERSION database server
After=network-online.target

[Service]
Type=notify
User=postgres
Group=postgres
Environment=PGDATA=/var/lib/pgsql/VERSION/data/
OOMScoreAdjust=-1000
Environment=PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj
Environment=PG_OOM_ADJUST_VALUE=0
ExecStartPre=/usr/bin/test -d ${PGDATA}/base
ExecStart=/usr/lib/postgresql/VERSION/bin/PROGRAM -D ${PGDATA}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
KillSignal=SIGINT
TimeoutSec=0

[Install]
WantedBy=multi-user.target
`

// sharedUnit: the instance is one of a template's, which does not say its version, waits for nothing, and lets its
// server write nowhere else. A target that does not start is given up, though its unit says that it be tried for ever.
func (m *machine) sharedUnit() {
	const id, unit = "shop", "pg@shop.service"
	m.writeUnit("/etc/systemd/system/pg@.service", `[Unit]
Description=PostgreSQL of %i
RequiresMountsFor=/srv/%i/data

[Service]
Type=simple
User=postgres
Environment=PGDATA=/srv/%i/data
ExecStart=/usr/lib/postgresql/15/bin/postgres -D ${PGDATA}
ExecStop=/usr/lib/postgresql/15/bin/pg_ctl stop -D ${PGDATA} -m fast
ProtectSystem=strict
ReadWritePaths=/srv/%i/data /run/postgresql
Restart=always
RestartSec=10ms

[Install]
WantedBy=multi-user.target
`)
	m.makeCluster("/srv/shop/data", 5502, unit)
	m.add(id, 5502)
	m.killed(id, unit, "pg_upgrade")
	m.fails(id, unit)
	m.isServed(unit, 5502, "1")
	task := m.upgradeInPlace(id, "copy", 5502)
	m.isServed(unit, 5502, "2")
	// Somebody looks at the source once more: it is no longer what the unit runs, and not pgleap's to stop.
	const former, asOwner = "/srv/shop/data", "runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /srv/shop/data "
	m.shell("cd " + former + " && mv global/pg_control.old global/pg_control && " + asOwner + `start -o "-p 5602" -l /dev/null`)
	if err := m.retired(id, task); err == nil || !strings.Contains(err.Error(), "was put back by hand") {
		m.t.Errorf("a source that somebody has started is retired: %v", err)
	}
	m.isServed(unit, 5502, "2")
	m.shell("cd " + former + " && " + asOwner + "stop -m fast && mv global/pg_control global/pg_control.old")
	m.retire(id, task)
	m.shell(`test ! -e ` + former + `/postmaster.pid`)
	m.stays(served{unit, 5502, "2"}, "")
}

// besideSource: source and target run beside each other, until the source is retired. The agent is started again in
// between: nothing that it has started ends with it.
func (m *machine) besideSource() {
	const id, source, target = "crm", "crm.service", "crm-17.service"
	m.writeUnit("/etc/systemd/system/"+source, `[Unit]
Description=The CRM's database

[Service]
Type=forking
User=postgres
RuntimeDirectory=%N
PIDFile=/srv/crm/data/postmaster.pid
ExecStart=/usr/lib/postgresql/15/bin/pg_ctl start -D /srv/crm/data -w
ExecStop=/usr/lib/postgresql/15/bin/pg_ctl stop -D /srv/crm/data -m fast

[Install]
WantedBy=multi-user.target
`)
	m.makeCluster("/srv/crm/data", 5503, source, "wal_level = logical", "unix_socket_directories = '/run/crm'")
	var instance upgrade.Instance
	m.must(m.JSON(m.ctx, &instance, "instance", "add", id, "--port", "5503", "--auth-type", "trust"))
	task := m.start(id, "--mode", "zero-downtime", "--skip-rehearsal", "--no-schema-rehearsal")
	m.awaitPhase(task, upgrade.PhaseSynchronizing)
	m.restartAgent(source, target)
	m.run("pgleap", "rehearse", id)
	m.run("pgleap", "switchover", id, "switch")
	m.restartAgent(source, target)
	if rows := m.query(instance.Endpoint.Listen.Port, "INSERT INTO kept VALUES (2) RETURNING (SELECT count(*) FROM kept) + 1"); rows != "2" {
		m.t.Errorf("%s rows behind the endpoint", rows)
	}
	m.run("pgleap", "finish", id, "--yes", "--retire")
	m.awaitEnd(task, upgrade.StatusSucceeded)
	m.isDown(source)
	m.must(m.JSON(m.ctx, &instance, "instance", "show", id))
	m.stays(served{target, instance.Cluster.Port, "2"}, source)
	m.shell(`test -S /run/crm/.s.PGSQL.` + strconv.Itoa(instance.Cluster.Port)) // the source took it not with it
}

// andBack: clients go to a target beside the source and come back, which leaves the source's unit alone.
func (m *machine) andBack() {
	const id, source, port = "erp", "pg15-erp.service", 5510
	m.writeUnit("/etc/systemd/system/"+source, strings.ReplaceAll(packagedUnit("15"), "pgsql", "erp"))
	m.makeCluster("/var/lib/erp/15/data", port, source)
	m.run("pgleap", "instance", "add", id, "--port", strconv.Itoa(port), "--auth-type", "trust")
	before := m.state()
	task := m.start(id, "--mode", "blue-green", "--no-schema-rehearsal")
	m.awaitPhase(task, upgrade.PhaseSynchronizing)
	m.run("pgleap", "switchover", id, "switch")
	m.awaitEnd(task, upgrade.StatusSucceeded)
	if state := m.property("pg17-erp.service", "ActiveState"); state != "active" || m.enabled("pg17-erp.service") != "enabled" {
		m.t.Errorf("pg17-erp.service is %s", state)
	}
	m.run("pgleap", "switchover", id, "back")
	m.awaitEnd(task, upgrade.StatusCancelled)
	if after := m.state(); after != before {
		m.t.Errorf("after the way back (-before +after):\n%s", cmp.Diff(before, after))
	}
	m.stays(served{source, port, "1"}, "")
}

// debian: the cluster is postgresql-common's, whose generator tells systemd what to start.
func (m *machine) debian() {
	const id, source, target = "main", "postgresql@15-main.service", "postgresql@17-main.service"
	m.shell(`sed -i s/scram-sha-256/trust/ /etc/postgresql/15/main/pg_hba.conf; systemctl restart ` + source)
	m.shell(`runuser -u postgres -- psql -qXc "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1)"`)
	m.add(id, 5432)
	m.killed(id, source, "pg_upgrade")
	m.isServed(source, 5432, "1")
	task := m.upgradeInPlace(id, "copy", 5432)
	m.isServed(target, 5432, "2")
	m.shell(`systemctl restart postgresql`) // which all of them are part of
	m.isServed(target, 5432, "2")
	m.isDown(source)
	m.retire(id, task)
	m.stays(served{target, 5432, "2"}, source)
}

// bootAgain: exactly the right servers run after a boot, and again after one that nobody was prepared for.
func (m *machine) bootAgain() {
	for _, end := range []func(context.Context) error{m.Stop, m.CutPower} {
		m.must(end(m.ctx))
		m.must(m.Boot(m.ctx))
		m.must(m.AwaitServer(m.ctx))
		m.allServed()
	}
}

// byHand: an administrator stops, starts and restarts what pgleap has made as if it were his own.
func (m *machine) byHand() {
	m.run("systemctl", "daemon-reload")
	for _, c := range m.serve {
		m.run("systemctl", "restart", c.unit)
		m.isServed(c.unit, c.port, c.rows)
		m.run("systemctl", "reload", c.unit)
		m.run("systemctl", "stop", c.unit)
		if processes := m.property(c.unit, "TasksCurrent"); processes != "[not set]" && processes != "0" {
			m.t.Errorf("%s processes are left of %s", processes, c.unit)
		}
		m.run("systemctl", "start", c.unit)
	}
	m.allServed()
}

func (m *machine) allServed() {
	m.t.Helper()
	for _, c := range m.serve {
		m.isServed(c.unit, c.port, c.rows)
	}
	for _, unit := range m.gone {
		m.isDown(unit)
	}
	m.must(m.IsTidy(m.ctx))
}

// stays wants a cluster to be served, and a unit to be down, from now on. There may be no such unit.
func (m *machine) stays(c served, gone string) {
	m.t.Helper()
	m.isServed(c.unit, c.port, c.rows)
	m.serve = append(m.serve, c)
	if gone != "" {
		m.isDown(gone)
		m.gone = append(m.gone, gone)
	}
}

// isServed wants a unit to run a cluster, the only one that does, to start it with the system, and nothing to have failed.
func (m *machine) isServed(unit string, port int, rows string) {
	m.t.Helper()
	m.must(harness.Await(m.ctx, patience, unit+" to serve", func(ctx context.Context) error {
		state, err := m.Property(ctx, unit, "ActiveState")
		if err == nil && state != "active" {
			err = errors.New("it is " + state)
		}
		return err
	}))
	if got := m.query(port, "SELECT count(*) FROM kept"); got != rows {
		m.t.Errorf("%s serves %s rows, want %s", unit, got, rows)
	}
	pid := m.query(port, "SELECT pg_read_file('postmaster.pid')")
	if main := m.property(unit, "MainPID"); !strings.HasPrefix(pid, main+"\n") {
		m.t.Errorf("the main process of %s is %s, the lock file says %q", unit, main, pid)
	}
	if state := m.enabled(unit); state != "enabled" && !strings.HasPrefix(unit, "postgresql@") {
		m.t.Errorf("%s is %s", unit, state)
	}
	m.must(m.IsTidy(m.ctx))
}

// isDown wants a unit to run nothing, and not to be started with the system.
func (m *machine) isDown(unit string) {
	m.t.Helper()
	if state := m.property(unit, "ActiveState"); state != "inactive" {
		m.t.Errorf("%s is %s", unit, state)
	}
	if state := m.enabled(unit); state == "enabled" {
		m.t.Errorf("%s is %s", unit, state)
	}
	m.must(m.IsTidy(m.ctx))
}

// enabled is what the files say, which systemd must have in mind as well.
func (m *machine) enabled(unit string) string {
	m.t.Helper()
	said, _ := m.Run(m.ctx, "systemctl", "is-enabled", unit) // it fails unless it is enabled
	if known := m.property(unit, "UnitFileState"); known != said {
		m.t.Errorf("%s is %q, and systemd believes %q", unit, said, known)
	}
	return said
}

// killed starts an upgrade, kills what makes it in the middle of its outage, and wants everything to be as it was.
func (m *machine) killed(id, unit, victim string) {
	m.t.Helper()
	before := m.state()
	task := m.start(id, "--mode", "in-place", "--transfer", "link")
	m.must(harness.Await(m.ctx, patience, "pg_upgrade to run", func(ctx context.Context) error {
		_, err := m.Shell(ctx, "! systemctl is-active --quiet "+unit+" && pgrep -x pg_upgrade")
		return err
	}))
	switch victim {
	case "machine":
		m.must(m.CutPower(m.ctx))
		m.must(m.Boot(m.ctx))
		m.must(m.AwaitServer(m.ctx))
	case "agent":
		m.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pgleap") // which its unit starts again
		m.must(m.AwaitServer(m.ctx))
	default:
		m.shell("kill -KILL $(pgrep -x " + victim + ")")
	}
	m.awaitEnd(task, upgrade.StatusFailed)
	if after := m.state(); after != before {
		m.t.Errorf("after the death of %s (-before +after):\n%s", victim, cmp.Diff(before, after))
	}
}

// fails starts an upgrade whose target does not start, since its unit lets it see no programs of its version, and wants
// everything to be as it was.
func (m *machine) fails(id, unit string) {
	m.t.Helper()
	blind := "/etc/systemd/system/" + unit + ".d/blind.conf"
	m.writeUnit(blind, "[Service]\nInaccessiblePaths=/opt/pgleap\n")
	m.run("systemctl", "daemon-reload")
	before := m.state()
	m.awaitEnd(m.start(id, "--mode", "in-place", "--transfer", "copy"), upgrade.StatusFailed)
	if after := m.state(); after != before {
		m.t.Errorf("after the start that failed (-before +after):\n%s", cmp.Diff(before, after))
	}
	m.shell("rm " + blind + " && systemctl daemon-reload")
}

// state is everything that an upgrade may have changed and must have put back.
func (m *machine) state() string {
	m.t.Helper()
	return m.shell(`
		mkdir -p /var/lib/pgsql /var/lib/erp
		find /etc/systemd /run/systemd/system /etc/postgresql /var/lib/pgsql /var/lib/erp /srv -maxdepth 3 ! -name '*.log' | sort
		systemctl list-units --all --plain --no-legend --full '*pg*' '*postgres*' '*crm*' '*shop*' --type=service
		systemctl list-unit-files --no-legend --type=service`)
}

// upgradeInPlace upgrades an instance, which then has one more row, and returns the upgrade's number.
func (m *machine) upgradeInPlace(id, transfer string, port int) (task int64) {
	m.t.Helper()
	task = m.start(id, "--mode", "in-place", "--transfer", transfer)
	m.awaitEnd(task, upgrade.StatusSucceeded)
	m.query(port, "INSERT INTO kept VALUES (2)")
	if version := m.query(port, "SHOW server_version_num"); !strings.HasPrefix(version, "17") {
		m.t.Errorf("the version is %s", version)
	}
	return task
}

// retire retires the cluster that an upgrade has left.
func (m *machine) retire(id string, task int64) {
	m.t.Helper()
	m.must(m.retired(id, task))
}

func (m *machine) retired(id string, task int64) error {
	_, err := m.Run(m.ctx, "pgleap", "instance", "retire", fmt.Sprintf("%s-old-%d", id, task), "--yes")
	return err
}

func (m *machine) restartAgent(units ...string) {
	m.t.Helper()
	pids := func() (pids string) {
		for _, unit := range units {
			pids += m.property(unit, "MainPID") + " "
		}
		return pids + m.shell("pgrep -x pgbouncer")
	}
	before := pids()
	m.run("systemctl", "restart", "pgleap")
	m.must(m.AwaitServer(m.ctx))
	if after := pids(); after != before {
		m.t.Errorf("after a restart of the agent the servers are %s, they were %s", after, before)
	}
}

func (m *machine) add(id string, port int) {
	m.t.Helper()
	m.run("pgleap", "instance", "add", id, "--port", strconv.Itoa(port), "--pgbouncer", "none")
}

// start starts an upgrade and returns its number.
func (m *machine) start(id string, args ...string) int64 {
	m.t.Helper()
	var task upgrade.Task
	m.must(m.JSON(m.ctx, &task, append([]string{"upgrade", id, "--to", "17", "--detach"}, args...)...))
	return task.Number
}

func (m *machine) awaitPhase(number int64, phase upgrade.Phase) {
	m.t.Helper()
	m.awaitTask(number, "phase "+string(phase), func(task upgrade.Task) bool { return task.Phase == phase })
}

func (m *machine) awaitEnd(number int64, status upgrade.Status) {
	m.t.Helper()
	m.awaitTask(number, "its end", func(task upgrade.Task) bool { return task.Status.Ended() })
	var task upgrade.Task
	m.must(m.JSON(m.ctx, &task, "task", "show", strconv.FormatInt(number, 10)))
	if task.Status != status {
		m.t.Fatalf("the upgrade has ended as %s, want %s: %s", task.Status, status, task.Reason)
	}
}

func (m *machine) awaitTask(number int64, what string, is func(upgrade.Task) bool) {
	m.t.Helper()
	m.must(harness.Await(m.ctx, patience, what, func(ctx context.Context) error {
		var task upgrade.Task
		if err := m.JSON(ctx, &task, "task", "show", strconv.FormatInt(number, 10)); err != nil || is(task) {
			return err
		}
		err := fmt.Errorf("it is %s, in phase %s: %s", task.Status, task.Phase, task.Reason)
		if task.Status.Ended() {
			err = harness.Final(err)
		}
		return err
	}))
}

// makeCluster makes a cluster of PostgreSQL 15 with a row in it, and has a unit start it.
func (m *machine) makeCluster(pgdata string, port int, unit string, settings ...string) {
	m.t.Helper()
	settings = append(settings, fmt.Sprintf("port = %d", port), "shared_buffers = 16MB")
	m.shell(`
		install -d -o postgres -g postgres ` + parents(pgdata) + `
		runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb -D ` + pgdata + ` -N -U postgres --auth-local=peer --auth-host=trust --locale=C.UTF-8 >/dev/null
		cat >>` + pgdata + `/postgresql.conf <<'END'
` + strings.Join(settings, "\n") + `
END
		systemctl daemon-reload
		systemctl enable --now ` + unit)
	m.must(harness.Await(m.ctx, time.Minute, "the cluster", func(ctx context.Context) error {
		_, err := m.Query(ctx, port, "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1)")
		return err
	}))
}

// parents are the directories above a cluster's that are its owner's.
func parents(pgdata string) string {
	above := pgdata[:strings.LastIndex(pgdata, "/")]
	return above[:strings.LastIndex(above, "/")] + " " + above
}

func (m *machine) writeUnit(path, content string) {
	m.t.Helper()
	m.shell("mkdir -p $(dirname " + path + ") && cat >" + path + " <<'END'\n" + content + "END")
}

func (m *machine) query(port int, query string) string {
	m.t.Helper()
	output, err := m.Query(m.ctx, port, query)
	m.must(err)
	return output
}

func (m *machine) property(unit, property string) string {
	m.t.Helper()
	value, err := m.Property(m.ctx, unit, property)
	m.must(err)
	return value
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	output, err := m.Run(m.ctx, args...)
	m.must(err)
	return output
}

func (m *machine) shell(script string) string {
	m.t.Helper()
	output, err := m.Shell(m.ctx, script)
	m.must(err)
	return output
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// within lets a subtest fail by itself, and ends the whole test then: what follows builds on it.
func (m *machine) within(name string, do func()) {
	m.t.Helper()
	outer := m.t
	ok := outer.Run(name, func(t *testing.T) {
		m.t = t
		defer func() { m.t = outer }()
		do()
	})
	if !ok {
		outer.FailNow()
	}
}
