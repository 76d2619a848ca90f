package precheck

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// proof is a test that brings about on a real server what a check looks for, sees the finding, does what the finding
// says, with its SQL as printed where there is some, and sees it gone.
type proof struct {
	test string // with the directory of its package before it, if it is another one
	// instead tells what stands for the real thing where that cannot be had on a machine of tests.
	instead string
}

const (
	complaints = "work/onhost.TestEveryComplaintOfPgUpgradeIsAFinding"
	restarts   = "TestSettingsThatTakeARestart"
	tuned      = "TestServerThatIsTuned"
	lacking    = "work/onhost.TestHostThatLacksSomething"
	planned    = "TestSourceWithOtherPlansAndTargets"
	ownServer  = "TestServerOfSettingsOfItsOwn"
)

// register has the tests of those checks that take a server, a target or a host of their own. Those of all others are
// rows of tables, see tabled.
func register() map[string]proof {
	return map[string]proof{
		"versions":              {test: planned},
		"source-minor":          {test: planned, instead: "13.16 is old enough, where it is installed; a newer minor release cannot be put in its place"},
		"target-minor":          {test: planned, instead: "no minor release that is old enough is to be had any more: the plan's version is made up"},
		"endpoint":              {test: planned},
		"target-place":          {test: lacking},
		"disk-space":            {test: lacking},
		"open-files":            {test: lacking},
		"access-control":        {test: planned, instead: "a kernel has one security module, chosen when it starts, and most have none: the labels are made up; work/onhost.TestAccessControl reads files as kernels have them"},
		"clock":                 {test: planned, instead: "to let the clock of a machine run free harms whoever else works there: the kernel's word is made up; work/onhost.TestClockAdrift asks it"},
		"time-zones":            {test: planned},
		"last-backup":           {test: ownServer},
		"clone-from":            {test: "work/onhost.TestCloneFromStandby"},
		"recovery":              {test: tuned},
		"install-user":          {test: "TestInstallUserThatCannotLogIn"},
		"wal-level":             {test: restarts},
		"replication-slots":     {test: restarts},
		"wal-senders":           {test: restarts},
		"switchback":            {test: restarts},
		"connections":           {test: restarts},
		"prepared-transactions": {test: "TestPreparedTransactionsAreRolledBackInTheirDatabase"},
		"background-extensions": {test: tuned, instead: "pg_cron is not installed everywhere: its library is another one, under its name"},
		"memory":                {test: lacking},
		"huge-pages":            {test: lacking},
		"data-checksums":        {test: tuned},
		"xid-age":               {test: "TestServerNearWraparound", instead: "pg_resetwal uses up the transaction ids"},
		"build":                 {test: planned},
		"extension-scripts":     {test: planned, instead: "a type stands in the script's way"},
		"collation-versions":    {test: planned, instead: "two servers may have different libraries, as Debian's 15 and 17; that the target has the source's is what it is made to say"},
		"configuration":         {test: "TestConfiguration"},
		"configuration-invalid": {test: "TestConfiguration"},
		"source-restart":        {test: "TestSourceThatWouldNotStartAgain"},
		"pending-restart":       {test: "TestSourceThatWouldNotStartAgain"},
		"defaults":              {test: "TestConfiguration"},
		"dependent-units":       {test: "TestDependentUnits", instead: "most machines of tests have no systemd: its word is made up; a program that stands for it is asked in package postmaster"},
		"stranded-files":        {test: "work/onhost.TestStrandedFiles"},
		"isn-passing":           {test: "TestIsnOnATargetOfAnotherWordSize", instead: "programs for words of 32 bits are not installed: the target's server tells another size of words"},
		"lock-table":            {test: ownServer},
		"orphaned-temporary":    {test: ownServer},
		"archiver":              {test: ownServer},
		"lost-counters":         {test: ownServer},
		"index-advisories":      {test: "TestIndexAdvisories", instead: "one minor release of a version is installed: an older one is made up, and the latest"},
		"pg-upgrade":            {test: "work/onhost.TestPrecheckTellsWhatPgUpgradeSays"},
		"target-origins":        {test: complaints},
		"target-empty":          {test: complaints},
		"target-programs":       {test: complaints},
		"transfer-method":       {test: "work/onhost.TestPrecheckTriesTheTransfer"},
		"clean-shutdown":        {test: complaints},
		"pg-upgrade-place":      {test: complaints},
		"pg-upgrade-connection": {test: complaints},
		"schema-rehearsal":      {test: "work/onhost.TestSchemaRehearsal"},
		"not-rehearsed":         {test: "work/onhost.TestPrecheck"},
	}
}

// tabled are the checks that have a row which is violated and mended.
func tabled() map[string]bool {
	checks := map[string]bool{}
	for _, v := range slices.Concat(violations(), lossViolations(), unseenViolations()) {
		if len(v.violate) > 0 {
			checks[v.check.ID] = true
		}
	}
	return checks
}

// A check without a test does not count.
func TestEveryCheckIsProven(t *testing.T) {
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for prefix, pattern := range map[string]string{"": "*_test.go", "work/onhost.": "../work/onhost/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range function.FindAllStringSubmatch(string(text), -1) {
				tests[prefix+name[1]] = true
			}
		}
	}
	proven, known := tabled(), map[string]bool{}
	for _, check := range All() {
		known[check.ID] = true
		if _, registered := register()[check.ID]; !registered && !proven[check.ID] {
			t.Errorf("%s has no test: add a row to a table of violations, or name its test in the register", check.ID)
		}
	}
	for id, proof := range register() {
		if !known[id] {
			t.Errorf("the register has %s, which is no check", id)
		}
		for word := range strings.FieldsSeq(proof.test + " " + proof.instead) {
			if strings.Contains(word, "Test") && !tests[word] {
				t.Errorf("%s: there is no test %s", id, word)
			}
		}
	}
}
