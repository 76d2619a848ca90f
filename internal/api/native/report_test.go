package native

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestReportInEveryFormat(t *testing.T) {
	a := start(t)
	if err := a.record.AddInstance(t.Context(), upgrade.Instance{ID: "orders", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	task, err := a.record.CreateTask(t.Context(), upgrade.Task{
		Kind: upgrade.TaskPrecheck, Instance: "orders", Mode: upgrade.ZeroDowntime, Source: 150012, Target: 17, Phase: upgrade.PhasePrecheck,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = a.record.SaveReport(t.Context(), upgrade.Report{
		Number: task.Number, ID: task.ID, Instance: "orders", Mode: upgrade.ZeroDowntime, Source: 150012, Target: 170011, CheckedAt: time.Now(),
		Findings: []upgrade.Finding{{Check: "x", Title: "Tables", Severity: upgrade.Blocker, Objects: []string{`app.public."<script>"`}, Total: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		query, contentType, want string
		status                   int
	}{
		{"", "application/json", `"passed":false`, http.StatusOK},
		{"?format=json", "application/json", `"schema":1`, http.StatusOK},
		{"?format=markdown", "text/markdown", "# Precheck of orders", http.StatusOK},
		{"?format=html", "text/html", "&lt;script&gt;", http.StatusOK},
		{"?format=pdf", "application/problem+json", "choose json, markdown or html", http.StatusBadRequest},
	} {
		answer, body := a.call(t, http.MethodGet, "/api/v1/tasks/1/report"+test.query, "")
		kind := answer.Header.Get("Content-Type")
		if answer.StatusCode != test.status || !strings.HasPrefix(kind, test.contentType) || !strings.Contains(body, test.want) {
			t.Errorf("%q: got %d, %s: %.200s", test.query, answer.StatusCode, kind, body)
		}
	}
}
