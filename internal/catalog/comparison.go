package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// withComparison lays what an upgrade took beside what its report had estimated. Both are kept: the report of
// an upgrade's own precheck has its number.
func (c *Catalog) withComparison(ctx context.Context, t upgrade.Task) (upgrade.Task, error) {
	if t.Kind != upgrade.TaskUpgrade || t.Status != upgrade.StatusSucceeded {
		return t, nil
	}
	report, err := scanReport(c.read.QueryRowContext(ctx, selectReport, t.Number))
	if errors.Is(err, sql.ErrNoRows) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("read the estimate of task %d: %w", t.Number, err)
	}
	t.Comparison = upgrade.Compare(report, t)
	return t, nil
}
