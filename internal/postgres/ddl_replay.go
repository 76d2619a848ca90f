package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// DDL is a command that changed definitions on one side, as the side that follows has it. Its text is left
// out: it may hold secrets.
type DDL struct {
	Number   int64
	At       time.Time // when it was done
	Ended    time.Time // when it came to the side that follows
	Role     string
	Tag      string // "ALTER TABLE"
	Objects  string
	Outcome  DDLOutcome
	Obstacle string // why it cannot be replayed
	Error    string // why its replay failed
}

// DDLOutcome is what became of a command on the side that follows.
type DDLOutcome string

// A command that failed or was left out keeps the sides from being alike, until a person has done the same.
const (
	DDLReplayed DDLOutcome = "replayed"
	DDLFailed   DDLOutcome = "failed"
	DDLLeftOut  DDLOutcome = "left out"
	DDLSettled  DDLOutcome = "settled"
)

// String tells the command and what became of it.
func (d DDL) String() string {
	said := fmt.Sprintf("definition %d, %s of %s by %s", d.Number, d.Tag, d.Objects, d.Role)
	switch d.Outcome {
	case DDLFailed:
		return said + " failed: " + d.Error
	case DDLLeftOut:
		return said + " cannot be replayed: " + d.Obstacle
	default:
		return said + ": " + string(d.Outcome)
	}
}

const readDDL = `
	SELECT number, at, ended_at, role, tag, objects, outcome, coalesce(obstacle, ''), coalesce(error, '')
	FROM pgleap.ddl
	WHERE outcome IS NOT NULL AND ended_at > $1
	ORDER BY ended_at`

// UnreplayedDDL lists the commands that came to the database of conn, the side that follows, and that keep it
// from being like the other. Those that were captured on this side itself, or before it was cloned, do not count.
func UnreplayedDDL(ctx context.Context, conn *pgx.Conn) ([]DDL, error) {
	all, err := ReplayedDDL(ctx, conn, time.Time{})
	if err != nil {
		return nil, err
	}
	var unreplayed []DDL
	for _, command := range all {
		if command.Outcome == DDLFailed || command.Outcome == DDLLeftOut {
			unreplayed = append(unreplayed, command)
		}
	}
	return unreplayed, nil
}

// ReplayedDDL lists the commands that came to the database of conn after a time (DDL.Ended of the last one that is
// known), whatever became of them. There are none in a database without a guard.
func ReplayedDDL(ctx context.Context, conn *pgx.Conn, after time.Time) ([]DDL, error) {
	rows, err := conn.Query(ctx, readDDL, after)
	if err != nil && !IsCode(err, codeUndefinedTable) {
		return nil, fmt.Errorf("read the replayed definitions of %s: %w", conn.Config().Database, err)
	}
	commands, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DDL])
	if IsCode(err, codeUndefinedTable) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the replayed definitions of %s: %w", conn.Config().Database, err)
	}
	return commands, nil
}

// DescribeDDL tells commands in a sentence, the first few of many.
func DescribeDDL(commands []DDL) string {
	const shown = 5
	var said []string
	for _, command := range commands[:min(shown, len(commands))] {
		said = append(said, command.String())
	}
	if more := len(commands) - shown; more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}
