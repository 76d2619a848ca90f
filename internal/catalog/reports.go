package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const insertReport = `
INSERT INTO report (number, instance, mode, target, checked_at, body, retired, passed, valid_until)
VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)
ON CONFLICT (number) DO NOTHING`

// SaveReport records the report of a precheck. A precheck has one: a second one is ignored.
func (c *Catalog) SaveReport(ctx context.Context, r upgrade.Report) error {
	err := c.change(ctx, func(tx *sql.Tx) error {
		if _, err := lockTask(ctx, tx, r.Number); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, insertReport, r.Number, r.Instance, r.Mode, r.Target.Major(),
			instant{&r.CheckedAt}, document{r}, flag(r.Passed()), instant{&r.ValidUntil})
		if err != nil {
			return err
		}
		return touch(ctx, tx, r.Number)
	})
	return inTask(err, "save report of", r.Number)
}

const selectReport = `
SELECT body
  FROM report
 WHERE number = $1`

// Report returns the report of a precheck, or upgrade.NotFound.
func (c *Catalog) Report(ctx context.Context, number int64) (upgrade.Report, error) {
	r, err := scanReport(c.read.QueryRowContext(ctx, selectReport, number))
	return found(r, err, "report", strconv.FormatInt(number, 10))
}

const selectLatestReport = `
  SELECT body
    FROM report
   WHERE instance = $1 AND mode = $2 AND target = $3 AND retired = 0
ORDER BY checked_at DESC, number DESC
   LIMIT 1`

// LatestReport returns the newest report of an instance for a mode and a target version, or
// upgrade.NotFound. Whether it passed and is still valid is the caller's to judge.
func (c *Catalog) LatestReport(ctx context.Context, instance string, mode upgrade.Mode, target upgrade.Major) (upgrade.Report, error) {
	r, err := scanReport(c.read.QueryRowContext(ctx, selectLatestReport, instance, mode, target))
	return found(r, err, "report", fmt.Sprintf("of instance %q for %s to %d", instance, mode, target))
}

// Reports returns the reports of prechecks, by number. Those that have none are missing.
func (c *Catalog) Reports(ctx context.Context, numbers []int64) (map[int64]upgrade.Report, error) {
	reports := make(map[int64]upgrade.Report, len(numbers))
	for _, number := range numbers {
		r, err := scanReport(c.read.QueryRowContext(ctx, selectReport, number))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read report %d: %w", number, err)
		}
		reports[number] = r
	}
	return reports, nil
}

func scanReport(r row) (upgrade.Report, error) {
	var report upgrade.Report
	err := r.Scan(document{&report})
	return report, err
}
