//go:build !linux

package pgtest

import (
	"os/exec"
	"syscall"
)

// dieWithParent does nothing where the kernel offers nothing: a killed test leaves its servers.
func dieWithParent(*exec.Cmd, syscall.Signal) {}
