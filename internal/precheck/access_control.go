package precheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// AccessControl is what a security module of the kernel allows the source's server. None has no Module.
type AccessControl struct {
	Module    string // "SELinux" or "AppArmor"
	Enforcing bool   // else it only writes down what it would refuse
	Confines  string // what it knows the source's server by: a type of SELinux, a profile of AppArmor
	// With SELinux: the types of the source's data directory, and of the directory where the target's will be made.
	SourceType, TargetType string
	TargetDir              string
}

// confined tells whether the module refuses the server anything.
func (a AccessControl) confined() bool {
	return a.Module != "" && a.Enforcing && a.Confines != "" && !strings.HasPrefix(a.Confines, "unconfined")
}

// accessControl: a security module goes by the labels of files, or by the paths of programs, which are other ones for
// the target. What the agent may do a service of the operating system need not be allowed.
var accessControl = Check{
	ID: "access-control", Title: "A security module may keep the target from its files",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "SELinux lets a confined server use only the files that are labelled for it. A new directory gets the label of the one that it is made in, unless the policy has another one for it. " +
		"The agent may be able to make and to start the target there all the same; the operating system's service, when it starts it later, is not.",
	Remedy: "Label the directory as that of the source is (semanage fcontext, then restorecon), or choose a place for the target that is. With AppArmor, " +
		"see that the profile has the paths of the target's programs and of its data directory; then accept it by name.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		module, err := f.Host.AccessControl.Get()
		switch {
		case err != nil:
			return nil, fmt.Errorf("look at the host's security modules: %w", err)
		case !module.confined():
			return nil, nil
		case module.Module == "AppArmor":
			return []Found{{Object: "AppArmor", Note: "the source's server is under the profile " + module.Confines, Severity: upgrade.Info}}, nil
		case module.SourceType == module.TargetType:
			return nil, nil
		}
		return []Found{{
			Object: module.TargetDir,
			Note: fmt.Sprintf("of type %s, the source's data directory is of type %[2]s: semanage fcontext -a -t %[2]s %[3]s; restorecon -Rv %[4]s",
				module.TargetType, module.SourceType, shellQuote(module.TargetDir+"(/.*)?"), shellQuote(module.TargetDir)),
		}}, nil
	},
}

// shellQuote makes one word of a text for a shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
