package pgbin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParsePostmasterPid(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    PostmasterPid
	}{
		"running": {
			"4711\n/var/lib/postgresql/15/main\n1700000000\n5432\n/var/run/postgresql\nlocalhost\n  5432001  65538\nready   \n",
			PostmasterPid{4711, "/var/lib/postgresql/15/main", time.Unix(1700000000, 0), 5432, "/var/run/postgresql", "localhost", "ready"},
		},
		"without socket or TCP": {
			"4711\n/d\n1700000000\n5432\n\n\n  5432001  65538\nstarting\n",
			PostmasterPid{Pid: 4711, Pgdata: "/d", StartedAt: time.Unix(1700000000, 0), Port: 5432, Status: "starting"},
		},
		"not yet complete":   {"4711\n/d\n17", PostmasterPid{Pid: 4711, Pgdata: "/d", StartedAt: time.Unix(17, 0)}},
		"standalone backend": {"-4711\n/d\n", PostmasterPid{Pid: -4711, Pgdata: "/d"}},
	} {
		got, err := parsePostmasterPid(test.content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, content := range []string{"", "\n", "x\n/d\n", "0\n"} {
		if got, err := parsePostmasterPid(content); err == nil {
			t.Errorf("parsePostmasterPid(%q) = %+v, want an error", content, got)
		}
	}
}

func FuzzParsePostmasterPid(f *testing.F) {
	f.Add("4711\n/d\n1700000000\n5432\n/s\nlocalhost\n  5432001  65538\nready   \n")
	f.Fuzz(func(t *testing.T, content string) {
		p, err := parsePostmasterPid(content)
		if err == nil && (p.Pid == 0 || p.Port < 0 || p.Port > 65535) {
			t.Errorf("%+v", p)
		}
	})
}
