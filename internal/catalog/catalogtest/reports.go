package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func reports(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	saved := func(t *testing.T, c *catalog.Catalog, change func(*upgrade.Report)) upgrade.Report {
		t.Helper()
		task := created(t, c, aPrecheck("orders"))
		report := upgrade.Report{
			Number: task.Number, ID: task.ID, Instance: "orders", Mode: upgrade.ZeroDowntime,
			Source: 150018, Target: 170011, Fingerprint: "f",
			Findings: []upgrade.Finding{{
				Check: "replica-identity", Severity: upgrade.Blocker, Objects: []string{"app.public.\x00t"}, Total: 1,
				RemedySQL: []upgrade.RemedySQL{{Database: "app", SQL: `ALTER TABLE "t" REPLICA IDENTITY FULL`}},
			}},
			NotChecked: []string{"disk-space: no permission"},
			CheckedAt:  keptAfter(int(task.Number)), ValidUntil: kept.Add(upgrade.ReportValidity),
		}
		change(&report)
		must(t, c.SaveReport(t.Context(), report))
		ended(t, c, task.Number, upgrade.StatusSucceeded)
		return report
	}
	asIs := func(*upgrade.Report) {}
	latest := func(c *catalog.Catalog, t *testing.T, target upgrade.Major) (upgrade.Report, error) {
		t.Helper()
		report, _, err := c.LatestReport(t.Context(), "orders", upgrade.ZeroDowntime, target, func(*upgrade.Plan) bool { return true })
		return report, err
	}

	t.Run("are read as they were saved, once", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		want := saved(t, c, asIs)
		again := want
		again.Fingerprint = "another"
		must(t, c.SaveReport(t.Context(), again))
		got, err := c.Report(t.Context(), want.Number)
		must(t, err)
		same(t, "report", got, want)
	})

	t.Run("the latest is for the same instance, mode and version", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		saved(t, c, asIs)
		newer := saved(t, c, asIs)
		saved(t, c, func(r *upgrade.Report) { r.CheckedAt = kept }) // began later, saw the cluster earlier
		saved(t, c, func(r *upgrade.Report) { r.Mode = upgrade.InPlace })
		eighteen := saved(t, c, func(r *upgrade.Report) { r.Target = 180005 })
		saved(t, c, func(r *upgrade.Report) { r.Instance = "billing" })
		got, err := latest(c, t, 17)
		must(t, err)
		same(t, "report for 17", got, newer)
		got, err = latest(c, t, 18)
		must(t, err)
		same(t, "report for 18", got, eighteen)
		_, err = latest(c, t, 16)
		missing(t, err, "report")
	})

	t.Run("the latest is that of a plan that serves", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		var numbers []int64
		for _, jobs := range []int{1, 2, 3} {
			task := aPrecheck("orders")
			task.Plan = &upgrade.Plan{Options: upgrade.Options{Jobs: jobs}}
			task = created(t, c, task)
			must(t, c.SaveReport(t.Context(), upgrade.Report{
				Number: task.Number, Instance: "orders", Mode: upgrade.ZeroDowntime, Target: 170011, CheckedAt: keptAfter(jobs),
			}))
			ended(t, c, task.Number, upgrade.StatusSucceeded)
			numbers = append(numbers, task.Number)
		}
		for wanted, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3} {
			serves := func(plan *upgrade.Plan) bool { return plan.Options.Jobs == wanted }
			report, plan, err := c.LatestReport(t.Context(), "orders", upgrade.ZeroDowntime, 17, serves)
			must(t, err)
			same(t, "report", report.Number, numbers[want-1])
			same(t, "what it was made for", plan.Options.Jobs, want)
		}
	})

	t.Run("of a removed instance are history", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		report := saved(t, c, asIs)
		ended(t, c, report.Number, upgrade.StatusSucceeded)
		must(t, c.RemoveInstance(t.Context(), "orders"))
		withInstances(t, c, orders())
		_, err := latest(c, t, 17)
		missing(t, err, "report")
		_, err = c.Report(t.Context(), report.Number)
		must(t, err)
	})

	t.Run("that do not exist", func(t *testing.T) {
		c := withInstances(t, open(t), orders())
		created(t, c, aPrecheck("orders"))
		_, err := c.Report(t.Context(), 1)
		missing(t, err, "report")
		missing(t, c.SaveReport(t.Context(), upgrade.Report{Number: 7}), "task")
	})
}
