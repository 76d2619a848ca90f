package report

import (
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// kept are the words that a translation must leave as they are: what stands in backquotes, options, names with an
// underscore, acronyms and words of SQL, and the numbers of versions.
var kept = regexp.MustCompile("`[^`]+`|--[a-z][a-z-]*|\\w*[a-zA-Z0-9]_\\w+|[A-Z]{2,}|\\b1[0-9](?:\\.[0-9]+)?\\b")

func TestEachCheckIsSaidInChinese(t *testing.T) {
	ids := map[string]bool{}
	for _, check := range precheck.All() {
		ids[check.ID] = true
		chinese, ok := chineseChecks[check.ID]
		if !ok {
			t.Errorf("check %s has no Chinese words: add to chineseChecks in internal/report/chinese_checks.go\n"+
				"\t%q: {\n\t\t%q,\n\t\t%q,\n\t\t%q,\n\t},\nin Simplified Chinese, with commands, SQL, settings and versions as they are here",
				check.ID, check.ID, check.Title, check.Why, check.Remedy)
			continue
		}
		for what, text := range map[string][2]string{
			"title":  {check.Title, chinese.title},
			"why":    {check.Why, chinese.why},
			"remedy": {check.Remedy, chinese.remedy},
		} {
			if !strings.ContainsFunc(text[1], isHan) {
				t.Errorf("the %s of check %s is not Chinese in internal/report/chinese_checks.go: %q for %q", what, check.ID, text[1], text[0])
			}
			if what != "title" {
				missing(t, "the "+what+" of check "+check.ID+" in internal/report/chinese_checks.go", text[0], text[1])
			}
			if strings.Contains(text[0], found) {
				t.Errorf("the %s of check %s has %q in it, behind which only notes of objects stand", what, check.ID, found)
			}
		}
	}
	for id := range maps.Keys(chineseChecks) {
		if !ids[id] {
			t.Errorf("there is no check %s any more: take it out of internal/report/chinese_checks.go", id)
		}
	}
}

// missing tells which words of the English text a Chinese one lacks.
func missing(t *testing.T, what, english, chinese string) {
	t.Helper()
	for _, word := range slices.Compact(slices.Sorted(slices.Values(kept.FindAllString(english, -1)))) {
		if !strings.Contains(chinese, word) {
			t.Errorf("%s lacks %q\n%s\n%s", what, word, english, chinese)
		}
	}
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }

func TestSentencesAreThoseThatAreSaid(t *testing.T) {
	said := sources(t)
	for _, s := range chineseSentences {
		// What is joined of literals has them between the verbs.
		parts := verb.Split(s.english, -1)
		unsaid := func(part string) bool { return !strings.Contains(said, part) }
		if !strings.Contains(said, s.english) && slices.ContainsFunc(parts, unsaid) {
			t.Errorf("nobody says %q any more: correct internal/report/chinese_sentences.go", s.english)
		}
		if !strings.ContainsFunc(s.chinese, isHan) {
			t.Errorf("%q is not Chinese", s.chinese)
		}
		english := s.english
		for i := range len(parts) - 1 {
			slot := "{" + strconv.Itoa(i+1) + "}"
			english = strings.Replace(english, verb.FindString(english), slot, 1)
			if strings.Count(s.chinese, slot) != 1 {
				t.Errorf("%q must have %s once, as %q has it", s.chinese, slot, s.english)
			}
		}
		missing(t, "the sentence of internal/report/chinese_sentences.go", english, s.chinese)
	}
}

// sources are those of internal without the tests and without this package.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	tree := os.DirFS("..")
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path, "report/") ||
			!strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSayInChinese(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a sentence", "cancelled by the user", "已由用户取消"},
		{"a reason and a remedy", "the engine does not answer; see the server's log, then try again", "工作流引擎没有响应；请查看服务器日志，然后重试"},
		{
			"names stay", "upgrade 7 of instance orders is running; wait until it has ended, or abandon it: pgleap switchover orders cancel",
			"实例 orders 的任务 7（upgrade）正在运行；请等待其结束，或放弃该升级：pgleap switchover orders cancel",
		},
		{
			"a sentence within one", "no valid report allows the upgrade of instance orders to 17 in mode blue-green. Report 3 has expired: the precheck will tell anew.; " +
				"run a precheck for that version and mode: its report is valid for 7 days, unless what it saw changes",
			"没有有效的报告允许实例 orders 以模式 blue-green 升级到 17。报告 3 已过期：需重新执行升级检查。；请针对该版本和模式执行升级检查：报告有效期为 7 天，除非所检查的内容发生变化",
		},
		{
			"several reasons in one", "no valid report allows the upgrade of instance orders to 17 in mode blue-green. Report 3 is for something else than this upgrade: " +
				"a clone that nobody is moved to; a target in another place. The precheck will tell anew.; run a precheck for that version and mode again by this API, or, " +
				"to accept findings, on the host: pgleap precheck orders --to 17 --mode blue-green",
			"没有有效的报告允许实例 orders 以模式 blue-green 升级到 17。报告 3 针对的不是此次升级，而是：不切换客户端的克隆；位于别处的目标端。需重新执行升级检查。；" +
				"请通过此 API 针对该版本和模式重新执行升级检查；如需接受检查结果，请在主机上执行：pgleap precheck orders --to 17 --mode blue-green",
		},
		{"a known remedy of an unknown reason", "ERROR: no room; see the server's log", "ERROR: no room；请查看服务器日志"},
		{"what PostgreSQL says", "ERROR: permission denied; at line 3", "ERROR: permission denied; at line 3"},
		{"a slot is not filled in twice", "instance {2} runs PostgreSQL 15.4: it cannot be upgraded to 14", "实例 {2} 运行的是 PostgreSQL 15.4，不能升级到 14"},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := SayInChinese(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestLogInChinese(t *testing.T) {
	log := strings.Join([]string{
		"2026-03-01 09:20:00 --- The upgrade begins.",
		"2026-03-01 09:20:00 --- Report 7 passed, and what it saw is unchanged.",
		"2026-03-01 09:20:00 --- This upgrade has accepted what was accepted for report 7: standbys:away, large-objects:shop.",
		`2026-03-01 09:20:01 --- Phase "base backup" begins.`,
		"2026-03-01 09:20:02 --- Pg_upgrade is no sentence of ours --- is it?",
		"2026-03-01 09:20:03 --- pg_upgrade made PostgreSQL 17.2 of the clone.",
		"2026-03-01 09:20:04 --- Both sides were identical when they stood still: 5 tables (12 rows, 1 MiB) in 1.2s.",
		"2026-03-01 09:20:05 --- Switched over: clients paused for 12ms.",
		"2026-03-01 09:20:06 --- The upgrade has ended: cancelled, cancelled by the user.",
		"2026-03-01 09:20:07 --- The upgrade has ended: succeeded.",
		"of another kind",
	}, "\n") + "\n"
	want := strings.Join([]string{
		"2026-03-01 09:20:00 --- 任务（upgrade）开始。",
		"2026-03-01 09:20:00 --- 报告 7 已通过，所检查的内容没有变化。",
		"2026-03-01 09:20:00 --- 此次升级已接受报告 7 所接受的检查结果：standbys:away, large-objects:shop。",
		`2026-03-01 09:20:01 --- 阶段 "base backup" 开始。`,
		"2026-03-01 09:20:02 --- Pg_upgrade is no sentence of ours --- is it?",
		"2026-03-01 09:20:03 --- pg_upgrade 已把克隆升级为 PostgreSQL 17.2。",
		"2026-03-01 09:20:04 --- 两端静止时完全一致：5 个表（12 行，1 MiB），用时 1.2s。",
		"2026-03-01 09:20:05 --- 已切换（over）：客户端暂停了 12ms。",
		"2026-03-01 09:20:06 --- 任务（upgrade）已结束：cancelled，已由用户取消。",
		"2026-03-01 09:20:07 --- 任务（upgrade）已结束：succeeded。",
		"of another kind",
	}, "\n") + "\n"
	if diff := cmp.Diff(want, LogInChinese(log)); diff != "" {
		t.Error(diff)
	}
}

func TestReportInChinese(t *testing.T) {
	english := upgrade.Report{
		Findings: []upgrade.Finding{
			{
				Check: "prepared-transactions", Title: "There are prepared transactions", Objects: []string{"app.'tx1'"}, Total: 1,
				Why: "It lives in pg_twophase.", Remedy: "End it.", RemedySQL: []upgrade.RemedySQL{{Database: "app", SQL: "ROLLBACK PREPARED 'tx1';"}},
			},
			{Check: "radius", Why: "Version 19 has removed it. Found: pg_hba.conf: line 3.", Remedy: "Remove it."},
			{Check: "of-a-later-version", Title: "A title", Why: "A reason.", Remedy: "A remedy."},
		},
		NotChecked: []string{
			"disk-space: open /srv: permission denied", `radius in database "App": there is no scratch cluster of the target version`,
			"database app: not looked into, since it does not allow connections", "something else: odd",
		},
	}
	before := cmp.Diff(english, upgrade.Report{})
	chinese := InChinese(english)
	if cmp.Diff(english, upgrade.Report{}) != before {
		t.Error("the English report was changed")
	}
	prepared, radius := chineseChecks["prepared-transactions"], chineseChecks["radius"]
	want := upgrade.Report{
		Findings: []upgrade.Finding{
			{
				Check: "prepared-transactions", Title: prepared.title, Objects: []string{"app.'tx1'"}, Total: 1,
				Why: prepared.why, Remedy: prepared.remedy, RemedySQL: english.Findings[0].RemedySQL,
			},
			{Check: "radius", Title: radius.title, Why: radius.why + "发现：pg_hba.conf: line 3.", Remedy: radius.remedy},
			english.Findings[2],
		},
		NotChecked: []string{
			"disk-space：open /srv: permission denied", `radius（数据库 "App"）：没有目标版本的临时集群`,
			"数据库 app：未检查，因为该数据库不允许连接", "something else: odd",
		},
	}
	if diff := cmp.Diff(want, chinese); diff != "" {
		t.Error(diff)
	}
}
