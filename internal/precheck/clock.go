package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// clock: certificates and tokens are valid for a time, and a point in time of recovery is one by the host's clock.
var clock = Check{
	ID: "clock", Title: "The host's clock is not kept in time",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "Nothing keeps the clock of this host in time, says its kernel. An agent whose clock is wrong may take the server's certificate for one that is not valid yet, or not any more. " +
		"Source and target on hosts of different time give rows other times after the switchover than before.",
	Remedy: "Let chrony, ntpd or systemd-timesyncd keep it in time (timedatectl tells). In a container it is the host's own clock that counts.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		adrift, err := f.Host.ClockAdrift.Get()
		if err != nil {
			return nil, fmt.Errorf("ask the kernel for its clock: %w", err)
		}
		if !adrift {
			return nil, nil
		}
		return []Found{{Object: "clock of the host"}}, nil
	},
}
