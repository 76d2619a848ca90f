package authz

import (
	"fmt"
	"strings"
	"testing"
)

// policy parses a document made of these statements.
func policy(t testing.TB, statements ...string) Policy {
	t.Helper()
	p, err := Parse([]byte(`{"Version":"1","Statement":[` + strings.Join(statements, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	describe = "rds:DescribeUpgradeMajorVersionTasks"
	upgrade  = "rds:UpgradeDBInstanceMajorVersion"
	switchTo = "rds:SwitchOverMajorVersionUpgrade"

	shop  = "acs:rds:local:1001:dbinstance/shop"
	store = "acs:rds:local:1001:dbinstance/store"
)

func TestDecide(t *testing.T) {
	const (
		allowAll      = `{"Effect":"Allow","Action":"*","Resource":"*"}`
		allowRead     = `{"Effect":"Allow","Action":"rds:Describe*","Resource":"*"}`
		allowShop     = `{"Effect":"Allow","Action":"rds:*","Resource":"acs:rds:*:*:dbinstance/shop"}`
		denyShop      = `{"Effect":"Deny","Action":"rds:*","Resource":"acs:rds:*:*:dbinstance/shop"}`
		denySwitch    = `{"Effect":"Deny","Action":"rds:SwitchOver*","Resource":"*"}`
		allowNotWrite = `{"Effect":"Allow","NotAction":["rds:Upgrade*","rds:SwitchOver*"],"Resource":"*"}`
		denyNotRead   = `{"Effect":"Deny","NotAction":"rds:Describe*","Resource":"*"}`
	)
	for _, test := range []struct {
		name       string
		statements []string
		action     string
		resources  []string
		want       Decision
	}{
		{"no statement allows nothing", nil, describe, []string{shop}, ImplicitDeny},
		{"what is allowed is allowed", []string{allowRead}, describe, []string{shop}, Allowed},
		{"what is not named is denied", []string{allowRead}, upgrade, []string{shop}, ImplicitDeny},
		{"any Allow suffices", []string{allowRead, allowShop}, upgrade, []string{shop}, Allowed},
		{"one instance only: that one", []string{allowShop}, upgrade, []string{shop}, Allowed},
		{"one instance only: not another", []string{allowShop}, upgrade, []string{store}, ImplicitDeny},
		{"Deny wins after Allow", []string{allowAll, denyShop}, describe, []string{shop}, ExplicitDeny},
		{"Deny wins before Allow", []string{denyShop, allowAll}, describe, []string{shop}, ExplicitDeny},
		{"Deny of one leaves the others", []string{denyShop, allowAll}, describe, []string{store}, Allowed},
		{"Deny of an action leaves the others", []string{allowAll, denySwitch}, upgrade, []string{shop}, Allowed},
		{"Deny without any Allow is explicit", []string{denySwitch}, switchTo, []string{"*"}, ExplicitDeny},
		{"NotAction allows what it does not name", []string{allowNotWrite}, describe, []string{shop}, Allowed},
		{"NotAction does not allow what it names", []string{allowNotWrite}, switchTo, []string{"*"}, ImplicitDeny},
		{"NotAction denies what it does not name", []string{allowAll, denyNotRead}, upgrade, []string{shop}, ExplicitDeny},
		{"NotAction does not deny what it names", []string{allowAll, denyNotRead}, describe, []string{shop}, Allowed},
		{"any name of the object may be allowed", []string{allowShop}, switchTo, []string{"*", shop}, Allowed},
		{"any name of the object may be denied", []string{allowAll, denyShop}, switchTo, []string{"*", shop}, ExplicitDeny},
		{"an operation without object is not one on an instance", []string{allowShop}, switchTo, []string{"*"}, ImplicitDeny},
		{"what is longer than any name is denied", []string{allowAll}, describe, []string{shop + strings.Repeat("x", 1024)}, ImplicitDeny},
		{"a request for nothing is denied", []string{allowAll}, describe, nil, ImplicitDeny},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := policy(t, test.statements...).Decide(Request{Action: test.action, Resources: test.resources})
			if got != test.want {
				t.Errorf("%s on %v: %v, want %v", test.action, test.resources, got, test.want)
			}
		})
	}
}

func TestActions(t *testing.T) {
	for _, test := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", describe, true},
		{"rds:*", describe, true},
		{"rds:*", "rds:instance:update", true},
		{"rds:*", "ecs:DescribeInstances", false},
		{"*:*", describe, true},
		{"rds:Describe*", describe, true},
		{"rds:Describe*", upgrade, false},
		{"RDS:describeupgrademajorversiontasks", describe, true},
		{"rds:DescribeUpgradeMajorVersionTask?", describe, true},
		{"rds:DescribeUpgradeMajorVersionTasks?", describe, false},
		{"rds:DescribeUpgradeMajorVersion", describe, false},
		{"rds:instance:list*", "rds:instance:listAll", true},
	} {
		p := policy(t, fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":"*"}`, test.pattern))
		got := p.Decide(Request{Action: test.action, Resources: []string{shop}}) == Allowed
		if got != test.want {
			t.Errorf("%s allows %s: %t, want %t", test.pattern, test.action, got, test.want)
		}
	}
}

func TestResources(t *testing.T) {
	for _, test := range []struct {
		pattern, resource string
		want              bool
	}{
		{"*", shop, true},
		{"*", "*", true},
		{"acs:rds:*:*:*", shop, true},
		{"acs:rds:*:*:*", "*", false},
		{"acs:*:*:*:*", shop, true},
		{"acs:ecs:*:*:*", shop, false},
		{shop, shop, true},
		{shop, store, false},
		{"acs:rds:::dbinstance/shop", shop, true},
		{"acs:rds:local::dbinstance/shop", shop, true},
		{"acs:rds:cn-hangzhou::dbinstance/shop", shop, false},
		{"acs:rds:*:1002:dbinstance/shop", shop, false},
		{"acs:rds:*:100?:dbinstance/s*", store, true},
		{"acs:rds:*:*:dbinstance/sh?p", shop, true},
		{"acs:rds:*:*:dbinstance/Shop", shop, false},
		{"acs:rds:*:*:dbinstance", shop, false},
		{"acs:rds:*:*:dbinstance/shop", "acs:rds:local:1001:dbinstance/*", false},
		{"acs:rds:*:*:dbinstance/*", "acs:rds:local:1001:dbinstance/*", true},
		// A wildcard stays within its part, but for the last, which may have colons.
		{"acs:rds:*:dbinstance/shop", "", false},
		{"acs:rds:*:*:dbinstance/a*c", "acs:rds:local:1001:dbinstance/a:b:c", true},
		{"acs:rds:*:*:x", "acs:rds:local:1001:y:x", false},
	} {
		p, err := Parse(fmt.Appendf(nil, `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":%q}]}`, test.pattern))
		if test.resource == "" {
			if err == nil {
				t.Errorf("%s is accepted, want an error: it has too few parts", test.pattern)
			}
			continue
		}
		if err != nil {
			t.Error(err)
		}
		if got := p.Decide(Request{Action: describe, Resources: []string{test.resource}}) == Allowed; got != test.want {
			t.Errorf("%s is for %s: %t, want %t", test.pattern, test.resource, got, test.want)
		}
	}
}

func TestBuiltInPolicies(t *testing.T) {
	for _, test := range []struct {
		action     string
		full, read Decision
	}{
		{"rds:DescribeUpgradeMajorVersionPrecheckTask", Allowed, Allowed},
		{"rds:DescribeUpgradeMajorVersionTasks", Allowed, Allowed},
		{"rds:DescribeDBInstances", Allowed, Allowed},
		{"rds:DescribeRegions", Allowed, Allowed},
		{"rds:instance:list", Allowed, Allowed},
		{"rds:instance:listAll", Allowed, Allowed},
		{"rds:UpgradeDBInstanceMajorVersionPrecheck", Allowed, ImplicitDeny},
		{"rds:UpgradeDBInstanceMajorVersion", Allowed, ImplicitDeny},
		{"rds:SwitchOverMajorVersionUpgrade", Allowed, ImplicitDeny},
		{"rds:ModifyDBInstanceMaintainTime", Allowed, ImplicitDeny},
		{"rds:DeleteDBInstance", Allowed, ImplicitDeny},
		{"rds:instance:update", Allowed, ImplicitDeny},
		{"rds:instance:modify", Allowed, ImplicitDeny},
	} {
		for _, resource := range []string{"*", shop} {
			r := Request{Action: test.action, Resources: []string{resource}}
			if got := FullAccess().Decide(r); got != test.full {
				t.Errorf("full access: %s on %s: %v, want %v", test.action, resource, got, test.full)
			}
			if got := ReadOnly().Decide(r); got != test.read {
				t.Errorf("read only: %s on %s: %v, want %v", test.action, resource, got, test.read)
			}
			if got := (Policy{}).Decide(r); got != ImplicitDeny {
				t.Errorf("no policy: %s on %s: %v, want %v", test.action, resource, got, ImplicitDeny)
			}
		}
	}
}

// The API shows these texts as NoPermissionType.
func TestDecisionString(t *testing.T) {
	for decision, want := range map[Decision]string{
		Allowed: "Allowed", ImplicitDeny: "ImplicitDeny", ExplicitDeny: "ExplicitDeny", Decision(99): "ImplicitDeny",
	} {
		if got := decision.String(); got != want {
			t.Errorf("decision %d is %q, want %q", decision, got, want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	statements := []string{`{"Effect":"Deny","Action":"rds:Delete*","Resource":"*"}`}
	for i := range 20 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["rds:Describe*","rds:Upgrade*"],
			"Resource":"acs:rds:*:*:dbinstance/shop-%d","Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}}`, i))
	}
	p := policy(b, statements...)
	r := Request{
		Action: describe, Resources: []string{"acs:rds:local:1001:dbinstance/shop-19"},
		Context: map[string][]string{"acs:SourceIp": {"10.1.2.3"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if p.Decide(r) != Allowed {
			b.Fatal("denied")
		}
	}
}
