package onhost

import (
	"testing"

	"github.com/pgleap/pgleap/internal/postgres"
)

func TestPromotedAt(t *testing.T) {
	for _, c := range []struct {
		name, history, want string
	}{
		{"a promotion", "1\t0/304DF60\tno recovery target specified\n", "0/304DF60"},
		{"as 19 writes it", "1\t0/0304DF60\tno recovery target specified\n", "0/304DF60"},
		{"the last of several", "1\t0/A000198\tno recovery target specified\n\n2\t1/F0000A8\tno recovery target specified\n", "1/F0000A8"},
		{"a recovery target", "1\t0/304DF60\tbefore LSN 0/304DF60\n", ""},
		{"a recovery target after a promotion", "1\t0/304DF60\tno recovery target specified\n\n2\t0/404DF60\tbefore LSN 0/404DF60\n", ""},
		{"nothing", "", ""},
		{"cut short", "1\t0/304DF60\tno recovery", ""},
	} {
		lsn, err := promotedAt([]byte(c.history))
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: got %s, want an error", c.name, lsn)
			}
			continue
		}
		if err != nil || lsn.String() != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, lsn, err, c.want)
		}
	}
}

func FuzzPromotedAt(f *testing.F) {
	f.Add([]byte("1\t0/304DF60\tno recovery target specified\n"))
	f.Add([]byte("1\t0/A000198\tno recovery target specified\n\n2\t1/F0000A8\tno recovery target specified\n"))
	f.Add([]byte("1\t0/304DF60\tbefore LSN 0/304DF60\n"))
	f.Add([]byte("1\tFFFFFFFFF/0\tno recovery target specified\n"))
	f.Fuzz(func(t *testing.T, history []byte) {
		lsn, err := promotedAt(history)
		if err != nil {
			return
		}
		again, err := postgres.ParseLSN(lsn.String())
		if err != nil || again != lsn {
			t.Errorf("%q: %s is read as %s, %v", history, lsn, again, err)
		}
	})
}
