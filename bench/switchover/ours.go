package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/endpoint/pgbouncer"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// ours is one round of the real critical section.
func (s *stage) ours(ctx context.Context, number int) (timed, error) {
	staying := &staying{Driver: pgbouncer.New(s.pooler.Adopt(s.address(0))), stage: s}
	outcome, err := switchover.Run(ctx, switchover.Config{
		Plan: upgrade.Plan{
			Source:  upgrade.Cluster{Pgdata: s.source.Pgdata, Port: s.source.Port},
			Target:  upgrade.Cluster{Pgdata: s.target.Pgdata, Port: s.target.Port},
			Options: upgrade.Options{SwitchoverTimeout: 30 * time.Second},
		},
		Source: s.login, Target: s.targetLogin, Endpoint: staying,
		Journal: switchover.OpenJournal(filepath.Join(s.place.Dir, fmt.Sprintf("%d.journal", number)), time.Now),
		Keep:    func(s switchover.Snapshots) { s.Close() },
		Log:     s.log, Now: time.Now,
	})
	if err != nil {
		return timed{}, err
	}
	if !outcome.Switched {
		return timed{}, errors.New("it did not switch: " + outcome.Reason)
	}
	s.at = s.next()
	return timed{begun: outcome.StartedAt, ended: outcome.EndedAt, steps: staying.split(outcome.Steps)}, nil
}

// staying is the real driver, but that clients stay at the source (see the command's comment).
type staying struct {
	endpoint.Driver
	stage   *stage
	unfence time.Duration
}

// Open opens a session that stays.
func (d *staying) Open(ctx context.Context) (endpoint.Session, error) {
	session, err := d.Driver.Open(ctx)
	return &stayingSession{session, d}, err
}

// split takes the lifting of the fence out of the last step.
func (d *staying) split(steps []upgrade.StepDuration) []upgrade.StepDuration {
	last := slices.IndexFunc(steps, func(s upgrade.StepDuration) bool { return s.Step == "resume" })
	resume := steps[last] // what comes after it, clients do not wait for
	resume.Duration -= d.unfence
	return append(steps[:last:last], upgrade.StepDuration{Step: "unfence", Duration: d.unfence}, resume)
}

type stayingSession struct {
	endpoint.Session
	driver *staying
}

// Prepare prepares a move to the source's other address.
func (s *stayingSession) Prepare(ctx context.Context, _ endpoint.Address) error {
	return s.Session.Prepare(ctx, s.driver.stage.address(s.driver.stage.next()))
}

// Move moves to the source's other address.
func (s *stayingSession) Move(ctx context.Context, _ endpoint.Address) error {
	return s.Session.Move(ctx, s.driver.stage.address(s.driver.stage.next()))
}

// Resume lets clients go on at the source, which needs the fence lifted.
func (s *stayingSession) Resume(ctx context.Context) error {
	begun := time.Now()
	if err := s.driver.stage.unfence(ctx); err != nil {
		return err
	}
	s.driver.unfence = time.Since(begun)
	return s.Session.Resume(ctx)
}
