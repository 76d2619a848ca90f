package control

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/client"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// slowHost is an engine whose one agent tells what is installed, when it may.
type slowHost struct {
	client.Client
	client.WorkflowRun

	asked int
	tell  chan []upgrade.VersionNum
}

func (h *slowHost) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	h.asked++
	return h, nil
}

func (h *slowHost) Get(_ context.Context, answer any) error {
	*answer.(*[]upgrade.VersionNum) = <-h.tell
	return nil
}

// However many ask what a host has installed, and however often: the engine is asked once every few seconds.
func TestInstallationsAreAskedForOnce(t *testing.T) {
	c := newControl(t)
	synctest.Test(t, func(t *testing.T) {
		h := &slowHost{tell: make(chan []upgrade.VersionNum)}
		c.temporal, c.now = h, time.Now
		gone, leave := context.WithCancel(t.Context())
		left, told := make(chan error), make(chan []upgrade.VersionNum)
		go func() {
			_, err := c.installed(gone, "db1")
			left <- err
		}()
		synctest.Wait()
		const others = 20
		for range others {
			go func() {
				versions, err := c.installed(t.Context(), "db1")
				if err != nil {
					t.Error(err)
				}
				told <- versions
			}()
		}
		synctest.Wait()
		leave()
		if err := <-left; err == nil {
			t.Error("who went away was told")
		}
		h.tell <- []upgrade.VersionNum{170011, 150018}
		for range others {
			if diff := cmp.Diff([]upgrade.VersionNum{150018, 170011}, <-told); diff != "" {
				t.Error(diff)
			}
		}
		for range 3 {
			if _, err := c.installed(t.Context(), "db1"); err != nil {
				t.Error(err)
			}
		}
		if h.asked != 1 {
			t.Errorf("the engine was asked %d times", h.asked)
		}
		<-time.After(installedFor) // of the test's own clock
		go func() { h.tell <- []upgrade.VersionNum{180001} }()
		if versions, err := c.installed(t.Context(), "db1"); err != nil || len(versions) != 1 || h.asked != 2 {
			t.Errorf("later: %v, %v, asked %d times", versions, err, h.asked)
		}
	})
}
