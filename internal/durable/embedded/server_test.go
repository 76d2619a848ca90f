package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/pgleap/pgleap/internal/durable"
	"github.com/pgleap/pgleap/internal/secret"
)

// engine is a running engine for a test, and what a client of it needs.
type engine struct {
	*Server
	cfg Config
	key *secret.Key
}

// configIn is a configuration with keys below dir, as the app makes it.
func configIn(dir string) (Config, *secret.Key, error) {
	keys, err := durable.LoadOrCreateKeys(filepath.Join(dir, "tls"))
	if err != nil {
		return Config{}, nil, err
	}
	key, err := durable.LoadOrCreateKey(filepath.Join(dir, "payload.key"))
	if err != nil {
		return Config{}, nil, err
	}
	return Config{Dir: dir, Keys: keys, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}, key, nil
}

func startEngine(t *testing.T, choose func() (ports, error)) engine {
	t.Helper()
	cfg, key, err := configIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err := start(t.Context(), cfg, choose)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	t.Logf("namespace usable %v after start", time.Since(begin)) // make bench-idle measures it
	return engine{s, cfg, key}
}

func (e engine) dial(t *testing.T) client.Client {
	t.Helper()
	c, err := durable.Dial(t.Context(), durable.Options{
		Address: e.Address(), TLS: e.cfg.Keys.ClientTLS(), Key: e.key, Logger: e.cfg.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func startWorker(t *testing.T, w worker.Worker) {
	t.Helper()
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

func TestNamespaceKeepsFinishedWorkflowsForAWeek(t *testing.T) {
	e := startEngine(t, freePorts)
	got, err := e.dial(t).WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: durable.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	if ttl := got.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(); ttl != 7*24*time.Hour {
		t.Errorf("retention is %v", ttl)
	}
}

func TestEngineFileIsPrivate(t *testing.T) {
	e := startEngine(t, freePorts)
	files, err := filepath.Glob(engineFile(e.cfg.Dir, Version) + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("found engine files %v, error %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %04o", file, mode)
		}
	}
}

func TestEveryPortAsksForOurCertificate(t *testing.T) {
	e := startEngine(t, freePorts)
	foreign, _, err := configIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	anonymous := e.cfg.Keys.ClientTLS()
	anonymous.Certificates = nil
	borrowed := e.cfg.Keys.ClientTLS()
	borrowed.Certificates = foreign.Keys.ClientTLS().Certificates
	clients := map[string]struct {
		creds   credentials.TransportCredentials
		refused bool
	}{
		"in clear":                   {insecure.NewCredentials(), true},
		"TLS without a certificate":  {credentials.NewTLS(anonymous), true},
		"TLS, nothing checked":       {credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}), true},
		"TLS, a foreign certificate": {credentials.NewTLS(borrowed), true},
		"our certificate":            {credentials.NewTLS(e.cfg.Keys.ClientTLS()), false},
	}
	for service, port := range e.ports.byService() {
		for name, c := range clients {
			t.Run(string(service)+"/"+name, func(t *testing.T) {
				err := callHealth(t, address(port), c.creds)
				if refused := status.Code(err) == codes.Unavailable; refused != c.refused {
					t.Errorf("got error %v, want refusal: %v", err, c.refused)
				}
			})
		}
	}
}

// callHealth makes the call that every gRPC server of Temporal answers. It comes as far as a
// server's answer, whatever that is, only over an accepted connection.
func callHealth(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func TestTakenPortsAreChosenAnew(t *testing.T) {
	for _, service := range services() {
		t.Run(service, func(t *testing.T) {
			taken, err := net.Listen("tcp", address(0))
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			calls := 0
			e := startEngine(t, func() (ports, error) {
				p, err := freePorts()
				calls++
				if calls == 1 {
					port := taken.Addr().(*net.TCPAddr).Port
					*map[string]*int{"frontend": &p.frontend, "history": &p.history, "matching": &p.matching}[service] = port
				}
				return p, err
			})
			if calls != 2 {
				t.Errorf("ports were chosen %d times", calls)
			}
			runHello(t, e)
		})
	}
}

func TestPortsThatStayTakenAreAnError(t *testing.T) {
	taken, err := net.Listen("tcp", address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg, _, err := configIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), cfg, func() (ports, error) {
		p, err := freePorts()
		p.history = taken.Addr().(*net.TCPAddr).Port
		return p, err
	})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got error %v", err)
	}
}

func TestStartAgainOnTheSameFile(t *testing.T) {
	e := startEngine(t, freePorts)
	c := e.dial(t)
	w := durable.NewWorker(c, durable.ServerQueue)
	w.RegisterWorkflowWithOptions(awaitSignal, workflow.RegisterOptions{Name: "awaitSignal"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: durable.ServerQueue}, "awaitSignal")
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	c.Close()
	e.Stop()

	s, err := Start(t.Context(), e.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	again := engine{s, e.cfg, e.key}
	c = again.dial(t)
	w = durable.NewWorker(c, durable.ServerQueue)
	w.RegisterWorkflowWithOptions(awaitSignal, workflow.RegisterOptions{Name: "awaitSignal"})
	startWorker(t, w)
	if err := c.SignalWorkflow(t.Context(), run.GetID(), "", "go", "on"); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := c.GetWorkflow(t.Context(), run.GetID(), "").Get(t.Context(), &got); err != nil || got != "on" {
		t.Errorf("got %q, error %v", got, err)
	}
}

func awaitSignal(ctx workflow.Context) (string, error) {
	var got string
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, &got)
	return got, nil
}

func runHello(t *testing.T, e engine) {
	t.Helper()
	c := e.dial(t)
	w := durable.NewWorker(c, durable.ServerQueue)
	w.RegisterWorkflowWithOptions(func(workflow.Context) (string, error) { return "hello", nil },
		workflow.RegisterOptions{Name: "hello"})
	startWorker(t, w)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: durable.ServerQueue}, "hello")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := run.Get(t.Context(), &got); err != nil || got != "hello" {
		t.Errorf("got %q, error %v", got, err)
	}
}

// password goes through every way by which a value gets into a history.
const password = "correct horse battery staple"

func TestNoSecretReachesTheFile(t *testing.T) {
	e := startEngine(t, freePorts)
	c := e.dial(t)
	server := durable.NewWorker(c, durable.ServerQueue)
	server.RegisterWorkflowWithOptions(secretive, workflow.RegisterOptions{Name: "secretive"})
	startWorker(t, server)
	host := durable.NewWorker(c, durable.HostQueue("db1"))
	host.RegisterActivityWithOptions(leaky, activity.RegisterOptions{Name: "leaky"})
	startWorker(t, host)

	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		TaskQueue: durable.ServerQueue, Memo: map[string]any{"note": password},
	}, "secretive", password)
	if err != nil {
		t.Fatal(err)
	}
	update, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: run.GetID(), UpdateName: "change", Args: []any{password}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	var echo string
	if err := update.Get(t.Context(), &echo); err != nil || echo != password {
		t.Errorf("update returned %q, error %v", echo, err)
	}
	answer, err := c.QueryWorkflow(t.Context(), run.GetID(), "", "ask", password)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Get(&echo); err != nil || echo != password {
		t.Errorf("query returned %q, error %v", echo, err)
	}
	if err := c.SignalWorkflow(t.Context(), run.GetID(), "", "go", password); err != nil {
		t.Fatal(err)
	}
	err = run.Get(t.Context(), nil)
	if app, ok := errors.AsType[*temporal.ApplicationError](err); !ok || !strings.Contains(app.Message(), password) {
		t.Errorf("workflow ended with %v, want the failure that holds the password", err)
	}
	e.Stop()
	wantAbsent(t, e.cfg.Dir, password)
}

func wantAbsent(t *testing.T, dir, secret string) {
	t.Helper()
	files, err := filepath.Glob(engineFile(dir, Version) + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("found engine files %v, error %v", files, err)
	}
	seen := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || bytes.Contains(data, []byte("secretive"))
		if i := bytes.Index(data, []byte(secret)); i >= 0 {
			t.Errorf("secret at offset %d of %s, near %q", i, file, data[max(0, i-60):i+60])
		}
	}
	if !seen {
		t.Error("not even the workflow's name was found: the search looks in the wrong place")
	}
}

func secretive(ctx workflow.Context, arg string) error {
	if err := workflow.SetQueryHandler(ctx, "ask", func(s string) (string, error) { return s, nil }); err != nil {
		return err
	}
	if err := workflow.SetUpdateHandler(ctx, "change", func(_ workflow.Context, s string) (string, error) { return s, nil }); err != nil {
		return err
	}
	workflow.SideEffect(ctx, func(workflow.Context) any { return password })
	workflow.GetVersion(ctx, "first change", workflow.DefaultVersion, 1)
	var signal string
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, &signal)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: durable.HostQueue("db1"), StartToCloseTimeout: time.Minute, HeartbeatTimeout: durable.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 2, InitialInterval: time.Millisecond},
	})
	return workflow.ExecuteActivity(ctx, "leaky", arg+signal).Get(ctx, nil)
}

func leaky(ctx context.Context, arg string) (string, error) {
	activity.RecordHeartbeat(ctx, arg)
	if activity.GetInfo(ctx).Attempt > 1 {
		var details string
		if err := activity.GetHeartbeatDetails(ctx, &details); err != nil || details != arg {
			return "", temporal.NewNonRetryableApplicationError("heart-beat details are lost: "+details, "test", err)
		}
	}
	return "", temporal.NewApplicationError("failed with "+arg, "test", password)
}
