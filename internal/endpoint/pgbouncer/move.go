package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// plan is a move that is prepared: the new files lie beside the old ones.
type plan struct {
	to     endpoint.Address
	config *config
	files  []replacement
}

// Prepare implements endpoint.Session.
func (s *session) Prepare(_ context.Context, to endpoint.Address) error {
	s.discardPlan()
	p, err := s.prepare(to)
	if err != nil {
		return err
	}
	s.plan = p
	return nil
}

func (s *session) prepare(to endpoint.Address) (p *plan, err error) {
	if !to.In(s.driver.at.Cluster) {
		return nil, fmt.Errorf("prepare move to %s: it is not an address of this instance (%s)", to, join(s.driver.at.Cluster, ", "))
	}
	c, err := s.driver.readConfig(s.settings)
	if err != nil {
		return nil, err
	}
	if err := c.unusable(s.settings); err != nil {
		return nil, fmt.Errorf("prepare move to %s: PgBouncer could not load its configuration: %w", to, err)
	}
	ours := map[string]bool{}
	for _, e := range s.driver.entries(&view{settings: s.settings, config: c}) {
		if !s.all && !s.ours(e.item.name) {
			return nil, fmt.Errorf("prepare move: database %q is new in %s: RELOAD PgBouncer and try again", e.item.name, e.file.path)
		}
		ours[e.item.name] = true
	}
	texts, err := c.reroute(func(name string) bool { return ours[name] }, to)
	if err != nil {
		return nil, err
	}
	p = &plan{to: to, config: c}
	for path, text := range texts {
		r, err := prepareReplacement(path, text, c.files[path].info)
		if err != nil {
			p.discard()
			return nil, err
		}
		p.files = append(p.files, r)
	}
	return p, nil
}

func (p *plan) discard() {
	for _, r := range p.files {
		r.discard()
	}
}

func (s *session) discardPlan() {
	if s.plan != nil {
		s.plan.discard()
		s.plan = nil
	}
}

// Move implements endpoint.Session.
func (s *session) Move(ctx context.Context, to endpoint.Address) error {
	if s.plan == nil || s.plan.to != to || !s.plan.config.current() {
		if err := s.Prepare(ctx, to); err != nil { // somebody edited the file: theirs must not be lost
			return err
		}
	}
	now, err := s.look(ctx)
	if err != nil {
		return fmt.Errorf("move to %s: %w", to, err)
	}
	if len(s.plan.files) == 0 && len(now.elsewhere(to)) == 0 {
		return nil
	}
	if unpaused := now.unpaused(); len(unpaused) > 0 {
		return &endpoint.NotPaused{Databases: unpaused}
	}
	p := s.plan
	s.plan = nil
	defer p.discard()
	return s.carryOut(ctx, p)
}

// carryOut puts the new files in place, has them loaded, and looks whether that is so. A file that
// PgBouncer does not load, or not as meant, is put back.
func (s *session) carryOut(ctx context.Context, p *plan) error {
	for i, r := range p.files {
		if err := r.commit(); err != nil {
			return errors.Join(fmt.Errorf("move to %s: %w", p.to, err), p.restore(p.files[:i]))
		}
		s.renamed = append(s.renamed, r.path)
	}
	now, err := s.look(ctx, s.reload()...)
	if err != nil {
		return fmt.Errorf("move to %s: the configuration is changed, but PgBouncer did not confirm it: %w", p.to, err)
	}
	elsewhere := now.elsewhere(p.to)
	if now.refused == nil && len(elsewhere) == 0 {
		return nil
	}
	failed := fmt.Errorf("move to %s: PgBouncer did not take the new configuration, see its log", p.to)
	if now.refused != nil {
		failed = fmt.Errorf("%w: %w", failed, now.refused)
	} else {
		failed = fmt.Errorf("%w: %s", failed, strings.Join(elsewhere, ", "))
	}
	if err := p.restore(p.files); err != nil {
		return errors.Join(failed, err)
	}
	_, err = s.look(context.WithoutCancel(ctx), s.reload()...)
	return errors.Join(failed, err)
}

// reload are the commands that load the configuration. It sets every setting, so those that are
// changed for the pause are changed again before PgBouncer looks after its clients.
func (s *session) reload() []string {
	if s.before == nil {
		return []string{"RELOAD"}
	}
	return append([]string{"RELOAD"}, s.overriding()...)
}

// restore puts back files as they were.
func (p *plan) restore(files []replacement) error {
	var err error
	for _, r := range files {
		old := p.config.files[r.path]
		err = errors.Join(err, writeFile(r.path, old.text, old.info))
	}
	return err
}

// Recover implements endpoint.Session.
func (s *session) Recover(ctx context.Context, where endpoint.Address) error {
	settings, err := s.freshSettings(ctx)
	if err != nil {
		return err
	}
	s.narrowed = s.narrowed || settings[poolSize] == "0"
	left := s.before == nil && overridden(settings)
	if left {
		s.before = overrides // kept through RELOAD as long as clients are held
	}
	err = s.recover(ctx, where)
	if left {
		s.before = nil
	}
	if err != nil || !left {
		return err
	}
	s.drained(ctx)
	replies, err := s.do(ctx, "RELOAD") // a dead process cannot tell what they were; the file can
	if err == nil {
		err = refused(replies)
	}
	if err != nil {
		return fmt.Errorf("put back PgBouncer's settings: %w", err)
	}
	return nil
}

func (s *session) freshSettings(ctx context.Context) (map[string]string, error) {
	if _, err := s.do(ctx, "SHOW VERSION"); err != nil { // renews a lost connection
		return nil, err
	}
	return s.control.settings(ctx)
}

func (s *session) recover(ctx context.Context, where endpoint.Address) error {
	if err := s.Prepare(ctx, where); err != nil {
		return err
	}
	s.removeLeftovers()
	now, err := s.look(ctx)
	if err != nil {
		return err
	}
	if len(s.plan.files) > 0 || len(now.elsewhere(where)) > 0 {
		if len(now.unpaused()) > 0 { // PgBouncer was restarted
			if err := s.Pause(ctx); err != nil {
				return err
			}
		}
		if err := s.Move(ctx, where); err != nil {
			return err
		}
	}
	return s.Resume(ctx)
}

// removeLeftovers removes files that another session prepared, its process being dead.
func (s *session) removeLeftovers() {
	ours := map[string]bool{}
	for _, r := range s.plan.files {
		ours[r.temp] = true
	}
	for path := range s.plan.config.files {
		removeLeftovers(path, ours)
	}
}
