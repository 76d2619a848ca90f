package control

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whoever upgrades is told exactly why the report does not hold any more.
func TestReportStillHolds(t *testing.T) {
	taken := func(level string) upgrade.Fingerprint {
		t.Helper()
		f, err := upgrade.NewFingerprint([]upgrade.Part{
			{Kind: upgrade.PartSetting, Name: "wal_level", Value: level}, {Kind: upgrade.PartExtension, Database: "shop", Name: "hstore", Value: "1.8"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	report := upgrade.Report{Number: 4, Fingerprint: taken("replica").Sum, Parts: taken("replica").Parts}
	old := report
	old.Parts = nil
	for name, test := range map[string]struct {
		report upgrade.Report
		now    upgrade.Fingerprint
		want   string
		holds  bool
	}{
		"unchanged":           {report, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"an old one":          {old, taken("replica"), "Report 4 passed, and what it saw is unchanged.", true},
		"changed":             {report, taken("logical"), "What report 4 saw has changed since: setting wal_level changed from replica to logical. The precheck will tell anew.", false},
		"changed, an old one": {old, taken("logical"), "What report 4 saw has changed since: what exactly is not known. The precheck will tell anew.", false},
	} {
		if note, holds := stillHolds(test.report, test.now); note != test.want || holds != test.holds {
			t.Errorf("%s: got %t: %s", name, holds, note)
		}
	}
}
