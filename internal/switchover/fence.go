package switchover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// lookAgain is the pause between two looks while clients wait.
const lookAgain = 500 * time.Microsecond

// leavingGrace is how long a backend that may be the pooler's has to leave by itself.
const leavingGrace = 250 * time.Millisecond

// fence makes it impossible for anybody but us to write to the source. From the moment NOLOGIN is
// committed no backend that is forked later can log in: a backend reads pg_authid after
// authentication (postinit.c, InitializeSessionUserId). So all who could still write are among the
// postmaster's children at that moment, listed or not yet listed in pg_stat_activity. When they
// are gone, nobody is left. No time plays a part in this.
func (s *section) fence(ctx context.Context) error {
	postmaster, err := postmasterPID(s.Plan.Source.Pgdata)
	if err != nil {
		return err
	}
	if err := postgres.SetLogin(ctx, s.control, s.intent.LoginRoles, false); err != nil {
		return err
	}
	suspects, err := children(postmaster)
	if err != nil {
		return err
	}
	late, err := postgres.LoginRoles(ctx, s.control)
	if err != nil {
		return err
	}
	if len(late) > 0 {
		return fmt.Errorf("roles were created or allowed to log in meanwhile: %s", strings.Join(late, ", "))
	}
	backends, err := postgres.Backends(ctx, s.control)
	if err != nil {
		return err
	}
	return s.expel(ctx, postmaster, s.sort(suspects, backends))
}

// writers are the postmaster's children that could still write.
type writers struct {
	pooled   []int // the endpoint's: on their way out, since it has let go of them
	starting []int // not logged in as far as anybody can see
	direct   []postgres.Backend
}

// sort tells who of the postmaster's children could still write.
func (s *section) sort(suspects []int, backends []postgres.Backend) writers {
	listed := make(map[int]postgres.Backend, len(backends))
	for _, b := range backends {
		listed[b.PID] = b
	}
	own := int(s.control.PgConn().PID())
	var w writers
	for _, pid := range suspects {
		b, isListed := listed[pid]
		switch {
		case pid == own || b.User == upgrade.Role:
		case !isListed && isUnlistedAuxiliary(pid):
		case !isListed:
			w.starting = append(w.starting, pid)
		case b.Type != clientBackend:
		case slices.Contains(s.pooled, pid):
			w.pooled = append(w.pooled, pid)
		default:
			w.direct = append(w.direct, b)
		}
	}
	return w
}

// expel ends the writers and waits until they are gone. Direct sessions are ended only if the user
// allowed it; otherwise they have a moment to leave, since one of them may be a connection that the
// pooler made and closed a moment ago.
func (s *section) expel(ctx context.Context, postmaster int, w writers) error {
	// A starting backend has no transaction that could be lost, and would be refused anyway.
	end(postmaster, w.pooled)
	end(postmaster, w.starting)
	if err := awaitGone(ctx, postmaster, append(w.pooled, w.starting...)); err != nil {
		return err
	}
	direct := make([]int, len(w.direct))
	for i, b := range w.direct {
		direct[i] = b.PID
	}
	if s.Plan.Options.TerminateDirectClients {
		end(postmaster, direct)
		return awaitGone(ctx, postmaster, direct)
	}
	grace, cancel := context.WithTimeout(ctx, leavingGrace)
	defer cancel()
	if awaitGone(grace, postmaster, direct) == nil {
		return nil
	}
	return &upgrade.Refused{
		Reason: "a session that does not come through the endpoint is on the source: " + w.direct[0].String(),
		Remedy: "end it, or allow the switchover to terminate such sessions (--terminate-direct-clients)",
	}
}

// end sends SIGTERM, as pg_terminate_backend does, to those that are still the postmaster's.
// pg_terminate_backend itself does not know a backend that is still starting.
func end(postmaster int, pids []int) {
	for _, pid := range pids {
		if parentOf(pid) == postmaster {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}

func awaitGone(ctx context.Context, postmaster int, pids []int) error {
	for {
		pids = slices.DeleteFunc(pids, func(pid int) bool { return parentOf(pid) != postmaster })
		if len(pids) == 0 {
			return nil
		}
		if err := sleep(ctx, lookAgain); err != nil {
			return fmt.Errorf("%d backends of the source do not end, pid %d among them: %w", len(pids), pids[0], err)
		}
	}
}

// unfence lets everybody log in again who could before.
func (s *section) unfence(ctx context.Context) error {
	return postgres.SetLogin(ctx, s.control, s.intent.LoginRoles, true)
}
