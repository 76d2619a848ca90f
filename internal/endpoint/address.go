package endpoint

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Address is where a cluster accepts connections.
type Address struct {
	// Host is a name, an IP address, or a directory for Unix sockets.
	Host string
	Port int
}

// String writes an address as people do.
func (a Address) String() string {
	if a.socket() {
		return "port " + strconv.Itoa(a.Port) + " in " + a.Host
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Same tells whether two addresses lead to the same cluster. That is so when they are equal, and
// when both are on this host and have the same port: a cluster listens on one port, but may be
// spoken to as localhost, 127.0.0.1, the host's name, or through its socket directory.
// Two socket directories are the same only if they are one directory, since there clusters can share a port.
func (a Address) Same(b Address) bool {
	if a.Port != b.Port {
		return false
	}
	if strings.EqualFold(a.Host, b.Host) {
		return true
	}
	if a.socket() && b.socket() {
		return resolved(a.Host) == resolved(b.Host)
	}
	return a.local() && b.local()
}

// In tells whether an address leads to one of several clusters.
func (a Address) In(clusters []Address) bool {
	for _, c := range clusters {
		if a.Same(c) {
			return true
		}
	}
	return false
}

func (a Address) socket() bool {
	return strings.HasPrefix(a.Host, "/") || strings.HasPrefix(a.Host, "@")
}

func (a Address) local() bool {
	if a.Host == "" || a.socket() || strings.EqualFold(a.Host, "localhost") {
		return true
	}
	if name, err := os.Hostname(); err == nil && strings.EqualFold(a.Host, name) {
		return true
	}
	ip := net.ParseIP(a.Host)
	if ip == nil || ip.IsLoopback() {
		return ip != nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// resolved follows symbolic links: /var/run is /run on most systems.
func resolved(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return filepath.Clean(dir)
}
