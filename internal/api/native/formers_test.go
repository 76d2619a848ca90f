package native

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestFormerClusters(t *testing.T) {
	a := start(t)
	task := a.add(t, "orders")
	cluster := upgrade.Cluster{Host: "db1", Version: 150012, Pgdata: "/srv/15", Port: 5432}
	err := a.record.AddFormerCluster(t.Context(), catalog.FormerCluster{
		Number: task.Number, Instance: "orders", Cluster: cluster, Since: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	response, text := a.call(t, "GET", "/api/v1/formers", "")
	var all []Former
	if err := json.Unmarshal([]byte(text), &all); err != nil || response.StatusCode != 200 || len(all) != 1 {
		t.Fatalf("got %s: %s (%v)", response.Status, text, err)
	}
	if f := all[0]; f.Id != "orders-old-1" || f.Instance != "orders" || f.Number != 1 || f.Cluster != cluster || f.Since.IsZero() || f.RetiredAt != nil {
		t.Errorf("got %+v", f)
	}
	if response, text = a.call(t, "POST", "/api/v1/formers/orders-old-1/retire", ""); response.StatusCode != 409 || !strings.Contains(text, "has not ended") {
		t.Errorf("retired while its upgrade runs: %s: %s", response.Status, text)
	}
	if err := a.record.RetireFormerCluster(t.Context(), task.Number, time.Now()); err != nil {
		t.Fatal(err)
	}
	if response, text = a.call(t, "POST", "/api/v1/formers/orders-old-1/retire", ""); response.StatusCode != 409 || !strings.Contains(text, "was retired already") {
		t.Errorf("retired twice: %s: %s", response.Status, text)
	}
	if _, text = a.call(t, "GET", "/api/v1/formers/orders-old-1", ""); !strings.Contains(text, `"retiredAt":"`) {
		t.Errorf("a retired one is %s", text)
	}
}
