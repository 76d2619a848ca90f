package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Machine is a container whose first process is systemd, see scripts/systemd-container.
type Machine struct {
	root   string
	script string
}

// NewMachine copies a container that "scripts/systemd-container make" has made, and starts the copy.
func NewMachine(ctx context.Context, script, made string) (*Machine, error) {
	if _, err := os.Stat(filepath.Join(made, "etc/pgleap-container")); err != nil {
		return nil, fmt.Errorf("%s is no container, run scripts/systemd-container make: %w", made, err)
	}
	m := &Machine{root: made + ".run", script: script}
	if err := m.Clear(ctx); err != nil { // what an earlier run has left
		return nil, err
	}
	if output, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", made, m.root).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the container: %w\n%s", err, output)
	}
	return m, m.Boot(ctx)
}

// Boot starts it.
func (m *Machine) Boot(ctx context.Context) error { return m.do(ctx, "boot") }

// Stop shuts it down.
func (m *Machine) Stop(ctx context.Context) error { return m.do(ctx, "stop") }

// CutPower ends everything in it at once.
func (m *Machine) CutPower(ctx context.Context) error { return m.do(ctx, "kill") }

// Clear ends it and removes it.
func (m *Machine) Clear(ctx context.Context) error {
	if err := m.CutPower(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(m.root); err != nil {
		return fmt.Errorf("remove the container: %w", err)
	}
	return nil
}

func (m *Machine) do(ctx context.Context, action string) error {
	if output, err := exec.CommandContext(ctx, m.script, action, m.root).CombinedOutput(); err != nil {
		return fmt.Errorf("%s the container: %w\n%s", action, err, Tail(string(output), 20))
	}
	return nil
}

// Run runs a command in it, as root.
func (m *Machine) Run(ctx context.Context, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, m.script, append([]string{"exec", m.root}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	output, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, Tail(string(output), 20), Tail(said.String(), 20))
	}
	return strings.TrimSpace(string(output)), err
}

// Shell runs a script in it.
func (m *Machine) Shell(ctx context.Context, script string) (stdout string, err error) {
	return m.Run(ctx, "bash", "-euc", script)
}

// Query asks a cluster of it, as its superuser.
func (m *Machine) Query(ctx context.Context, port int, query string) (string, error) {
	return m.Run(ctx, "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
		"-h", "127.0.0.1", "-p", fmt.Sprint(port), "-d", "postgres", "-c", query)
}

// JSON runs a command of pgleap that must succeed and reads what it prints; into may be nil.
func (m *Machine) JSON(ctx context.Context, into any, args ...string) error {
	output, err := m.Run(ctx, append([]string{"pgleap"}, append(args, "--output", "json")...)...)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal([]byte(output), into); err != nil {
		return fmt.Errorf("pgleap %s: read what it printed: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Property is what systemd says of a unit, such as its ActiveState.
func (m *Machine) Property(ctx context.Context, unit, property string) (string, error) {
	return m.Run(ctx, "systemctl", "show", "--value", "--property="+property, unit)
}

// AwaitServer waits until pgleap's server takes requests.
func (m *Machine) AwaitServer(ctx context.Context) error {
	return Await(ctx, time.Minute, "pgleap server to be ready", func(ctx context.Context) error {
		return m.JSON(ctx, nil, "instance", "list")
	})
}

// IsTidy tells what has failed in it, if anything.
func (m *Machine) IsTidy(ctx context.Context) error {
	failed, err := m.Run(ctx, "systemctl", "list-units", "--all", "--state=failed", "--plain", "--no-legend")
	if err == nil && failed != "" {
		err = errors.New("failed units: " + failed)
	}
	return err
}
