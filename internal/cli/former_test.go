package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestFormerClustersAreMentioned(t *testing.T) {
	s := startServer(t)
	s.add(t, "orders")
	s.add(t, "billing")
	bare := run(t, "instance", "list").stdout
	if strings.Contains(bare, "Former") {
		t.Errorf("without former clusters: %s", bare)
	}
	s.keep(t, "orders", 1)
	s.keep(t, "billing", 2)
	if err := s.record.RetireFormerCluster(t.Context(), 2, local(11, 0, 0)); err != nil {
		t.Fatal(err)
	}
	golden(t, "instance_list.txt", run(t, "instance", "list").stdout)
	shown := run(t, "instance", "show", "orders").stdout
	if !strings.Contains(shown, "orders-old-1") || strings.Contains(shown, "billing-old-2") {
		t.Errorf("show has %s", shown)
	}
	var parts struct {
		ID      string
		Formers []struct{ ID string }
	}
	got := run(t, "instance", "show", "orders", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &parts); err != nil || parts.ID != "orders" || len(parts.Formers) != 1 || parts.Formers[0].ID != "orders-old-1" {
		t.Errorf("as JSON: %s (%v)", got.stdout, err)
	}
	for args, want := range map[string]string{"instance show ": "orders billing", "instance retire ": "orders-old-1"} {
		completed := run(t, append([]string{"__complete"}, append(strings.Fields(args), "")...)...)
		for id := range strings.FieldsSeq(want) {
			if !strings.Contains(completed.stdout, id+"\n") || strings.Contains(completed.stdout, "billing-old-2") {
				t.Errorf("%s completes to %s", args, completed.stdout)
			}
		}
	}
}

func TestMaintenanceWindowIsShown(t *testing.T) {
	s := startServer(t)
	s.add(t, "orders")
	if got := run(t, "instance", "show", "orders"); strings.Contains(got.stdout, "window") {
		t.Errorf("without a window: %s", got.stdout)
	}
	got := run(t, "instance", "set", "orders", "--window", "22:00Z-02:00Z")
	if got.code != ExitOK || got.stdout != "The maintenance window of instance orders is 22:00Z-02:00Z.\n" {
		t.Errorf("set: got %+v", got)
	}
	instance, err := s.record.Instance(t.Context(), "orders")
	if err != nil || instance.Window == nil || *instance.Window != (upgrade.Window{Start: 22 * 60, End: 2 * 60}) {
		t.Errorf("recorded: %+v (%v)", instance.Window, err)
	}
	if got := run(t, "instance", "show", "orders"); !strings.Contains(got.stdout, "Maintenance window:  22:00Z-02:00Z\n") {
		t.Errorf("with a window: %s", got.stdout)
	}
}
