package pgbouncer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// problems lists what stands in the way of a switch.
func (d *Driver) problems(v *view) []endpoint.Problem {
	var out []endpoint.Problem
	add := func(remedy, format string, args ...any) {
		out = append(out, endpoint.Problem{Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	switch v.standing {
	case notAllowed:
		add("add it to admin_users in PgBouncer's configuration and RELOAD", "the console's user may look but not act")
	case paused:
		add("RESUME it on the console", "PgBouncer is paused as a whole")
	case active:
	}
	if v.settings["so_reuseport"] == "1" || v.settings["peer_id"] != "" && v.settings["peer_id"] != "0" {
		add("switch to a single process for the upgrade (so_reuseport = 0, no peers): pgleap would hold the clients of one process only",
			"several PgBouncer processes can share the port")
	}
	if v.configErr != nil {
		add("let the agent read the file, or name the right one", "PgBouncer's configuration cannot be used (%v)", v.configErr)
		return out
	}
	d.checkFiles(v, add)
	d.checkRoutes(v, add)
	d.checkModes(v, add)
	return out
}

type adder = func(remedy, format string, args ...any)

// checkFiles: the file must be the one in use, loaded as it is, and replaceable.
func (d *Driver) checkFiles(v *view, add adder) {
	if used := v.settings["conffile"]; filepath.IsAbs(used) && !sameFile(used, v.config.main) {
		add("give pgleap the file that PgBouncer was started with", "PgBouncer uses %s, not %s", used, v.config.main)
	}
	v.checkLoaded(add)
	probed := map[*file]bool{}
	for _, e := range d.entries(v) {
		if probed[e.file] {
			continue
		}
		probed[e.file] = true
		if pinned, remedy := e.file.pinned(); pinned != "" {
			add(remedy, "%s cannot be replaced: %s", e.file.path, pinned)
		} else if err := e.file.editable(); err != nil {
			add("let the agent run as the owner of the file, with the right to write in its directory", "%s cannot be replaced (%v)", e.file.path, err)
		}
	}
}

// checkLoaded: no edit may wait for a RELOAD, which would bring it into effect in the middle of a switchover.
func (v *view) checkLoaded(add adder) {
	const reload = "RELOAD it on the console, or undo the change in the file"
	for _, e := range v.config.effective() {
		for _, l := range v.live {
			if e.item.name != wildcard && l.name == e.item.name && (l.host != e.route.host || l.port != e.route.port) {
				add(reload, "database %q goes to %s, but line %d of %s sends it to %s", l.name,
					v.address(l.host, l.port), e.item.line, e.file.path, v.address(e.route.host, e.route.port))
			}
		}
	}
	if err := v.config.unusable(v.settings); err != nil {
		add("correct the line", "%v", err)
	} else if e, now, is := v.config.pending(v.settings); is {
		add(reload, "%s is %s, but line %d of %s sets it to %s", e.item.name, now, e.item.line, e.file.path, e.item.value)
	}
}

// checkRoutes: there must be databases to switch, each with one address, and a wildcard must not
// be mixed with databases of other clusters.
func (d *Driver) checkRoutes(v *view, add adder) {
	ours := d.entries(v)
	if len(ours) == 0 {
		add("point its databases to the instance, or give pgleap the address that they use", "no database of PgBouncer goes to %s; it has %s",
			join(d.at.Cluster, " or "), v.inventory())
	}
	var foreign []string
	for _, e := range v.config.effective() {
		at := v.address(e.route.host, e.route.port)
		if d.belongs(e.item.name, at) {
			continue
		}
		foreign = append(foreign, e.item.name)
		for _, host := range strings.Split(e.route.host, ",") {
			if strings.Contains(e.route.host, ",") && (endpoint.Address{Host: strings.TrimSpace(host), Port: e.route.port}).In(d.at.Cluster) {
				add("give it one host", "database %q goes to several hosts (%s)", e.item.name, e.route.host)
			}
		}
	}
	if d.all(v) && len(foreign) > 0 {
		add(`name the instance's databases in [databases] instead of "*", or move the others to a PgBouncer of their own`,
			`"*" goes to the instance but %s elsewhere: a database of "*" can be held only by pausing all of PgBouncer`, strings.Join(foreign, ", "))
	}
}

// checkModes: none is paused already, and a pause must not wait for clients to go away.
func (d *Driver) checkModes(v *view, add adder) {
	for _, db := range d.describe(v).Databases {
		if db.Paused && v.standing == active {
			add("RESUME it on the console", "database %q is paused already", db.Name)
		}
		if db.PoolMode == "session" || v.pools[db.Name].session {
			add("set pool_mode = transaction, if the application allows it",
				"database %q pools by session: a pause would wait until its clients disconnect", db.Name)
		}
	}
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// inventory lists all databases with their addresses, for an error.
func (v *view) inventory() string {
	var out []string
	for _, e := range v.config.effective() {
		out = append(out, fmt.Sprintf("%q at %s", e.item.name, v.address(e.route.host, e.route.port)))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func join(addresses []endpoint.Address, sep string) string {
	var out []string
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, sep)
}
