package control

import (
	"errors"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// kind names the type of an error, for tables.
func kind(err error) string {
	if err == nil {
		return ""
	}
	for name, is := range map[string]func() bool{
		"invalid":  func() bool { _, ok := errors.AsType[*Invalid](err); return ok },
		"conflict": func() bool { _, ok := errors.AsType[*Conflict](err); return ok },
		"refused":  func() bool { _, ok := errors.AsType[*upgrade.Refused](err); return ok },
		"notfound": func() bool { _, ok := errors.AsType[*upgrade.NotFound](err); return ok },
		"unavail":  func() bool { _, ok := errors.AsType[*Unavailable](err); return ok },
	} {
		if is() {
			return name
		}
	}
	return "other"
}

func TestAddRequest(t *testing.T) {
	adopted := upgrade.Endpoint{Console: upgrade.Address{Host: "/run/pgb", Port: 6432}, Ini: "/etc/pgbouncer/pgbouncer.ini"}
	for name, test := range map[string]struct {
		req  AddRequest
		want string
	}{
		"by data directory":         {AddRequest{Pgdata: "/srv/orders"}, ""},
		"by port":                   {AddRequest{Port: 5432}, ""},
		"no cluster":                {AddRequest{ID: "orders"}, "invalid"},
		"relative data directory":   {AddRequest{Pgdata: "srv/orders"}, "invalid"},
		"port out of range":         {AddRequest{Port: 70000}, "invalid"},
		"negative port":             {AddRequest{Port: -1}, "invalid"},
		"id that is none":           {AddRequest{ID: "Orders!", Port: 5432}, "invalid"},
		"own endpoint":              {AddRequest{Port: 5432, Choice: EndpointOwn, Endpoint: upgrade.Endpoint{PoolSize: 5}}, ""},
		"own endpoint, bad port":    {AddRequest{Port: 5432, Endpoint: upgrade.Endpoint{Listen: upgrade.Address{Port: -5}}}, "invalid"},
		"own endpoint, bad pool":    {AddRequest{Port: 5432, Endpoint: upgrade.Endpoint{PoolSize: -1}}, "invalid"},
		"adopted endpoint":          {AddRequest{Port: 5432, Choice: EndpointAdopt, Endpoint: adopted}, ""},
		"adopted endpoint, unnamed": {AddRequest{Port: 5432, Choice: EndpointAdopt}, "invalid"},
		"no endpoint":               {AddRequest{Port: 5432, Choice: EndpointNone}, ""},
		"unknown choice":            {AddRequest{Port: 5432, Choice: "haproxy"}, "invalid"},
	} {
		if got := kind(test.req.validate()); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestAddRequestAsksForAnEndpointUnlessToldOtherwise(t *testing.T) {
	req := AddRequest{Port: 5432}
	if err := req.validate(); err != nil || req.Choice != EndpointOwn {
		t.Errorf("got %q (%v), want %q", req.Choice, err, EndpointOwn)
	}
}

func TestUpgradeRequest(t *testing.T) {
	for name, test := range map[string]struct {
		req  UpgradeRequest
		want string
	}{
		"only a target":          {UpgradeRequest{Target: 17}, ""},
		"everything":             {UpgradeRequest{Target: 17, Mode: upgrade.ZeroDowntime, TargetPgdata: "/srv/17", TargetPort: 5433}, ""},
		"no target":              {UpgradeRequest{}, "invalid"},
		"unknown mode":           {UpgradeRequest{Target: 17, Mode: "magic"}, "invalid"},
		"mode for prechecks":     {UpgradeRequest{Target: 17, Mode: upgrade.InPlace}, ""},
		"mode of the future":     {UpgradeRequest{Target: 17, Mode: upgrade.Logical}, "refused"},
		"relative pgdata":        {UpgradeRequest{Target: 17, TargetPgdata: "17"}, "invalid"},
		"pgdata of two lines":    {UpgradeRequest{Target: 17, TargetPgdata: "/srv/17\nExecStart=/bin/sh"}, "invalid"},
		"pgdata ends in \\":      {UpgradeRequest{Target: 17, TargetPgdata: `/srv/17\/`}, "invalid"},
		"backslash in pgdata":    {UpgradeRequest{Target: 17, TargetPgdata: `/srv/a\b`}, ""},
		"no port":                {UpgradeRequest{Target: 17, TargetPort: 65536}, "invalid"},
		"too short a switchover": {UpgradeRequest{Target: 17, Options: upgrade.Options{SwitchoverTimeout: time.Second}}, "invalid"},
		"unknown statistics":     {UpgradeRequest{Target: 17, Options: upgrade.Options{Statistics: "never"}}, "invalid"},
	} {
		if got := kind(test.req.validate()); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestTargetMustBeAboveTheSource(t *testing.T) {
	instance := upgrade.Instance{ID: "orders", Cluster: upgrade.Cluster{Version: 150012}}
	for target, want := range map[upgrade.Major]string{14: "refused", 15: "refused", 16: "", 18: ""} {
		if got := kind(newer(target, instance)); got != want {
			t.Errorf("15 to %d: got %q, want %q", target, got, want)
		}
	}
}
