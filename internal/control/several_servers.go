package control

import (
	"fmt"
	"net/netip"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// isOurs tells whether this server's engine carries a task out. Servers that share a catalogue have an engine
// each, which knows of its own tasks only; what it does not know is not lost.
func (c *Control) isOurs(task upgrade.Task) bool { return task.Server == "" || task.Server == c.server }

// refuseForeign refuses what only the server can do that carries a task out, or has done so: it has the
// workflow, and the notes of the steps.
func (c *Control) refuseForeign(task upgrade.Task) error {
	if c.isOurs(task) {
		return nil
	}
	return &Conflict{
		Reason: fmt.Sprintf("%s %d is carried out by another pgleap server with this catalogue, %s", task.Kind, task.Number, task.Server),
		Remedy: "say it to that one", Cause: upgrade.CausePhase,
	}
}

// Reached is the address at which clients reach what listens at one on a host: by the name of the host where it stands
// for all of that host's, or for a loopback that is not this server's. An empty host is this server's.
func (c *Control) Reached(host string, listen upgrade.Address) upgrade.Address {
	if host == "" {
		host = c.host
	}
	reached := listen.Reachable()
	ip, err := netip.ParseAddr(reached.Host)
	loopback := reached.Host == "localhost" || err == nil && ip.IsLoopback()
	if listen.IsWildcard() || loopback && host != c.host {
		reached.Host = host
	}
	return reached
}

// refuseElsewhere refuses to ask the agent of a host that is another server's: nobody here would answer.
func (c *Control) refuseElsewhere(host string) error {
	if host == c.host {
		return nil
	}
	return &Unavailable{
		Reason: fmt.Sprintf("the agent of host %s belongs to another pgleap server with this catalogue; this one has that of %s", host, c.host),
		Remedy: "say it to the server there", Cause: upgrade.CauseAgent,
	}
}
