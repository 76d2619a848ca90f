package pgbouncer

import (
	"testing"

	"github.com/pgleap/pgleap/internal/endpoint"
	"github.com/pgleap/pgleap/internal/pgtest"
)

// Whoever lets clients go on lets pools grow again, though another process has kept them from it and died.
func TestPoolsGrowAgainAfterADeath(t *testing.T) {
	source, target := pgtest.Pair(t, 15, 15)
	own := newOwn(t, source)
	own.AuthType, own.DefaultPoolSize = "trust", 7
	must(t, own.Start(t.Context()))
	driver := New(own.Adopt(endpoint.Address{Host: "127.0.0.1", Port: source.Port}, endpoint.Address{Host: "127.0.0.1", Port: target.Port}))
	size := func() string {
		t.Helper()
		c, err := openConsole(t.Context(), driver.at.Console)
		must(t, err)
		defer c.close()
		settings, err := c.settings(t.Context())
		must(t, err)
		return settings[poolSize]
	}
	s, err := driver.Open(t.Context())
	must(t, err)
	must(t, s.Pause(t.Context()))
	if got := size(); got != "0" {
		t.Errorf("while clients are held pools may have %s connections, want none more", got)
	}
	s.(*session).control.close() // it dies
	s.(*session).closePausers()
	for name, letGo := range map[string]func(endpoint.Session) error{
		"resume": func(s endpoint.Session) error { return s.Resume(t.Context()) },
		"recover": func(s endpoint.Session) error {
			return s.Recover(t.Context(), endpoint.Address{Host: "127.0.0.1", Port: source.Port})
		},
	} {
		other, err := driver.Open(t.Context())
		must(t, err)
		must(t, other.Pause(t.Context()))
		must(t, letGo(other))
		if got := size(); got != "7" {
			t.Errorf("%s: the size is %s, want 7 again", name, got)
		}
		other.Close()
	}
}
