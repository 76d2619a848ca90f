package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// session is a set of console connections: one for commands that answer at once, and one for each
// PAUSE, since a PAUSE that waits occupies its connection.
type session struct {
	driver  *Driver
	control *console
	pausers []*console
	// names are the databases of the endpoint; all says that they are every one that
	// PgBouncer has or will have.
	names    []string
	all      bool
	settings map[string]string
	// before are the settings that override changed, as they were.
	before map[string]string
	held   bool
	// pids are the backends of the connections that the pause has closed.
	pids []int
	// narrowed says that pools are kept from growing.
	narrowed bool
	plan     *plan
	// renamed are files whose directory has not been forced to the disk yet.
	renamed []string
}

// warm finds out what belongs to the endpoint and opens the connections for pausing it.
func (s *session) warm(ctx context.Context) error {
	v, err := s.driver.look(ctx, s.control)
	if err != nil {
		return err
	}
	if v.standing == notAllowed {
		return errNotAdmin
	}
	if v.configErr != nil {
		return v.configErr
	}
	s.settings, s.all = v.settings, s.driver.all(v)
	s.narrowed = s.settings[poolSize] == "0" // by a process that died
	s.names = nil
	for _, l := range s.driver.databases(v) {
		s.names = append(s.names, l.name)
	}
	var problems []endpoint.Problem
	s.driver.checkRoutes(v, func(remedy, format string, args ...any) {
		problems = append(problems, endpoint.Problem{Text: fmt.Sprintf(format, args...), Remedy: remedy})
	})
	if len(problems) > 0 {
		return &endpoint.NotSwitchable{Problems: problems}
	}
	return s.openPausers(ctx)
}

// openPausers makes one connection for each PAUSE, and replaces those that PgBouncer has closed:
// it may have been restarted, or have a client_idle_timeout.
func (s *session) openPausers(ctx context.Context) error {
	s.pausers = slices.DeleteFunc(s.pausers, func(c *console) bool {
		_, err := c.run(ctx, "SHOW VERSION")
		return err != nil
	})
	for len(s.pausers) < len(s.pauses()) {
		c, err := openConsole(ctx, s.driver.at.Console)
		if err != nil {
			return err
		}
		s.pausers = append(s.pausers, c)
	}
	return nil
}

func (s *session) closePausers() {
	for _, c := range s.pausers {
		c.close()
	}
	s.pausers = nil
}

// pauses are the commands that hold the clients of the endpoint.
func (s *session) pauses() []string { return s.each("PAUSE") }

// resumes are the commands that let them go.
func (s *session) resumes() []string { return s.each("RESUME") }

func (s *session) each(command string) []string {
	if s.all {
		return []string{command}
	}
	var out []string
	for _, name := range s.names {
		out = append(out, command+" "+quoteName(name))
	}
	return out
}

// do sends commands over the control connection, and over a new one if that was lost: PgBouncer may
// have been restarted. Every command that comes this way may be sent twice.
func (s *session) do(ctx context.Context, commands ...string) ([]reply, error) {
	replies, err := s.control.run(ctx, commands...)
	if err == nil || ctx.Err() != nil {
		return replies, err
	}
	fresh, err := openConsole(ctx, s.driver.at.Console)
	if err != nil {
		return nil, err
	}
	s.control.close()
	s.control = fresh
	replies, err = s.control.run(ctx, commands...)
	if err != nil && ctx.Err() == nil {
		return nil, unreachable(s.driver.at.Console, err)
	}
	return replies, err
}

// overrides are settings that would hurt clients that wait long, or that meet a cluster that has
// just begun to serve. A RELOAD sets them back, so it is always followed by them in the same write.
var overrides = map[string]string{
	"query_wait_timeout":   "0", // default 120 s: then clients that wait are disconnected
	"client_login_timeout": "0", // default 60 s: the same for clients that are logging in
	// Default 15 s: that long a pool makes no new connection after one has failed, and PAUSE counts
	// those that it interrupts as failed (objects.c, disconnect_server). Not 0: if the
	// target were down, PgBouncer would do nothing but try.
	"server_login_retry": "0.01",
}

func (s *session) overriding() []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		out = append(out, set(key, overrides[key]))
	}
	return out
}

func set(key, value string) string {
	return "SET " + key + " = '" + strings.ReplaceAll(value, "'", "''") + "'"
}

// override changes the settings for the time of the pause.
func (s *session) override(ctx context.Context) error {
	if s.before != nil {
		return nil
	}
	before := map[string]string{}
	for key := range overrides {
		before[key] = s.settings[key]
	}
	replies, err := s.do(ctx, s.overriding()...)
	if err != nil {
		return err
	}
	s.before = before
	if err := refused(replies); err != nil {
		return fmt.Errorf("change PgBouncer's settings for the pause: %w", err)
	}
	return nil
}

// overridden tells whether the settings are as a session leaves them when its process dies.
func overridden(settings map[string]string) bool {
	for key, value := range overrides {
		if settings[key] != value {
			return false
		}
	}
	return true
}

// restore puts the settings back, after the clients that waited have been served: those that have
// waited for longer than query_wait_timeout would be disconnected.
func (s *session) restore(ctx context.Context) error {
	if s.before == nil || s.held {
		return nil
	}
	s.drained(ctx)
	var commands []string
	for _, key := range slices.Sorted(maps.Keys(s.before)) {
		commands = append(commands, set(key, s.before[key]))
	}
	replies, err := s.do(ctx, commands...)
	if err == nil {
		err = refused(replies)
	}
	if err != nil {
		return fmt.Errorf("put back PgBouncer's settings: %w", err)
	}
	s.before = nil
	return nil
}

// drained waits until no client waits that waited during the pause, or for as long as a patient
// operator would.
func (s *session) drained(ctx context.Context) {
	start := time.Now()
	for tick := time.NewTicker(20 * time.Millisecond); time.Since(start) < 5*time.Second; {
		replies, err := s.do(ctx, "SHOW POOLS")
		if err != nil {
			return
		}
		pools, err := readPools(replies[0])
		if err != nil || !slices.ContainsFunc(slices.Collect(maps.Values(pools)), func(p pool) bool { return p.maxWait > time.Second }) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close implements endpoint.Session.
func (s *session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.restore(ctx) // PgBouncer is gone, and starts again with its own settings
	s.discardPlan()
	s.closePausers()
	s.control.close()
}

// look asks for the databases of the endpoint as they are now, and for the state of the whole.
func (s *session) look(ctx context.Context, before ...string) (situation, error) {
	replies, err := s.do(ctx, append(slices.Clone(before), showDatabases, probeStanding)...)
	if err != nil {
		return situation{}, err
	}
	n := len(before)
	databases, err := readDatabases(replies[n])
	if err != nil {
		return situation{}, err
	}
	whole, err := readStanding(replies[n+1])
	if err != nil {
		return situation{}, err
	}
	now := situation{session: s, whole: whole, refused: refused(replies[:n])}
	for _, l := range databases {
		if s.all || slices.Contains(s.names, l.name) {
			now.databases = append(now.databases, l)
		}
	}
	return now, nil
}

// situation is the endpoint at one moment.
type situation struct {
	session   *session
	databases []live
	whole     standing
	refused   error // the first command that was refused before the look
}

// unpaused names the databases that are not held.
func (n situation) unpaused() []string {
	if n.whole == paused {
		return nil
	}
	if n.session.all {
		return []string{"PgBouncer as a whole is"}
	}
	var out []string
	for _, name := range n.session.names {
		if !slices.ContainsFunc(n.databases, func(l live) bool { return l.name == name && l.paused }) {
			out = append(out, name)
		}
	}
	return out
}

// elsewhere names the databases that do not go to an address.
func (n situation) elsewhere(to endpoint.Address) []string {
	var out []string
	for _, name := range n.session.names {
		if !slices.ContainsFunc(n.databases, func(l live) bool { return l.name == name }) && !n.session.all {
			out = append(out, name+" (gone)")
		}
	}
	for _, l := range n.databases {
		if at := n.session.address(l); at != to {
			out = append(out, fmt.Sprintf("%s (%s)", l.name, at))
		}
	}
	return out
}

func (s *session) address(l live) endpoint.Address {
	v := view{settings: s.settings}
	return v.address(l.host, l.port)
}

// Resume implements endpoint.Session.
func (s *session) Resume(ctx context.Context) error {
	now, err := s.look(ctx, append(s.widening(), s.resumes()...)...) // what is not paused refuses; what counts is the result
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	var still []string
	for _, l := range now.databases {
		if l.paused {
			still = append(still, "RESUME "+quoteName(l.name)) // paused by name, and all is ours
		}
	}
	if len(still) > 0 {
		if now, err = s.look(ctx, still...); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	if now.whole == paused || slices.ContainsFunc(now.databases, func(l live) bool { return l.paused }) {
		return fmt.Errorf("resume: PgBouncer still holds clients (%w): RESUME it on its console", now.refused)
	}
	s.held, s.narrowed = false, false
	return s.syncRenamed()
}

// syncRenamed makes the last move survive a crash of the machine. It comes after the clients
// have gone on; until then the journal knows what has to be done again.
func (s *session) syncRenamed() error {
	var err error
	for _, path := range s.renamed {
		err = errors.Join(err, syncDir(path))
	}
	s.renamed = nil
	return err
}
