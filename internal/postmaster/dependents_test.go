package postmaster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// showScript stands in for systemctl: of a unit it shows what lies in a file beside it.
const showScript = `#!/bin/sh
for unit; do :; done
cat "$(dirname "$0")/$unit"
`

// What systemd stops with a cluster's unit is found, however far down, if it runs.
func TestDependents(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	h.systemd.systemctl, h.systemd.runtime = filepath.Join(dir, "systemctl"), dir
	for name, text := range map[string]string{
		"systemctl": showScript,
		"postgresql-15.service": "RequiredBy=pgbouncer.service multi-user.target\nBoundBy=exporter.service\n" +
			"ConsistsOf=\nPropagatesStopTo=down.service\nWantedBy=other.service\nMainPID=1\nActiveState=active\n",
		"postgresql@15-main.service": "ConsistsOf=exporter.service\n",
		"pgbouncer.service":          fmt.Sprintf("ActiveState=active\nMainPID=%d\nRequiredBy=app.service postgresql-15.service\n", os.Getpid()),
		"exporter.service":           "ActiveState=activating\nMainPID=0\n",
		"multi-user.target":          "ActiveState=inactive\nRequiredBy=never.service\n",
		"down.service":               "ActiveState=failed\n",
		"app.service":                "ActiveState=active\nMainPID=0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := []Dependent{
		{"exporter.service", "BindsTo=postgresql-15.service", nil},
		{"pgbouncer.service", "Requires=postgresql-15.service", os.Args},
		{"app.service", "Requires=pgbouncer.service", nil},
	}
	for name, test := range map[string]struct {
		cluster upgrade.Cluster
		want    []Dependent
	}{
		"a unit": {upgrade.Cluster{Manager: upgrade.ManagerSystemd, Unit: "postgresql-15.service", Version: 150018}, want},
		"Debian's": {
			upgrade.Cluster{Manager: upgrade.ManagerPgCtlcluster, Name: "main", Version: 150018},
			[]Dependent{{"exporter.service", "PartOf=postgresql@15-main.service", nil}},
		},
		"none": {upgrade.Cluster{Manager: upgrade.ManagerPgCtl, Version: 150018}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h.Dependents(t.Context(), test.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := h.Dependents(t.Context(), upgrade.Cluster{Manager: upgrade.ManagerSystemd, Unit: "gone.service"}); err == nil {
		t.Error("what cannot be asked passes for nothing")
	}
}

// FuzzDependentsIn: whatever systemctl says, each unit has a name of one word.
func FuzzDependentsIn(f *testing.F) {
	for _, seed := range []string{"RequiredBy=a.service b\\x2dc.service\nBoundBy=\n", "ConsistsOf", "=\n==", "RequiredBy= \t "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, shown string) {
		for _, one := range dependentsIn(shown, "u") {
			if len(strings.Fields(one.Unit)) != 1 || !strings.HasSuffix(one.Setting, "=u") {
				t.Errorf("%q: %+v", shown, one)
			}
		}
	})
}
