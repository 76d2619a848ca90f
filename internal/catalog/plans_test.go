package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// question is what clients ask again and again: its answer must come from an index, so that it
// takes no longer in a long record than in a short one.
type question struct {
	name, query string
	args        []any
	index       string // what its name begins with
	sorts       bool   // SQLite sorts what the index found; otherwise it is found in order
}

func questions() []question {
	all := []question{
		{"running tasks", selectRunningTasks, []any{""}, "task_running", false},
		{"running upgrades", selectRunningTasks, []any{upgrade.TaskUpgrade}, "task_running", false},
		{"an instance by its UUID", selectInstanceByUUID, []any{"u7"}, "instance_by_uuid", false},
	}
	for name, f := range map[string]HistoryFilter{
		"history":               {},
		"history from its end":  {OldestFirst: true},
		"history by the end":    {ByEnd: true},
		"prechecks by expiry":   {ByExpiry: true},
		"history of a target":   {Target: 17},
		"prechecks that passed": {PassedAt: time.UnixMicro(1)},
		"a task of the history": {Number: 7},
	} {
		f.Instance, f.Kind = "i7", upgrade.TaskPrecheck
		where, args := f.conditions()
		page, paged := f.page()
		f.Offset = 20
		deep, deeper := f.page()
		index := "task_of_"
		if f.Number != 0 {
			index = "" // its number alone will do
		}
		all = append(all,
			question{name, page, paged, index, f.ByEnd || f.ByExpiry},
			question{"a later page of " + name, deep, deeper, index, f.ByEnd || f.ByExpiry},
			question{"length of " + name, "SELECT count(*)" + where, args, index, false})
	}
	for name, f := range map[string]TaskFilter{
		"tasks of an instance":         {},
		"running tasks of an instance": {Status: upgrade.StatusRunning},
		"upgrades of an instance":      {Kind: upgrade.TaskUpgrade},
	} {
		f.Instance = "i7"
		query, args := f.query()
		all = append(all, question{name, query, args, "task_", f.Kind == ""})
	}
	return all
}

func TestSQLiteAnswersFromIndexes(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	fillRecord(t, c, "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000)")
	for _, q := range questions() {
		t.Run(q.name, func(t *testing.T) {
			plan := planOf(t, c.read, "EXPLAIN QUERY PLAN "+q.query, 3, q.args...)
			sorts := strings.Contains(plan, "TEMP B-TREE")
			if !strings.Contains(plan, "INDEX "+q.index) || strings.Contains(plan, "SCAN task") && q.index != "task_running" || sorts && !q.sorts {
				t.Errorf("%s\n%s", q.query, plan)
			}
		})
	}
}

func TestPostgresAnswersFromIndexes(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	c, err := Open(t.Context(), server.DSN("postgres"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fillRecord(t, c, "WITH s (n) AS (SELECT generate_series(1, 20000))")
	conn, err := c.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// A statement that is asked often may get a plan that does not know its values.
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		execute(t, conn, "SET plan_cache_mode = "+mode)
		for i, q := range questions() {
			t.Run(mode+"/"+q.name, func(t *testing.T) {
				name := fmt.Sprintf("%s%d", mode, i)
				execute(t, conn, "PREPARE "+name+" AS "+q.query)
				plan := planOf(t, conn, "EXPLAIN EXECUTE "+name+literals(t, q.args), 0)
				if !strings.Contains(plan, q.index) || strings.Contains(plan, "Seq Scan") {
					t.Errorf("%s\n%s", q.query, plan)
				}
			})
		}
	}
}

// fillRecord records 20,000 tasks of 500 instances, of which a few run.
func fillRecord(t *testing.T, c *Catalog, numbers string) {
	t.Helper()
	for _, table := range []string{
		`
INSERT INTO instance (id, host, pgdata, cluster, endpoint, created_at, uuid) ` + numbers + `
SELECT 'i' || n, 'db1', '/data/' || n, '{}', '{}', 0, 'u' || n FROM s WHERE n <= 500`, `
INSERT INTO task (` + formerTaskColumns + `) ` + numbers + `
SELECT n, n, CASE WHEN n % 1000 < 500 THEN 'precheck' ELSE 'upgrade' END, 'i' || (n % 500), 'zero-downtime', 150018, 16 + n / 500 % 3,
       CASE WHEN n > 19990 THEN 'running' ELSE 'succeeded' END, '', '', 'null', 'null', 'null', '[]', n, n, '', 'null', 'null' FROM s`, `
INSERT INTO report (number, instance, mode, target, checked_at, body, retired, passed, valid_until) ` + numbers + `
SELECT n, 'i' || (n % 500), 'zero-downtime', 16 + n / 500 % 3, n, '{}', 0, n / 500 % 2, n FROM s WHERE n % 1000 < 500`,
	} {
		execute(t, c.write, strings.TrimSpace(table))
	}
	execute(t, c.write, "ANALYZE")
}

type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func execute(t *testing.T, db executor, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s\n%v", statement, err)
	}
}

// planOf returns what EXPLAIN says, a line for each row. Other columns come before the text.
func planOf(t *testing.T, db asker, query string, others int, args ...any) string {
	t.Helper()
	lines, err := collect(t.Context(), db, func(r row) (line string, err error) {
		into := make([]any, others+1)
		for i := range others {
			into[i] = new(int)
		}
		into[others] = &line
		err = r.Scan(into...)
		return line, err
	}, query, args...)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return strings.Join(lines, "\n")
}

// literals are values as EXECUTE takes them.
func literals(t *testing.T, args []any) string {
	t.Helper()
	texts := make([]string, len(args))
	for i, arg := range args {
		if at, ok := arg.(instant); ok {
			arg = at.at.UnixMicro()
		}
		texts[i] = fmt.Sprintf("'%v'", arg)
	}
	return "(" + strings.Join(texts, ", ") + ")"
}
