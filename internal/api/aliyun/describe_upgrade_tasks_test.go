package aliyun

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// seedUpgrades records upgrades that ended in every way, and a running one.
func seedUpgrades(b *bed) {
	b.addInstance("orders", 150018)
	b.addInstance("quiet", 150018)
	done := b.begin("orders", upgrade.TaskUpgrade, 0, 140017, 15)
	b.enter(done, upgrade.PhaseSynchronizing, 3)
	b.enter(done, upgrade.PhaseSwitchover, 5)
	b.end(done, 9, upgrade.Outcome{Status: upgrade.StatusSucceeded, Switchover: &upgrade.Switchover{
		Switched: true, StartedAt: after(6), EndedAt: after(6).Add(45 * time.Millisecond),
	}})
	cancelled := b.begin("orders", upgrade.TaskUpgrade, 10, 150018, 17)
	b.end(cancelled, 12, upgrade.Outcome{Status: upgrade.StatusCancelled, Reason: "cancelled by the user"})
	failed := b.begin("orders", upgrade.TaskUpgrade, 20, 150018, 16)
	b.tell(failed, 21, `table "public"."a\b" has no replica identity`)
	b.end(failed, 22, upgrade.Outcome{Status: upgrade.StatusFailed, Reason: "the disk is full"})
	b.begin("orders", upgrade.TaskPrecheck, 29, 150018, 17)
	running := b.begin("orders", upgrade.TaskUpgrade, 30, 150018, 17)
	b.enter(running, upgrade.PhaseSynchronizing, 33)
	b.ok(b.record.SetProgress(b.t.Context(), running.Number, upgrade.Progress{
		Phase: upgrade.PhaseSynchronizing, At: after(34), Lag: &upgrade.Lag{Bytes: 1<<20 + 1, ETASeconds: 2.5},
	}))
}

func TestDescribeUpgradeMajorVersionTasks(t *testing.T) {
	const action = "DescribeUpgradeMajorVersionTasks"
	for _, c := range []struct {
		file    string
		options Options
		format  format
	}{
		{"upgrade_tasks.json", Options{}, formatJSON},
		{"upgrade_tasks_documented.json", Options{WireTypes: "documented", DetailNewline: `\n`}, formatJSON},
		{"upgrade_tasks.xml", Options{}, formatXML},
	} {
		t.Run(c.file, func(t *testing.T) {
			b := newBed(t, c.options)
			seedUpgrades(b)
			golden(t, c.file, written(t, action, b.must(action, params{instanceID: "orders"}), c.format))
		})
	}
}

func TestUpgradesAreFiltered(t *testing.T) {
	b := newBed(t, Options{})
	seedUpgrades(b)
	for _, c := range []struct {
		name   string
		params params
		want   string // numbers of the tasks on the page
		total  int
	}{
		{"all, the newest first", params{instanceID: "orders"}, "5 3 2 1", 4},
		{"by version", params{instanceID: "orders", "TargetMajorVersion": "17.0"}, "5 2", 2},
		{"by version without a dot", params{instanceID: "orders", "TargetMajorVersion": "16"}, "3", 1},
		{"by a version that there was none of", params{instanceID: "orders", "TargetMajorVersion": "13"}, "", 0},
		{"by number", params{instanceID: "orders", "TaskId": "2"}, "2", 1},
		{"by number and version", params{instanceID: "orders", "TaskId": "2", "TargetMajorVersion": "17"}, "2", 1},
		{"by a number of another version", params{instanceID: "orders", "TaskId": "2", "TargetMajorVersion": "16"}, "", 0},
		{"by the number of a precheck", params{instanceID: "orders", "TaskId": "4"}, "", 0},
		{"a page past the end", params{instanceID: "orders", "PageNumber": "2"}, "", 4},
		{"the last page there can be", params{instanceID: "orders", "PageNumber": "2147483647", "PageSize": "100"}, "", 4},
		{"an instance without upgrades", params{instanceID: "quiet"}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.must("DescribeUpgradeMajorVersionTasks", c.params).(upgradeTasks)
			var numbers []string
			for _, item := range got.items {
				numbers = append(numbers, strconv.FormatInt(item.id, 10))
			}
			if strings.Join(numbers, " ") != c.want || got.total != c.total {
				t.Errorf("got tasks %v of %d", numbers, got.total)
			}
			if text := string(got.appendJSON(nil)); !strings.Contains(text, `"Items":[`) {
				t.Errorf("got %s", text)
			}
		})
	}
}

func TestUpgradesThatAreNotListed(t *testing.T) {
	b := newBed(t, Options{})
	seedUpgrades(b)
	for _, c := range []refusal{
		{"too small a page", params{instanceID: "orders", "PageSize": "29"}, "Parameters.Invalid", "PageSize"},
		{"too large a page", params{instanceID: "orders", "PageSize": "101"}, "Parameters.Invalid", "PageSize"},
		{"page zero", params{instanceID: "orders", "PageNumber": "0"}, "Parameters.Invalid", "PageNumber"},
		{"a page beyond 31 bits", params{instanceID: "orders", "PageNumber": "2147483648"}, "Parameters.Invalid", "PageNumber"},
		{"task zero", params{instanceID: "orders", "TaskId": "0"}, "Parameters.Invalid", "TaskId"},
		{"a version with two parts", params{instanceID: "orders", "TargetMajorVersion": "9.6"}, "Parameters.Invalid", "TargetMajorVersion"},
		{"an unknown task", params{instanceID: "orders", "TaskId": "99"}, "Request.NotFound", "no task 99"},
		{"a task of another instance", params{instanceID: "quiet", "TaskId": "1"}, "Request.NotFound", "no task 1"},
		{"an unknown instance", params{instanceID: "nosuch"}, "InvalidDBInstanceName.NotFound", "Instance nosuch does not exist"},
		{"an unknown instance and task", params{instanceID: "nosuch", "TaskId": "1"}, "InvalidDBInstanceName.NotFound", "nosuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, message := b.refused("DescribeUpgradeMajorVersionTasks", c.params); code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got %s: %s", code, message)
			}
		})
	}
}
