package run

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
)

// StartDetached starts a program in a session of its own, which outlives this process.
// Its output goes to the transcript. It returns the pid, which is that of its process group too.
// Files that were not in blocking mode are afterwards (os.File.Fd), in every process that has them.
func (r *Runner) StartDetached(ctx context.Context, c Command) (int, error) {
	program := filepath.Base(c.Path)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.Path, c.Args...)
	prepare(cmd, c)
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid = false, true
	kept, err := openTranscript(c)
	if err != nil {
		return 0, fmt.Errorf("keep transcript of %s: %w", program, err)
	}
	defer kept.Close() //nolint:errcheck // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = kept, kept
	cmd.ExtraFiles = c.Files
	r.log.DebugContext(ctx, "start", "program", c.Path, "args", c.Args, "user", c.As.Name)
	if err := cmd.Start(); err != nil {
		return 0, &Error{Program: program, ExitCode: -1, Transcript: c.Transcript, Err: err}
	}
	pid := cmd.Process.Pid
	err = writePidfile(c.Pidfile, pid)
	if err != nil {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	go func() { _ = cmd.Wait() }() // reap it if it ends before we do
	return pid, errors.Join(err, syscall.Kill(pid, 0))
}
