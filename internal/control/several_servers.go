package control

import (
	"fmt"

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
