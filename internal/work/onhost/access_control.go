package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// accessControl tells which security module confines the source's server: SELinux, if the kernel has it mounted below
// sys, or else AppArmor.
func accessControl(sys, proc string, plan upgrade.Plan) (precheck.AccessControl, error) {
	var found precheck.AccessControl
	enforce, err := os.ReadFile(filepath.Join(sys, "fs/selinux/enforce"))
	if err == nil {
		found.Module, found.Enforcing = "SELinux", strings.TrimSpace(string(enforce)) == "1"
	} else if enabled, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled")); err == nil && strings.TrimSpace(string(enabled)) == "Y" {
		found.Module = "AppArmor"
	}
	if found.Module == "" {
		return found, nil
	}
	pid, err := postmasterPID(plan.Source.Pgdata)
	if err != nil {
		return found, err
	}
	context, err := os.ReadFile(filepath.Join(proc, pid, "attr/current"))
	if err != nil {
		return found, fmt.Errorf("read how the source's server is confined: %w", err)
	}
	if found.Module == "AppArmor" {
		found.Confines, found.Enforcing = parseProfile(string(context))
		return found, nil
	}
	found.Confines, found.TargetDir = labelType(string(context)), existingDir(plan.Target.Pgdata)
	if found.SourceType, err = fileType(plan.Source.Pgdata); err != nil {
		return found, err
	}
	found.TargetType, err = fileType(found.TargetDir)
	return found, err
}

// parseProfile reads what AppArmor says of a process: "unconfined", or a profile and its mode in parentheses.
func parseProfile(text string) (profile string, enforced bool) {
	text = strings.TrimSpace(strings.TrimRight(text, "\x00"))
	if name, enforced := strings.CutSuffix(text, " (enforce)"); enforced {
		return name, true
	}
	name, _, _ := strings.Cut(text, " (")
	return name, false
}

// labelType is the type in a label of SELinux, such as system_u:object_r:postgresql_db_t:s0.
func labelType(label string) string {
	parts := strings.SplitN(strings.TrimSpace(strings.TrimRight(label, "\x00")), ":", 4)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// fileType is the type of a file's label; a file system without labels has none.
func fileType(path string) (string, error) {
	label := make([]byte, 1024)
	n, err := syscall.Getxattr(path, "security.selinux", label)
	if errors.Is(err, syscall.ENODATA) || errors.Is(err, syscall.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", &fs.PathError{Op: "read the label of", Path: path, Err: err}
	}
	return labelType(string(label[:n])), nil
}
