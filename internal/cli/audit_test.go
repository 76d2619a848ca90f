package cli

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/control"
)

func TestPrintAudit(t *testing.T) {
	entries := []client.AuditEntry{
		{At: local(10, 2, 0), Who: "access key PGLEAPAAAAAAAAAAAAAA", What: "switchover switch", Object: "orders", RequestId: "R2", Result: "ok"},
		{At: local(10, 1, 0), Who: "dba", What: "create access key", RequestId: "R1", Result: "\"a/b\" cannot be an account's name"},
		{At: local(10, 0, 0), Who: "access key \x1b]0;x\a", What: "aliyun Describe\nTasks", RequestId: "R0", Result: "InvalidAccessKeyId.NotFound"},
	}
	var out bytes.Buffer
	if err := table(&out, auditRows(entries)); err != nil {
		t.Fatal(err)
	}
	golden(t, "audit.txt", out.String())
}

func TestAuditAndCallsAreTwoRecords(t *testing.T) {
	s := startServer(t)
	s.use.RecordCall(control.Call{At: local(10, 0, 0), Who: "access key X", What: "huawei status", Object: "orders", Result: "ok", RequestID: "r"})
	run(t, "instance", "remove", "nosuch")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"audit", "-o", "json"}, "remove instance"},
		{[]string{"audit", "--calls", "-o", "json"}, "huawei status"},
	} {
		got := run(t, test.args...)
		var entries []client.AuditEntry
		if err := json.Unmarshal([]byte(got.stdout), &entries); err != nil || len(entries) != 1 || entries[0].What != test.want {
			t.Errorf("%q: got %s (%v)", test.args, got.stdout, err)
		}
	}
}
