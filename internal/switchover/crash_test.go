package switchover

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
)

// childSetup is the variable with which this program starts itself to die in a switchover.
const childSetup = "PGLEAP_TEST_SWITCHOVER"

// death is where a process dies: at the beginning of a step, or some time after it.
type death struct {
	Setup setup
	Step  string
	After time.Duration
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childSetup); text != "" {
		die(text)
	}
	os.Exit(m.Run())
}

// die switches over, and kills this process where it is told to.
func die(text string) {
	var d death
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		panic(err)
	}
	config := d.Setup.config(slog.New(slog.DiscardHandler))
	kill := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	config.OnStep = func(step string) {
		switch {
		case step != d.Step:
		case d.After > 0:
			time.AfterFunc(d.After, kill)
		default:
			kill()
			select {}
		}
	}
	if _, err := Run(context.Background(), config); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestCrash kills the process that switches over at every step, and at random moments. Whoever finds
// the journal knows what to do: before the commit point clients go on at the source, from it on at
// the target.
func TestCrash(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := lay(t)
	deaths := []death{}
	for _, step := range []string{"pause", "fence", "drain", "sequences", "proof", "snapshots", "commit", "turn", "move", "resume"} {
		deaths = append(deaths, death{Step: step})
	}
	for range 8 {
		deaths = append(deaths, death{Step: "pause", After: 1 + rand.N(60*time.Millisecond)})
	}
	for _, d := range deaths {
		name := d.Step
		if d.After > 0 {
			name += " and " + d.After.Round(time.Millisecond).String()
		}
		t.Run(name, func(t *testing.T) { crash(t, b, d) })
	}
}

func crash(t *testing.T, b *bed, d death) {
	d.Setup = b.setup(t)
	b.dieIn(t, d)
	config := d.Setup.config(slog.New(slog.NewTextHandler(t.Output(), nil)))
	found, err := config.Journal.Read()
	must(t, "read journal", err)
	t.Logf("died at %q", found.Stage)
	if d.After == 0 {
		committed := strings.Contains("turn move resume", d.Step)
		if want := map[bool]Stage{false: StageIntent, true: StageCommitted}[committed]; found.Stage != want {
			t.Errorf("it died at %q, want %q", found.Stage, want)
		}
	}
	if found.Stage == StageNone {
		t.Fatal("it died before it began")
	}
	serves, stage := b.source, StageUndone
	if found.Stage == StageCommitted || found.Stage == StageDone {
		serves, stage = b.target, StageDone
	}
	var both sync.WaitGroup // a guard and an agent that starts again
	for range 2 {
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			outcome, err := Recover(ctx, d.Setup.config(config.Log))
			if err != nil {
				t.Errorf("recover: %v", err)
			}
			if outcome.Switched != (serves == b.target) {
				t.Errorf("recovered: %+v", outcome)
			}
		})
	}
	both.Wait()
	b.wantStage(t, config.Journal, stage)
	b.wantServing(t, serves)
	_, err = Recover(t.Context(), config) // and once more
	must(t, "recover again", err)
	b.wantServing(t, serves)
	if serves == b.target {
		b.back(t, config)
	}
}

// dieIn carries out a switchover in a process of its own, which dies.
func (b *bed) dieIn(t *testing.T, d death) {
	t.Helper()
	program, err := os.Executable()
	must(t, "find this program", err)
	text, err := json.Marshal(d)
	must(t, "write down the setup", err)
	_, err = run.New(slog.New(slog.DiscardHandler)).Run(t.Context(), run.Command{
		Path: program, Env: []string{childSetup + "=" + string(text), "PGLEAP_TEST_VERSIONS=" + os.Getenv("PGLEAP_TEST_VERSIONS")},
	})
	if err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process did not die as meant: %v", err)
	}
}
