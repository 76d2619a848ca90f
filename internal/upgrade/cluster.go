package upgrade

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Major is a PostgreSQL major version, such as 17.
type Major int

// VersionNum is PostgreSQL's server_version_num, such as 170011.
type VersionNum int

// Major returns the major version: the number before the dot since PostgreSQL 10.
func (v VersionNum) Major() Major { return Major(v / 10000) }

// String returns the version as people write it, such as "17.11".
func (v VersionNum) String() string { return fmt.Sprintf("%d.%d", v/10000, v%10000) }

// Manager is what starts and stops a cluster.
type Manager string

// The managers that pgleap knows.
const (
	ManagerPgCtl        Manager = "pg_ctl"
	ManagerPgCtlcluster Manager = "pg_ctlcluster"
	ManagerSystemd      Manager = "systemd"
)

// Cluster is one data directory and its postmaster on one host.
type Cluster struct {
	Host             string     `json:"host"`                       // id of the host whose agent looks after it
	Name             string     `json:"name,omitempty"`             // postgresql-common's name, such as "main"
	Version          VersionNum `json:"version"`                    // of the running server
	Bindir           string     `json:"bindir"`                     // where its programs are
	Pgdata           string     `json:"pgdata"`                     // its data directory
	ConfigFile       string     `json:"configFile"`                 // postgresql.conf; outside pgdata on Debian
	HBAFile          string     `json:"hbaFile"`                    // pg_hba.conf
	IdentFile        string     `json:"identFile"`                  // pg_ident.conf
	SocketDir        string     `json:"socketDir"`                  // first of unix_socket_directories; may be empty
	Port             int        `json:"port"`                       // TCP port, part of the socket's name too
	Owner            string     `json:"owner"`                      // operating system user that runs the postmaster
	Superuser        string     `json:"superuser"`                  // the bootstrap superuser (oid 10)
	SystemIdentifier string     `json:"systemIdentifier,omitempty"` // from pg_control_system()
	Manager          Manager    `json:"manager"`
	Unit             string     `json:"unit,omitempty"` // systemd unit, when Manager is systemd
}

// String names the cluster in messages.
func (c Cluster) String() string {
	return fmt.Sprintf("PostgreSQL %s at %s (port %d)", c.Version, c.Pgdata, c.Port)
}

// Address is a TCP address on the loopback interface or a socket directory,
// where a cluster or a pooler accepts connections.
type Address struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// String returns host:port, or the path of the socket.
func (a Address) String() string {
	if strings.HasPrefix(a.Host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d", a.Host, a.Port)
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Loopback is where clusters listen for those who do not come through a socket and are on the same host.
const Loopback = "127.0.0.1"

// IsWildcard tells whether the address stands for all of a host's.
func (a Address) IsWildcard() bool { return a.Host == "*" || a.Host == "0.0.0.0" || a.Host == "::" }

// Reachable is the address as one connects to it: not one that stands for all of a host's, and not a socket.
func (a Address) Reachable() Address {
	switch {
	case a.Host == "", a.Host == "*", a.Host == "0.0.0.0", a.Host[0] == '/':
		a.Host = Loopback
	case a.Host == "::":
		a.Host = "::1"
	}
	return a
}
