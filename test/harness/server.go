package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a running `pgleap server`.
type Server struct {
	Binary   string
	StateDir string
	Log      string // the file that it writes to

	http    *http.Client
	process *os.Process
	exited  chan struct{}
}

// serverPidFile is ours: it tells a later run which process to end.
const serverPidFile = "pgleap-server.pid"

// StartServer starts the built program and waits until it is ready.
func (w *Workplace) StartServer(ctx context.Context, binary string) (*Server, error) {
	s := &Server{
		Binary: binary, StateDir: filepath.Join(w.Dir, "state"), Log: filepath.Join(w.Logs(), "pgleap.log"),
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	return s, s.Start(ctx)
}

// Start starts the server, again after a Kill or Stop.
func (s *Server) Start(ctx context.Context) error {
	output, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start pgleap server: %w", err)
	}
	defer output.Close()
	_ = os.Remove(filepath.Join(s.StateDir, "address")) // of the one before
	cmd := exec.Command(s.Binary, "server", "--state-dir", s.StateDir, "--listen", "127.0.0.1:0",
		"--postgres-prefix", strings.Join(prefixes(), ","))
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us: we stop it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start pgleap server: %w", err)
	}
	s.process, s.exited = cmd.Process, make(chan struct{})
	exited := s.exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	pid := filepath.Join(filepath.Dir(s.Log), serverPidFile)
	if err := os.WriteFile(pid, []byte(strconv.Itoa(s.process.Pid)+"\n"), 0o644); err != nil {
		return err
	}
	return s.awaitReady(ctx)
}

func (s *Server) awaitReady(ctx context.Context) error {
	err := Await(ctx, time.Minute, "pgleap server to be ready", func(ctx context.Context) error {
		select {
		case <-s.exited:
			return Final(errors.New("it ended at once"))
		default:
		}
		status, body, err := s.Request(ctx, http.MethodGet, "/health", "", "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
	if err != nil {
		log, _ := os.ReadFile(s.Log)
		return fmt.Errorf("%w; its log:\n%s", err, Tail(string(log), 20))
	}
	return nil
}

// Pid is the process id of the server.
func (s *Server) Pid() int { return s.process.Pid }

// Kill ends the server without warning.
func (s *Server) Kill() {
	_ = s.process.Signal(syscall.SIGKILL) // it may have ended
	<-s.exited
}

// Stop asks the server to end, and makes sure that it does.
func (s *Server) Stop(ctx context.Context) error {
	_ = s.process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.exited:
		return nil
	case <-time.After(20 * time.Second):
		_ = s.process.Signal(syscall.SIGQUIT) // its log tells what it was doing
		<-s.exited
	case <-ctx.Done():
		s.Kill()
	}
	return errors.New("pgleap server did not stop within 20 s of SIGTERM")
}

// Result is what a command said.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// CLI runs a command of pgleap.
func (s *Server) CLI(ctx context.Context, args ...string) Result {
	cmd := exec.CommandContext(ctx, s.Binary, append(args[:len(args):len(args)], "--state-dir", s.StateDir)...)
	cmd.Env = environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	result := Result{Stdout: stdout.String(), Stderr: strings.TrimSpace(stderr.String()), Code: cmd.ProcessState.ExitCode()}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		result.Stderr, result.Code = err.Error(), -1
	}
	return result
}

// JSON runs a command of pgleap that must succeed and reads what it prints; into may be nil.
func (s *Server) JSON(ctx context.Context, into any, args ...string) error {
	result := s.CLI(ctx, append(args[:len(args):len(args)], "--output", "json")...)
	command := "pgleap " + strings.Join(args, " ")
	if result.Code != 0 {
		return fmt.Errorf("%s: exit code %d: %s", command, result.Code, result.Stderr)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(strings.NewReader(result.Stdout)).Decode(into); err != nil {
		return fmt.Errorf("%s: read what it printed: %w", command, err)
	}
	return nil
}
