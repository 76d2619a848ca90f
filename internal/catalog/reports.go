package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

const selectLatestReports = `
  SELECT report.number, task.plan
    FROM report
    JOIN task ON task.number = report.number
   WHERE report.instance = $1 AND report.mode = $2 AND report.target = $3 AND report.retired = 0
ORDER BY report.checked_at DESC, report.number DESC
   LIMIT 100`

// reportFor is a report, and what it was made for; nil: an old record does not tell.
type reportFor struct {
	number int64
	plan   *upgrade.Plan
}

// LatestReport returns the newest report of an instance for a mode and a target version that was made for a plan that
// serves, with that plan; if there is none, the newest; or upgrade.NotFound. Upgrades leave reports, too. Whether it passed
// and is still valid is the caller's to judge.
func (c *Catalog) LatestReport(
	ctx context.Context, instance string, mode upgrade.Mode, target upgrade.Major, serves func(*upgrade.Plan) bool,
) (upgrade.Report, *upgrade.Plan, error) {
	of := fmt.Sprintf("of instance %q for %s to %d", instance, mode, target)
	newestFirst, err := collect(ctx, c.read, scanReportFor, selectLatestReports, instance, mode, target)
	if err != nil {
		return upgrade.Report{}, nil, fmt.Errorf("read reports %s: %w", of, err)
	}
	if len(newestFirst) == 0 {
		return upgrade.Report{}, nil, &upgrade.NotFound{Kind: "report", Name: of}
	}
	latest := newestFirst[max(0, slices.IndexFunc(newestFirst, func(r reportFor) bool { return serves(r.plan) }))]
	report, err := c.Report(ctx, latest.number)
	return report, latest.plan, err
}

func scanReportFor(r row) (report reportFor, err error) {
	return report, r.Scan(&report.number, document{&report.plan})
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
