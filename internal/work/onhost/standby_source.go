package onhost

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// followsPort tells whether a standby streams from a port of this host, or would if somebody let it. One that cannot be
// asked, since it has replayed the source's fence, is known by its configuration.
func followsPort(standby postmaster.LocalStandby, port int, isOwn func(string) bool) (bool, error) {
	if standby.Self.Streams {
		return standby.Self.Port == port && isOwn(standby.Self.Sender), nil
	}
	text := standby.Self.Conninfo
	if standby.Problem != "" {
		var err error
		if text, err = configuredConninfo(standby.Cluster); err != nil {
			return false, err
		}
	}
	conninfo, err := pgconf.ParseConninfo(text)
	return err == nil && leadsTo(conninfo, port, isOwn), nil //nolint:nilerr // then nobody knows
}

// leadsTo tells whether a connection string names a port of this host, among others perhaps (libpq,
// "Specifying Multiple Hosts": one port is for all hosts, and an empty one is 5432).
func leadsTo(conninfo pgconf.Conninfo, port int, isOwn func(string) bool) bool {
	hosts := strings.Split(cmp.Or(conninfo.Get("hostaddr"), conninfo.Get("host")), ",")
	ports := strings.Split(conninfo.Get("port"), ",")
	for i, host := range hosts {
		text := ports[min(i, len(ports)-1)]
		if cmp.Or(text, "5432") == strconv.Itoa(port) && isOwn(host) {
			return true
		}
	}
	return false
}

// configuredConninfo reads primary_conninfo from the files that a cluster was started with.
func configuredConninfo(c upgrade.Cluster) (text string, err error) {
	user, err := run.LookupUser(c.Owner)
	if err != nil {
		return "", &upgrade.Refused{Reason: err.Error()}
	}
	path := filepath.Join(c.Pgdata, "postgresql.conf")
	options, err := pgbin.PostmasterOpts(c.Pgdata)
	if err != nil {
		return "", err
	}
	if found := configFileOption.FindStringSubmatch(options); found != nil {
		path = found[1]
	}
	err = user.Do(func() error {
		tree, err := pgconf.LoadTree(path, c.Pgdata)
		if err == nil {
			setting, _ := tree.Get("primary_conninfo")
			text = setting.Value
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the configuration of %s: %w", c, err)
	}
	return text, nil
}

// configFileOption is where postmaster.opts names a configuration file outside the data directory.
var configFileOption = regexp.MustCompile(`config_file=([^"'\s]+)`)
