package pgbouncer

import (
	"context"
	"fmt"
)

// poolSize is the setting by which a pool grows: at 0 none begins a login to the cluster, and clients wait for the
// connections that there are (objects.c, launch_new_connection). A database may have a pool_size of its own,
// which counts more.
const poolSize = "default_pool_size"

// narrow keeps pools from growing until the RESUME, for a PAUSE must not cut a login (see awaitLogins).
func (s *session) narrow(ctx context.Context) error {
	replies, err := s.do(ctx, set(poolSize, "0"))
	if err != nil {
		return err
	}
	s.narrowed = true
	if err := refused(replies); err != nil {
		return fmt.Errorf("keep PgBouncer's pools from growing: %w", err)
	}
	return nil
}

// widening are the commands that let pools grow again, if they were kept from it, be it by a process that died.
func (s *session) widening() []string {
	if !s.narrowed {
		return nil
	}
	return []string{set(poolSize, s.sizeBefore())}
}

// sizeBefore is the size of pools as it was before they were narrowed. A session that began later finds it in the file.
func (s *session) sizeBefore() string {
	if size := s.settings[poolSize]; size != "0" {
		return size
	}
	const byDefault = "20"
	c, err := s.driver.readConfig(s.settings)
	if err != nil {
		return byDefault
	}
	size := byDefault
	for _, e := range c.settings {
		if e.item.name == poolSize {
			size = e.item.value
		}
	}
	return size
}
