package switchover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// leavingGrace is how long a backend that may be the pooler's has to leave by itself, on a busy machine.
const leavingGrace = time.Second

// fence makes it impossible for anybody but us to write to the source. From the moment NOLOGIN is
// committed no backend that is forked later can log in: a backend reads pg_authid after
// authentication (postinit.c, InitializeSessionUserId). Nobody can give LOGIN back, for roles are
// locked until all is done. So all who could still write are among the postmaster's children at
// that moment, listed or not yet listed in pg_stat_activity. When they are gone, nobody is left.
// No time plays a part in this.
//
// It returns when nobody is left but backends that the endpoint has let go of, and awaitFence when those have
// gone too.
func (s *section) fence(ctx context.Context) error {
	if err := postgres.BarLogins(ctx, s.control, s.intent.LoginRoles); err != nil {
		return err
	}
	s.rolesLocked = true
	suspects, err := s.children()
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
	return s.expel(ctx, s.sort(suspects, backends))
}

// awaitFence waits until the fence stands. Nothing is left for it to do after the first time.
func (s *section) awaitFence(ctx context.Context) error {
	if err := s.awaitGone(ctx, s.leaving); err != nil {
		return err
	}
	s.leaving = nil
	if !s.rolesLocked {
		return nil
	}
	s.rolesLocked = false
	return postgres.PermitRoleChanges(ctx, s.control)
}

// children lists the source's processes. Our own backend must be among them, else they are not what
// we see: in a container, for example, whose processes have other numbers.
func (s *section) children() ([]int, error) {
	pids, err := children(s.postmaster)
	if err != nil {
		return nil, err
	}
	if own := int(s.control.PgConn().PID()); !slices.Contains(pids, own) {
		return nil, &upgrade.Refused{
			Reason: fmt.Sprintf("the source's processes cannot be seen: its backend %d is no child of process %d here", own, s.postmaster),
			Remedy: "run the agent where the source runs, in the same container and with a /proc that shows its processes",
		}
	}
	return pids, nil
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
		case !isListed && isNoSession(pid):
		case !isListed || b.State == stateStarting:
			w.starting = append(w.starting, pid)
		case !isSession(b):
		case slices.Contains(s.pooled, pid):
			w.pooled = append(w.pooled, pid)
		default:
			w.direct = append(w.direct, b)
		}
	}
	return w
}

// stateStarting is that of a backend before its authentication; it is listed from 18 on.
const stateStarting = "starting"

// isSession tells whether somebody can send SQL to a backend. A walsender of a database takes SQL as
// any other does (walsender.c, exec_replication_command).
func isSession(b postgres.Backend) bool {
	return b.Type == "client backend" || b.Type == "walsender" && b.Database != ""
}

// expel ends the writers, and waits until they are gone, but for those of the endpoint: it has closed their
// connections, so nobody can send them anything, and the drain may begin while they leave. Whoever can still
// be sent something could draw a value of a sequence, which no snapshot shows. Direct sessions are ended only if
// the user allowed it; otherwise they have a moment to leave, since one of them may be a connection that the
// pooler made and closed a moment ago.
func (s *section) expel(ctx context.Context, w writers) error {
	s.leaving = w.pooled
	end(s.postmaster, w.pooled)
	// A starting backend has no transaction that could be lost, and would be refused anyway.
	end(s.postmaster, w.starting)
	if err := s.awaitGone(ctx, w.starting); err != nil {
		return err
	}
	direct := make([]int, len(w.direct))
	for i, b := range w.direct {
		direct[i] = b.PID
	}
	if s.Plan.Options.TerminateDirectClients {
		end(s.postmaster, direct)
		return s.awaitGone(ctx, direct)
	}
	grace, cancel := context.WithTimeout(ctx, leavingGrace)
	defer cancel()
	if err := s.awaitGone(grace, direct); err == nil || errors.Is(err, errHeldTooLong) {
		return err
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
		if parent, err := parentOf(pid); err == nil && parent == postmaster {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}

// stillChildren are those of some processes that are the postmaster's children still.
func stillChildren(postmaster int, pids []int) ([]int, error) {
	var left []int
	for _, pid := range pids {
		parent, err := parentOf(pid)
		if err != nil {
			return nil, err
		}
		if parent == postmaster {
			left = append(left, pid)
		}
	}
	return left, nil
}

func (s *section) awaitGone(ctx context.Context, pids []int) error {
	for {
		left, err := stillChildren(s.postmaster, pids)
		if err != nil || len(left) == 0 {
			return err
		}
		pids = left
		if err := s.lookAgain(ctx); err != nil {
			return fmt.Errorf("%d backends of the source do not end, pid %d among them: %w", len(pids), pids[0], err)
		}
	}
}

// unfence lets everybody log in and write again who could before.
func (s *section) unfence(ctx context.Context) error {
	if err := s.inEach(ctx, unlockUnloggedTables); err != nil {
		return err
	}
	if s.rolesLocked {
		s.rolesLocked = false
		if err := postgres.PermitRoleChanges(ctx, s.control); err != nil {
			return err
		}
	}
	return postgres.PermitLogins(ctx, s.control, s.intent.LoginRoles)
}
