package run

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a program to run to its end.
type Command struct {
	Path string
	Args []string
	// Env is added to a clean environment (PATH, HOME, LC_ALL=C, TZ). Nothing of pgleap's own
	// environment is inherited: PGHOST and its like must not reach PostgreSQL's programs.
	Env []string
	Dir string
	// As is the user to become. The zero User means: stay who we are.
	As User
	// Transcript is a file that the command line and all output are appended to. Empty: not kept.
	Transcript string
	// OnLine sees every line of output as it comes, standard output and error together.
	// A carriage return ends a line too: that is how PostgreSQL's programs rewrite progress.
	OnLine func(line string)
	// Pidfile, when set, holds the process group while the program runs, so that
	// EndLeftover finds it after a crash of ours.
	Pidfile string
	// Files are inherited by the program, from descriptor 3 on. StartDetached alone gives them.
	Files []*os.File
	// Stdin is given to the program; nil means nothing.
	Stdin io.Reader
	// Grace is how long the program has between SIGTERM and SIGKILL when ctx ends. Default 10 s.
	Grace time.Duration
	// Nice is how far the program, and all that it starts, stands back behind others, see nice(1).
	Nice int
}

// Result is the output of a program that ended well.
type Result struct {
	Stdout string
	Stderr string
}

// Error is a program that could not be started, failed, or was stopped.
type Error struct {
	Program    string
	ExitCode   int    // -1 when it did not exit by itself
	Tail       string // last lines of its output
	Transcript string
	Err        error
}

// Error tells the program, how it ended, its last words, and where the rest is.
func (e *Error) Error() string {
	var b strings.Builder
	if e.ExitCode >= 0 {
		fmt.Fprintf(&b, "%s: exit code %d", e.Program, e.ExitCode)
	} else {
		fmt.Fprintf(&b, "%s: %v", e.Program, e.Err)
	}
	if e.Tail != "" {
		fmt.Fprintf(&b, ": %s", e.Tail)
	}
	if e.Transcript != "" {
		fmt.Fprintf(&b, " (transcript: %s)", e.Transcript)
	}
	return b.String()
}

// Unwrap gives the cause: a context's end among others.
func (e *Error) Unwrap() error { return e.Err }

// Runner starts programs.
type Runner struct {
	log *slog.Logger
}

// New makes a Runner that logs what it starts at debug level.
func New(log *slog.Logger) *Runner { return &Runner{log: log} }

// maxKept bounds the output that is held in memory per stream; the transcript has all of it.
const maxKept = 4 << 20

// Run runs a program to its end and returns what it said. When ctx ends the program's
// process group gets SIGTERM, and SIGKILL after the grace. So does what a program that failed has left of its group, as
// one does that alone was killed; one that has ended well may leave something in the background, whose output is waited
// for as long as the grace.
func (r *Runner) Run(ctx context.Context, c Command) (Result, error) {
	program := filepath.Base(c.Path)
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	prepare(cmd, c)
	var stdout, stderr tail
	kept, err := openTranscript(c)
	if err != nil {
		return Result{}, fmt.Errorf("keep transcript of %s: %w", program, err)
	}
	defer kept.Close() //nolint:errcheck // a transcript that cannot be closed is not a failure of the program
	fmt.Fprintf(kept, "# %s %s\n", c.Path, strings.Join(c.Args, " "))
	lines := &lineWriter{onLine: c.OnLine}
	var mu sync.Mutex
	cmd.Stdout = &sink{mu: &mu, to: []io.Writer{&stdout, kept, lines}}
	cmd.Stderr = &sink{mu: &mu, to: []io.Writer{&stderr, kept, lines}}

	r.log.DebugContext(ctx, "run", "program", c.Path, "args", c.Args, "user", c.As.Name)
	if err := cmd.Start(); err != nil {
		return Result{}, &Error{Program: program, ExitCode: -1, Transcript: c.Transcript, Err: err}
	}
	if err := writePidfile(c.Pidfile, cmd.Process.Pid); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		return Result{}, err
	}
	if c.Nice > 0 { // it matters to nothing but the others' speed
		_ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, c.Nice)
	}
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) { // it exited with 0, see exec.Cmd.Wait
		fmt.Fprintf(kept, "# %s ended; what it left running holds its output, which is not kept any more\n", c.Path)
		err = nil
	}
	lines.flush()
	if err == nil || endGroup(context.WithoutCancel(ctx), cmd.Process.Pid, cmd.WaitDelay) {
		removePidfile(c.Pidfile)
	}
	result := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	if err == nil {
		return result, nil
	}
	failed := &Error{Program: program, ExitCode: -1, Tail: lastWords(stdout.String(), stderr.String()), Transcript: c.Transcript, Err: err}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		failed.ExitCode = exit.ExitCode()
	}
	if ctx.Err() != nil {
		failed.ExitCode, failed.Err = -1, ctx.Err()
	}
	return result, failed
}

// prepare sets what surrounds the program: user, group, environment, end.
func prepare(cmd *exec.Cmd, c Command) {
	home := c.As.Home
	if home == "" {
		home = os.Getenv("HOME")
	}
	cmd.Env = append([]string{
		"PATH=" + filepath.Dir(c.Path) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"HOME=" + home, "LC_ALL=C", "LC_MESSAGES=C", "PGCONNECT_TIMEOUT=10",
	}, c.Env...)
	if c.Pidfile != "" {
		cmd.Env = append(cmd.Env, pidfileVariable+c.Pidfile)
	}
	if tz, ok := os.LookupEnv("TZ"); ok {
		cmd.Env = append(cmd.Env, "TZ="+tz)
	}
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/" // a directory that every user can be in
	}
	cmd.Stdin = c.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential(c.As)}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = c.Grace
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = 10 * time.Second
	}
}

// credential is nil when the program runs as who we are: only root can change that.
func credential(u User) *syscall.Credential {
	if u.Name == "" || u.UID == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: u.Groups} //nolint:gosec // uids are not negative
}

func openTranscript(c Command) (io.WriteCloser, error) {
	if c.Transcript == "" {
		return nopCloser{io.Discard}, nil
	}
	f, err := os.OpenFile(c.Transcript, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// sink copies to several writers under one lock: the two streams of a program share some of them.
type sink struct {
	mu *sync.Mutex
	to []io.Writer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.to {
		if _, err := w.Write(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// tail keeps the last maxKept bytes.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if t.Len()+len(p) > maxKept {
		t.Next(t.Len() + len(p) - maxKept)
	}
	return t.Buffer.Write(p)
}

// lineWriter cuts a stream into lines.
type lineWriter struct {
	onLine func(string)
	rest   []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	if l.onLine == nil {
		return len(p), nil
	}
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexAny(l.rest, "\r\n")
		if end < 0 {
			return len(p), nil
		}
		if line := strings.TrimRight(string(l.rest[:end]), " "); line != "" {
			l.onLine(line)
		}
		l.rest = l.rest[end+1:]
	}
}

func (l *lineWriter) flush() {
	if l.onLine == nil {
		return
	}
	if line := strings.TrimSpace(string(bytes.TrimSpace(l.rest))); line != "" {
		l.onLine(line)
	}
}

// lastWords are why a program failed: what it wrote to standard error, or else to standard output.
func lastWords(stdout, stderr string) string {
	if words := lastLines(stderr, 4); words != "" {
		return words
	}
	return lastLines(stdout, 4)
}

// lastLines joins the last n lines that say something.
func lastLines(out string, n int) string {
	var kept []string
	scanner := bufio.NewScanner(strings.NewReader(out))
	scanner.Buffer(nil, maxKept+1)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) > n {
		kept = kept[len(kept)-n:]
	}
	return strings.Join(kept, " | ")
}
