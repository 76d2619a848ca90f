package huawei

import (
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// aReport has a finding of each kind.
func aReport() upgrade.Report {
	at := time.Date(2026, 3, 1, 11, 58, 30, 0, time.UTC)
	return upgrade.Report{
		Instance: "orders", Mode: upgrade.BlueGreen, Source: 150012, Target: 170011,
		CheckedAt: at, ValidUntil: at.Add(upgrade.ReportValidity),
		Findings: []upgrade.Finding{
			{
				Check: "prepared-transactions", Title: "Prepared transactions", Severity: upgrade.Blocker,
				Objects: []string{"app: 'tx1'", "app: 'tx2'"}, Total: 5,
				Why: "pg_upgrade refuses a cluster with prepared transactions.", Remedy: "Commit or roll back each.",
				RemedySQL: []upgrade.RemedySQL{
					{Database: "app", SQL: "ROLLBACK PREPARED 'tx1';"}, {Database: "app", SQL: "ROLLBACK PREPARED 'tx2';"},
				},
			},
			{
				Check: "unlogged-tables", Title: "Unlogged tables", Severity: upgrade.Warning, Accepted: true,
				Objects: []string{"app.public.cache"}, Total: 1, Why: "They are empty on the target.", Remedy: "Fill them again.",
			},
			{Check: "long-transactions", Title: "Long transactions", Severity: upgrade.Info, Why: "The switchover waits for them."},
		},
		NotChecked: []string{"disk space of /srv/pg: permission denied"},
	}
}

func TestReportText(t *testing.T) {
	passed := aReport()
	passed.Findings, passed.NotChecked = passed.Findings[1:], nil
	c := clock{time.UTC}
	golden(t, "report", reportText(aReport(), english, c)+"\n"+reportText(passed, english, c)+
		"\n"+reportText(aReport(), chinese, c)+"\n"+reportText(passed, chinese, clock{time.FixedZone("CST", 8*3600)}))
}
