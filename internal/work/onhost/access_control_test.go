package onhost

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The kernel's files are made as kernels with the modules have them.
func TestAccessControl(t *testing.T) {
	pgdata := t.TempDir()
	const target = "target"
	plan := upgrade.Plan{Source: upgrade.Cluster{Pgdata: pgdata}, Target: upgrade.Cluster{Pgdata: filepath.Join(pgdata, target, "data")}}
	labelled := syscall.Setxattr(pgdata, "security.selinux", []byte("system_u:object_r:postgresql_db_t:s0\x00"), 0) == nil
	labels := func(found precheck.AccessControl) precheck.AccessControl {
		found.TargetDir = pgdata
		if labelled {
			found.SourceType, found.TargetType = "postgresql_db_t", "postgresql_db_t"
		}
		return found
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  precheck.AccessControl
	}{
		{name: "no module", want: precheck.AccessControl{}},
		{
			name:  "SELinux enforces",
			files: map[string]string{"fs/selinux/enforce": "1", "42/attr/current": "system_u:system_r:postgresql_t:s0-s0:c0.c1023\x00"},
			want:  labels(precheck.AccessControl{Module: "SELinux", Enforcing: true, Confines: "postgresql_t"}),
		},
		{
			name:  "SELinux notes what it would refuse",
			files: map[string]string{"fs/selinux/enforce": "0\n", "42/attr/current": "unconfined_u:unconfined_r:unconfined_t:s0\x00"},
			want:  labels(precheck.AccessControl{Module: "SELinux", Confines: "unconfined_t"}),
		},
		{
			name:  "AppArmor enforces",
			files: map[string]string{"module/apparmor/parameters/enabled": "Y\n", "42/attr/current": "my postgres (enforce)\n"},
			want:  precheck.AccessControl{Module: "AppArmor", Enforcing: true, Confines: "my postgres"},
		},
		{
			name:  "AppArmor complains",
			files: map[string]string{"module/apparmor/parameters/enabled": "Y\n", "42/attr/current": "postgres (complain)\n"},
			want:  precheck.AccessControl{Module: "AppArmor", Confines: "postgres"},
		},
		{
			name:  "AppArmor leaves the server alone",
			files: map[string]string{"module/apparmor/parameters/enabled": "Y\n", "42/attr/current": "unconfined\n"},
			want:  precheck.AccessControl{Module: "AppArmor", Confines: "unconfined"},
		},
		{name: "AppArmor is off", files: map[string]string{"module/apparmor/parameters/enabled": "N\n"}, want: precheck.AccessControl{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kernel := t.TempDir()
			writeText(t, filepath.Join(pgdata, "postmaster.pid"), "42\n")
			for path, text := range c.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(kernel, path)), 0o755); err != nil {
					t.Fatal(err)
				}
				writeText(t, filepath.Join(kernel, path), text)
			}
			got, err := accessControl(kernel, kernel, plan)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestClockAdrift(t *testing.T) {
	adrift, err := clockAdrift()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("nothing keeps this machine's clock in time: %t", adrift)
}
