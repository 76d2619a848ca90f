package switchover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Recover ends a switchover that was left in the middle, as its journal tells: undone before the
// commit point, done after it. It may run at the same time in several processes and any number of
// times. A journal without a first line means that nothing had begun.
func Recover(ctx context.Context, c Config) (upgrade.Switchover, error) {
	for attempt := 1; ; attempt++ {
		outcome, err := recoverOnce(ctx, c)
		if err == nil {
			return outcome, nil
		}
		c.Log.WarnContext(ctx, "switchover cannot be ended yet", "attempt", attempt, "error", err)
		if sleep(ctx, 500*time.Millisecond) != nil {
			return upgrade.Switchover{}, err
		}
	}
}

func recoverOnce(ctx context.Context, c Config) (upgrade.Switchover, error) {
	decision, err := Decide(c.Journal, "the process that was switching over died")
	if err != nil {
		return upgrade.Switchover{}, err
	}
	state, err := c.Journal.Read()
	if err != nil {
		return upgrade.Switchover{}, err
	}
	switch decision {
	case endpoint.RollBack:
		return rollBack(ctx, c, state)
	case endpoint.RollForward:
		return rollForward(ctx, c, state)
	case endpoint.Leave:
	}
	if state.Stage == StageNone {
		return upgrade.Switchover{Reason: "the switchover had not begun when its process died; try again", Back: c.Plan.Reversed}, nil
	}
	return state.Outcome, nil
}

// Decide tells what is to become of a switchover, and makes the answer binding in its journal.
func Decide(j *Journal, reason string) (endpoint.Decision, error) {
	state, err := j.Read()
	if err != nil {
		return endpoint.Leave, err
	}
	switch state.Stage {
	case StageNone, StageUndone, StageDone:
		return endpoint.Leave, nil
	case StageGaveWay:
		err := j.Undone(state.Outcome)
		if _, began := errors.AsType[*WrongStage](err); began {
			return Decide(j, reason)
		}
		return endpoint.Leave, err
	case StageCommitted:
		return endpoint.RollForward, nil
	case StageRollingBack:
		return endpoint.RollBack, nil // it is binding already, and tells the reason
	case StageIntent:
	}
	err = j.RollBack(reason)
	if wrong, ok := errors.AsType[*WrongStage](err); ok {
		if wrong.Stage == StageCommitted {
			return endpoint.RollForward, nil // it was quicker
		}
		return endpoint.Leave, nil
	}
	return endpoint.RollBack, err
}

// rollBack lifts the fence, lets clients go on at the source, and says so in the journal. Whoever is held up in it
// must not do it to a later try.
func rollBack(ctx context.Context, c Config, state State) (outcome upgrade.Switchover, err error) {
	err = c.Journal.whileUndoing(ctx, func() (err error) {
		outcome, err = rollBackNow(ctx, c, state)
		return err
	})
	return outcome, err
}

func rollBackNow(ctx context.Context, c Config, state State) (upgrade.Switchover, error) {
	if now, err := stillAt(c.Journal, StageRollingBack); err != nil || now.Stage != StageRollingBack {
		return now.Outcome, err
	}
	if err := Unfence(ctx, c, state.Intent); err != nil {
		return upgrade.Switchover{}, err
	}
	at := endpoint.Address{Host: state.Intent.SourceHost, Port: c.Plan.Source.Port}
	if err := recoverEndpoint(ctx, c, at); err != nil {
		return upgrade.Switchover{}, err
	}
	c.dropConsumers(ctx)
	outcome := upgrade.Switchover{Reason: state.Reason, EndedAt: c.Now(), Back: c.Plan.Reversed}
	err := c.Journal.Undone(outcome)
	return outcome, err
}

// Unfence lets everybody log in to the source again who could before the switchover. It ends the
// sessions of the one who began it first: the server may still be busy with the fence that a process
// sent before it died, and would put it up after it was lifted.
func Unfence(ctx context.Context, c Config, intent Intent) error {
	return with(ctx, c.Source.In("postgres"), func(conn *pgx.Conn) error {
		if err := postgres.EndSessions(ctx, conn, sessionSection); err != nil {
			return err
		}
		return postgres.PermitLogins(ctx, conn, intent.LoginRoles)
	})
}

// with does something in a session of its own, which is none of a section's.
func with(ctx context.Context, l postgres.Login, do func(*pgx.Conn) error) error {
	conn, err := postgres.Connect(ctx, session(l, sessionRecovery))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return do(conn)
}

// rollForward lets clients go on at the target, ends the replication that led there and says so in
// the journal.
func rollForward(ctx context.Context, c Config, state State) (upgrade.Switchover, error) {
	if now, err := stillAt(c.Journal, StageCommitted); err != nil || now.Stage != StageCommitted {
		return now.Outcome, err
	}
	if c.StartTarget != nil {
		if err := c.StartTarget(ctx); err != nil {
			return upgrade.Switchover{}, fmt.Errorf("clients are to go on at the target, which does not run: %w", err)
		}
	}
	if err := admit(ctx, c, state.Intent); err != nil {
		return upgrade.Switchover{}, err
	}
	if now, err := stillAt(c.Journal, StageCommitted); err != nil || now.Stage != StageCommitted {
		return now.Outcome, err
	}
	at := endpoint.Address{Host: state.Intent.TargetHost, Port: c.Plan.Target.Port}
	if err := recoverEndpoint(ctx, c, at); err != nil {
		return upgrade.Switchover{}, err
	}
	outcome := state.Outcome
	outcome.Switched, outcome.TargetPort, outcome.EndedAt = true, at.Port, c.Now()
	outcome.Pause = outcome.EndedAt.Sub(outcome.StartedAt)
	if err := turn(ctx, c, state.Intent.Databases, outcome); err != nil {
		return outcome, err
	}
	c.settleConsumers(ctx, outcome)
	return outcome, nil
}

// stillAt reads the journal again, right before something that only its present stage justifies: whoever
// was held up may find that somebody else has ended the switchover, and clients have gone elsewhere since.
func stillAt(j *Journal, stage Stage) (State, error) {
	now, err := j.Read()
	if err == nil && now.Stage != stage && !now.Stage.Ended() {
		err = &WrongStage{Stage: now.Stage, Wanted: stage}
	}
	return now, err
}

// admit lets everybody log in to the target who could log in to the source.
func admit(ctx context.Context, c Config, intent Intent) error {
	return with(ctx, c.Target.In("postgres"), func(conn *pgx.Conn) error {
		return postgres.PermitLogins(ctx, conn, intent.LoginRoles)
	})
}

func recoverEndpoint(ctx context.Context, c Config, where endpoint.Address) error {
	session, err := c.Endpoint.Open(ctx)
	if err != nil {
		return fmt.Errorf("open endpoint: %w", err)
	}
	defer session.Close()
	if err := session.Recover(ctx, where); err != nil {
		return fmt.Errorf("recover endpoint: %w", err)
	}
	return nil
}
