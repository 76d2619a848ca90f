package pgtest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel signal the program when the thread that started it ends.
func dieWithParent(cmd *exec.Cmd, signal syscall.Signal) { cmd.SysProcAttr.Pdeathsig = signal }
