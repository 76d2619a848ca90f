package postmaster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// redHat is what "systemctl cat" says of a unit such as the packages for Red Hat have, with a file of the
// administrator's.
const redHat = `# /usr/lib/systemd/system/postgresql-15.service
[Unit]
Description=PostgreSQL 15
After=network.target
RequiresMountsFor=/data/15/main

[Service]
Type=notify
User=postgres
# The place of the data.
Environment=PGDATA=/data/15/main/
OOMScoreAdjust=-1000
RuntimeDirectory=postgresql
ExecStartPre=/usr/pgsql-15/bin/postgresql-15-check-db-dir ${PGDATA}
ExecStart=/usr/pgsql-15/bin/postgres \
# where it is
    -D ${PGDATA}
ExecReload=/bin/kill -HUP $MAINPID
TimeoutSec=0

[Install]
WantedBy=multi-user.target
Alias=postgresql.service

# /etc/systemd/system/postgresql-15.service.d/limits.conf
[Service]
LimitNOFILE=65536
ExecStartPre=+/usr/bin/install -d -o postgres /run/app`

// unitsUnderTest are a source's cluster and its target's, each with a unit of its own.
func unitsUnderTest() (target, source upgrade.Cluster) {
	source = upgrade.Cluster{Version: 150018, Bindir: "/usr/pgsql-15/bin", Pgdata: "/data/15/main", Manager: upgrade.ManagerSystemd, Unit: "postgresql-15.service"}
	target = upgrade.Cluster{Version: 170006, Bindir: "/usr/pgsql-17/bin", Pgdata: "/data/17/main", Manager: upgrade.ManagerSystemd, Unit: "postgresql-17.service"}
	return target, source
}

// The unit keeps all that its user has said; what starts, stops and checks the source's version goes.
func TestUnitForTarget(t *testing.T) {
	target, source := unitsUnderTest()
	for name, got := range map[string]string{
		"own-unit":    unitFor(redHat, target, source, true),
		"drop-in":     dropInFor(redHat, target, source, true),
		"with-pg_ctl": dropInFor(redHat, target, source, false),
	} {
		want, err := os.ReadFile(filepath.Join("testdata", name+".service"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What a unit says of the source's directory is said for the target's, without what was taken back.
func TestCarriedFor(t *testing.T) {
	target, source := unitsUnderTest()
	for name, c := range map[string]struct{ section, text, want string }{
		"nothing of the directory": {"Service", "LimitNOFILE=65536\nReadWritePaths=/data/15/main2\n", ""},
		"a list that is added to":  {"Unit", "RequiresMountsFor=/data/15/main\nRequiresMountsFor=/logs\n", "RequiresMountsFor=/data/17/main\n"},
		"a setting":                {"Service", "WorkingDirectory=/data/15/main\n", "WorkingDirectory=/data/17/main\n"},
		"what may be written":      {"Service", "ReadWritePaths=/logs -/data/15/main \\\n /data/15/main/log\nReadWritePaths=/x\n", "ReadWritePaths=\nReadWritePaths=/logs -/data/17/main /data/17/main/log\nReadWritePaths=/x\n"},
		"conditions of several kinds": {
			"Unit", "ConditionHost=db1\nConditionPathExists=/data/15/main/PG_VERSION\nAssertHost=db1\n",
			"ConditionHost=\nConditionHost=db1\nConditionPathExists=/data/17/main/PG_VERSION\n",
		},
		"taken back":                  {"Unit", "ConditionPathExists=/data/15/main\nConditionHost=\nConditionUser=postgres\n", ""},
		"commands and their settings": {"Service", "ExecStart=/x /data/15/main\nEnvironment=PGDATA=/data/15/main\nPIDFile=/data/15/main/postmaster.pid\n", ""},
		"by the unit's name":          {"Service", "ReadWritePaths=/data/%j/main %t/app\n", "ReadWritePaths=\nReadWritePaths=/data/17/main /run/app\n"},
		"of another section":          {"Unit", "[Service]\nReadWritePaths=/data/15/main\n", ""},
	} {
		if diff := cmp.Diff(c.want, carriedFor(unitLines("["+c.section+"]\n"+c.text, source.Unit), c.section, target, source)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What stands for a unit's name, and for the directories of services, means the same in a unit made of it.
func TestUnitLines(t *testing.T) {
	const unit = "pg-eu@15-main\\x2da.service"
	for text, want := range map[string]string{
		"%n %N":             unit + ` pg-eu@15-main\x2da`,
		"%p %P %j %J":       "pg-eu pg/eu eu eu",
		"%i %I %f":          `15-main\x2da 15/main-a /15/main-a`,
		"%S/a %E/b %t":      "/var/lib/a /etc/b /run",
		"100%% %%i %u %m %": "100%% %%i %u %m %",
	} {
		lines := unitLines("[Service]\n# %i\nEnvironment=X="+text+"\n", unit)
		if got := lines[2].value; got != "X="+want || lines[2].raw != "Environment=X="+want+"\n" || lines[1].raw != "# %i\n" {
			t.Errorf("%s: %s (%q), want %s", text, got, lines[2].raw, want)
		}
	}
	if got := unitLines("WorkingDirectory=%f", "pg-eu.service")[0].value; got != "/pg/eu" {
		t.Errorf("without an instance %%f is %s", got)
	}
}

func TestRenameUnit(t *testing.T) {
	for unit, want := range map[string]string{
		"postgresql-15.service":    "postgresql-17",
		"pg15.service":             "pg17",
		"db15-15-orders.service":   "db15-17-orders",
		"postgresql-15@eu.service": "postgresql-17@eu",
		"orders.service":           "orders-17 (has no version)",
		"orders-151.service":       "orders-151-17 (has no version)",
	} {
		got, versioned := renameUnit(unit, 15, 17)
		if !versioned {
			got += " (has no version)"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", unit, got, want)
		}
	}
}

func TestQuoteUnit(t *testing.T) {
	for word, want := range map[string]string{
		"/data/main":  "/data/main",
		"/data/a b":   `"/data/a b"`,
		"/data/100%":  "/data/100%%",
		"/data/$HOME": "/data/$$HOME",
		`/data/a"b\c`: `"/data/a\"b\\c"`,
	} {
		if got := quoteUnit(word, true); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}

func TestReplacePath(t *testing.T) {
	const text = "A=/d/15/main/ B=/d/15/main2 C=-/d/15/main\n"
	const want = "A=/d/17/main/ B=/d/15/main2 C=-/d/17/main\n"
	if got := replacePath(text, "/d/15/main", "/d/17/main"); got != want {
		t.Errorf("got %s", got)
	}
}

// Nothing of a unit is lost, whatever it looks like, and no value has a line's end in it.
func FuzzParseUnit(f *testing.F) {
	for _, seed := range []string{redHat, "", "[Service\n", "A=\\\n", "A=b\\\n#c\\\n;d\ne\n[X]\n=\n", "\\\n\\\n", "[Service]\nExecStart=\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var all strings.Builder
		for _, line := range parseUnit(text) {
			all.WriteString(line.raw)
			if strings.Contains(line.value, "\n") {
				t.Errorf("value %q", line.value)
			}
		}
		if all.String() != text {
			t.Errorf("%q became %q", text, all.String())
		}
	})
}
