package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// Adopt is a PgBouncer that exists. It may serve other clusters too: those databases are left alone.
type Adopt struct {
	Console Console
	// Ini is its configuration file. Empty: the one that it says it was started with.
	Ini string
	// Cluster are the addresses of the instance, source and target: a database that goes to one of
	// them belongs to the endpoint. Before and after a switch they must be the same list, so that a
	// session finds its databases again wherever they go.
	Cluster []endpoint.Address
	// Databases, if any, narrows the endpoint to these names.
	Databases []string
}

// Driver drives one PgBouncer for one instance.
type Driver struct {
	at Adopt
}

var _ endpoint.Driver = (*Driver)(nil)

// New makes the driver of a PgBouncer. It connects to nothing yet.
func New(at Adopt) *Driver { return &Driver{at: at} }

// view is all that is known of a PgBouncer at one moment.
type view struct {
	settings  map[string]string
	version   string
	standing  standing
	live      []live
	pools     map[string]pool
	servers   map[string][]int // backends by database
	config    *config
	configErr error
}

// look asks the console and reads the files.
func (d *Driver) look(ctx context.Context, c *console) (*view, error) {
	v := &view{}
	var err error
	if v.settings, err = c.settings(ctx); err != nil {
		return nil, err
	}
	if v.version, err = c.version(ctx); err != nil {
		return nil, err
	}
	replies, err := c.run(ctx, showDatabases, "SHOW POOLS", "SHOW SERVERS", probeStanding)
	if err != nil {
		return nil, fmt.Errorf("ask PgBouncer for its databases: %w", err)
	}
	if v.live, err = readDatabases(replies[0]); err != nil {
		return nil, err
	}
	if v.pools, err = readPools(replies[1]); err != nil {
		return nil, err
	}
	if v.servers, err = readServers(replies[2]); err != nil {
		return nil, err
	}
	if v.standing, err = readStanding(replies[3]); err != nil {
		return nil, err
	}
	v.config, v.configErr = d.readConfig(v.settings)
	return v, nil
}

// readConfig reads the configuration file that PgBouncer uses.
func (d *Driver) readConfig(settings map[string]string) (*config, error) {
	workdir := workingDirectory(settings["pidfile"])
	ini := d.at.Ini
	if ini == "" {
		ini = settings["conffile"]
	}
	return loadConfig(ini, workdir)
}

// workingDirectory is that of the process of a pid file, or empty. Linux only.
func workingDirectory(pidfile string) string {
	pid, err := os.ReadFile(pidfile)
	if err != nil {
		return ""
	}
	dir, err := os.Readlink(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cwd"))
	if err != nil {
		return ""
	}
	return dir
}

// address is where a host and a port of a database lead: without a host to PgBouncer's socket directory.
func (v *view) address(host string, port int) endpoint.Address {
	if host == "" {
		host = v.settings["unix_socket_dir"]
	}
	return endpoint.Address{Host: host, Port: port}
}

// belongs tells whether a database goes to the instance.
func (d *Driver) belongs(name string, at endpoint.Address) bool {
	if len(d.at.Databases) > 0 && !slices.Contains(d.at.Databases, name) {
		return false
	}
	return at.In(d.at.Cluster)
}

// entries are the lines of the configuration that belong to the endpoint.
func (d *Driver) entries(v *view) []entry {
	var out []entry
	if v.config == nil {
		return nil
	}
	for _, e := range v.config.effective() {
		if d.belongs(e.item.name, v.address(e.route.host, e.route.port)) {
			out = append(out, e)
		}
	}
	return out
}

// all tells whether the endpoint holds the wildcard. Then new databases can appear at any
// moment, and only a pause of the whole PgBouncer holds them.
func (d *Driver) all(v *view) bool {
	return slices.ContainsFunc(d.entries(v), func(e entry) bool { return e.item.name == wildcard })
}

// databases are the names that PgBouncer serves and that belong to the endpoint.
func (d *Driver) databases(v *view) []live {
	var out []live
	for _, l := range v.live {
		if d.belongs(l.name, v.address(l.host, l.port)) || d.all(v) && v.automatic(l) {
			out = append(out, l)
		}
	}
	return out
}

// automatic tells whether a database comes from the wildcard: no line names it.
func (v *view) automatic(l live) bool {
	return v.config != nil && !slices.ContainsFunc(v.config.effective(), func(e entry) bool { return e.item.name == l.name })
}

// Describe implements endpoint.Driver.
func (d *Driver) Describe(ctx context.Context) (endpoint.State, error) {
	c, err := openConsole(ctx, d.at.Console)
	if err != nil {
		return endpoint.State{}, err
	}
	defer c.close()
	v, err := d.look(ctx, c)
	if err != nil {
		return endpoint.State{}, err
	}
	return d.describe(v), nil
}

func (d *Driver) describe(v *view) endpoint.State {
	state := endpoint.State{Driver: "pgbouncer", Version: v.version}
	for _, e := range d.entries(v) {
		if e.item.name == wildcard {
			state.Databases = append(state.Databases, endpoint.Database{
				Name: wildcard, Wildcard: true, Address: v.address(e.route.host, e.route.port),
				PoolMode: v.poolMode(e.route.poolMode), Paused: v.standing == paused,
			})
		}
	}
	for _, l := range d.databases(v) {
		p := v.pools[l.name]
		state.Databases = append(state.Databases, endpoint.Database{
			Name: l.name, Dbname: l.dbname, Address: v.address(l.host, l.port),
			PoolMode: v.poolMode(l.poolMode), Paused: l.paused || v.standing == paused,
			ClientsActive: p.active, ClientsWaiting: p.waiting, ServerConnections: l.connections, MaxWait: p.maxWait,
			ServerPIDs: v.servers[l.name],
		})
	}
	return state
}

func (v *view) poolMode(own string) string {
	if own == "" {
		return v.settings["pool_mode"]
	}
	return own
}

// Check implements endpoint.Driver.
func (d *Driver) Check(ctx context.Context) error {
	c, err := openConsole(ctx, d.at.Console)
	if err != nil {
		return err
	}
	defer c.close()
	v, err := d.look(ctx, c)
	if err != nil {
		return err
	}
	if problems := d.problems(v); len(problems) > 0 {
		return &endpoint.NotSwitchable{Problems: problems}
	}
	return nil
}

// Open implements endpoint.Driver.
func (d *Driver) Open(ctx context.Context) (endpoint.Session, error) {
	c, err := openConsole(ctx, d.at.Console)
	if err != nil {
		return nil, err
	}
	s := &session{driver: d, control: c}
	if err := s.warm(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Tidy implements endpoint.Driver.
func (d *Driver) Tidy(ctx context.Context) error {
	c, err := openConsole(ctx, d.at.Console)
	if err != nil {
		return err
	}
	defer c.close()
	settings, err := c.settings(ctx)
	if err != nil {
		return err
	}
	config, err := d.readConfig(settings)
	if err != nil {
		return err
	}
	for path := range config.files {
		removeLeftovers(path, nil)
	}
	return nil
}

// errNotAdmin says that a session would be of no use.
var errNotAdmin = errors.New("the console's user may look but not act: add it to admin_users in PgBouncer's configuration and RELOAD")
