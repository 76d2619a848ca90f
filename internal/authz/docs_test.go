package authz

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// examples returns the policies of docs/policies.md by the headings above them.
func examples(t *testing.T) (document string, policies map[string]Policy) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	policies = make(map[string]Policy)
	block := regexp.MustCompile("(?s)```json\n(.*?)```")
	for section := range strings.SplitSeq(string(raw), "\n#") {
		heading, body, _ := strings.Cut(strings.TrimLeft(section, "# "), "\n")
		for _, found := range block.FindAllStringSubmatch(body, -1) {
			if policies[heading], err = Parse([]byte(found[1])); err != nil {
				t.Errorf("%s: %v", heading, err)
			}
		}
	}
	return string(raw), policies
}

// The examples that people copy do what is said of them.
func TestDocs(t *testing.T) {
	const (
		orders   = "acs:rds:local:pgleap:dbinstance/orders"
		leftOver = "acs:rds:local:pgleap:dbinstance/orders-old-7"
		billing  = "acs:rds:local:pgleap:dbinstance/billing"
		every    = "acs:rds:local:pgleap:dbinstance/*"
		precheck = "rds:UpgradeDBInstanceMajorVersionPrecheck"
		list     = "rds:DescribeDBInstances"
		listAll  = "rds:instance:listAll"
		update   = "rds:instance:update"
	)
	inside := map[string][]string{"acs:SourceIp": {"10.20.1.1"}, "acs:SecureTransport": {"true"}, "acs:CurrentTime": {"2026-11-30T12:00:00Z"}}
	outside := map[string][]string{"acs:SourceIp": {"10.21.1.1"}, "acs:SecureTransport": {"true"}, "acs:CurrentTime": {"2026-12-01T00:00:00Z"}}
	clear := map[string][]string{"acs:SourceIp": {"2001:db8:20::1"}, "acs:SecureTransport": {"false"}}

	_, policies := examples(t)
	for _, test := range []struct {
		example, action string
		resources       []string
		context         map[string][]string
		want            Decision
	}{
		{"A document", describe, []string{orders}, inside, Allowed},
		{"A document", describe, []string{orders}, outside, ImplicitDeny},
		{"A document", describe, []string{billing}, inside, ImplicitDeny},
		{"Read only", describe, []string{orders}, inside, Allowed},
		{"Read only", listAll, []string{orders}, inside, Allowed},
		{"Read only", precheck, []string{orders}, inside, ImplicitDeny},
		{"Read only", update, []string{orders}, inside, ImplicitDeny},
		{"One instance only", upgrade, []string{orders}, inside, Allowed},
		{"One instance only", switchTo, []string{"*", orders}, inside, Allowed},
		{"One instance only", switchTo, []string{"*", billing}, inside, ImplicitDeny},
		{"One instance only", "rds:DeleteDBInstance", []string{leftOver}, inside, Allowed},
		{"One instance only", list, []string{every}, inside, ImplicitDeny},
		{"Only from a network", upgrade, []string{orders}, inside, Allowed},
		{"Only from a network", upgrade, []string{orders}, outside, ExplicitDeny},
		{"Only from a network", upgrade, []string{orders}, clear, ExplicitDeny},
		{"Deny switchover", upgrade, []string{orders}, inside, Allowed},
		{"Deny switchover", switchTo, []string{"*", orders}, inside, ExplicitDeny},
		{"Deny switchover", update, []string{orders}, inside, ExplicitDeny},
		{"Upgrades until a day", upgrade, []string{orders}, inside, Allowed},
		{"Upgrades until a day", upgrade, []string{orders}, outside, ImplicitDeny},
	} {
		p, there := policies[test.example]
		if !there {
			t.Errorf("there is no example %q", test.example)
		}
		if got := p.Decide(Request{Action: test.action, Resources: test.resources, Context: test.context}); got != test.want {
			t.Errorf("%s: %s on %v from %v: %v, want %v", test.example, test.action, test.resources, test.context, got, test.want)
		}
	}
	if got, want := string(policies["Read only"].Document()), string(ReadOnly().Document()); got != want {
		t.Errorf("the example Read only is %s, and ReadOnly is %s", got, want)
	}
}

func TestDocsNameEveryOperator(t *testing.T) {
	document, _ := examples(t)
	for name := range operators {
		if !strings.Contains(document, "`"+name+"`") {
			t.Errorf("docs/policies.md does not tell of %s", name)
		}
	}
}
