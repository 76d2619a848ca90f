package pgbin

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// DebianCluster is a line of pg_lsclusters: a cluster as postgresql-common knows it.
type DebianCluster struct {
	Major   upgrade.Major
	Name    string
	Port    int // 0 when its configuration cannot be read
	Status  []string
	Owner   string // empty when its data directory does not exist
	Pgdata  string // empty when its configuration does not tell
	Logfile string
}

// PgLsclusters lists the clusters of postgresql-common; Bindir is where pg_lsclusters is.
// ConfRoot is where their configuration is; empty: /etc/postgresql.
type PgLsclusters struct {
	Bindir   string
	ConfRoot string
}

// Run asks pg_lsclusters in its plain form: --json needs a Perl module that may be missing.
func (l PgLsclusters) Run(ctx context.Context, as Caller) ([]DebianCluster, error) {
	command := as.call(l.Bindir, "pg_lsclusters", "--no-header")
	command.Env = confRoot(l.ConfRoot)
	out, err := as.Runner.Run(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	return parseLsclusters(out.Stdout)
}

var lsclustersLine = regexp.MustCompile(`^(\d{1,3}(?:\.\d)?)\s+(\S+)\s+(\d{1,5}|<unknown>)\s+(\S+)\s+(\S+)\s+(.+?)\s+(\S+)$`)

// parseLsclusters reads "15  main  5432 online postgres /var/lib/postgresql/15/main /var/log/...".
func parseLsclusters(text string) ([]DebianCluster, error) {
	var clusters []DebianCluster
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		found := lsclustersLine.FindStringSubmatch(line)
		if found == nil {
			return nil, fmt.Errorf("unreadable line of pg_lsclusters: %q", line)
		}
		if strings.Contains(found[1], ".") {
			continue // 9.6 and older
		}
		major, err := strconv.Atoi(found[1])
		if err != nil {
			return nil, fmt.Errorf("unreadable version in pg_lsclusters: %w", err)
		}
		port, _ := strconv.Atoi(found[3]) // <unknown> is 0
		clusters = append(clusters, DebianCluster{
			Major: upgrade.Major(major), Name: found[2], Port: port, Status: strings.Split(found[4], ","),
			Owner: known(found[5]), Pgdata: known(found[6]), Logfile: known(found[7]),
		})
	}
	return clusters, nil
}

func known(field string) string {
	if field == "<unknown>" {
		return ""
	}
	return field
}

// confRoot is the environment that moves postgresql-common's configuration away from /etc/postgresql.
func confRoot(root string) []string {
	if root == "" {
		return nil
	}
	return []string{"PG_CLUSTER_CONF_ROOT=" + root}
}
