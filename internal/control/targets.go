package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Targets returns the versions that an instance can be upgraded to: those installed on its host, of
// each major version the newest, in ascending order.
func (c *Control) Targets(ctx context.Context, id string) ([]upgrade.VersionNum, error) {
	instance, err := c.catalog.Instance(ctx, id)
	if err != nil {
		return nil, err
	}
	installed, err := c.installed(ctx, instance.Cluster.Host)
	if err != nil {
		return nil, err
	}
	targets := []upgrade.VersionNum{}
	for i, version := range installed {
		newest := i+1 == len(installed) || installed[i+1].Major() != version.Major()
		if newest && version.Major() > instance.Cluster.Version.Major() {
			targets = append(targets, version)
		}
	}
	return targets, nil
}

// installedFor is how long an answer about what is installed counts. Each question is a workflow, whose history the
// engine keeps for days: a client that only reads must not make as many as it likes.
const installedFor = 5 * time.Second

// installations remembers what is installed on hosts, and has one question at a time under way for each.
type installations struct {
	asking singleflight.Group
	mu     sync.Mutex
	known  map[string]installation
}

type installation struct {
	versions []upgrade.VersionNum
	at       time.Time
}

func (i *installations) recall(host string, now time.Time) ([]upgrade.VersionNum, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	known, ok := i.known[host]
	age := now.Sub(known.at)
	return known.versions, ok && 0 <= age && age < installedFor
}

func (i *installations) keep(host string, versions []upgrade.VersionNum, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[host] = installation{versions, now}
}

// installed returns the versions installed on a host, in ascending order. Who asks while it is being asked waits for
// the same answer. It is not to be changed.
func (c *Control) installed(ctx context.Context, host string) ([]upgrade.VersionNum, error) {
	if versions, ok := c.installations.recall(host, c.now()); ok {
		return versions, nil
	}
	asked := c.installations.asking.DoChan(host, func() (any, error) {
		var versions []upgrade.VersionNum
		// The first who asks may go away, and others still wait; the question has a bound of its own.
		if err := c.ask(context.WithoutCancel(ctx), host, step.Installations, nil, &versions); err != nil {
			return versions, err
		}
		slices.Sort(versions)
		c.installations.keep(host, versions, c.now())
		return versions, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case answer := <-asked:
		versions, _ := answer.Val.([]upgrade.VersionNum)
		return versions, answer.Err
	}
}
