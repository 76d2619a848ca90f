package authz

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// dice throws policies and requests that have something to do with each other.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) statement() string {
	condition := ""
	if d.IntN(3) == 0 {
		condition = fmt.Sprintf(`,"Condition":{%q:{%q:[%q,%q]}}`,
			d.one("IpAddress", "NotIpAddress", "StringLike", "StringNotEquals", "ArnLike", "Bool"),
			d.one("acs:SourceIp", "acs:SecureTransport", "acs:Untold", "rds:ResourceTag/env"),
			d.one("10.0.0.0/8", "::1", "prod", "true"), d.one("10.1.*", "192.0.2.7", "false"))
	}
	return fmt.Sprintf(`{"Effect":%q,%q:[%q,%q],"Resource":[%q]%s}`,
		d.one("Allow", "Allow", "Deny"), d.one("Action", "Action", "NotAction"),
		d.one("*", "rds:*", describe, upgrade, "rds:Describe*"), d.one(switchTo, "ecs:*", "rds:*Upgrade*"),
		d.one("*", shop, store, "acs:rds:*:*:dbinstance/s*", "acs:rds:::*", "acs:ecs:::*"), condition)
}

func (d dice) statements() []string {
	s := make([]string, d.IntN(6))
	for i := range s {
		s[i] = d.statement()
	}
	return s
}

func (d dice) request() Request {
	r := Request{Action: d.one(describe, upgrade, switchTo, "rds:DescribeRegions", "rds:instance:update")}
	for range 1 + d.IntN(2) {
		r.Resources = append(r.Resources, d.one("*", shop, store, "acs:rds:local:1001:dbinstance/*"))
	}
	r.Context = map[string][]string{"acs:SourceIp": {d.one("10.1.1.1", "::1", "192.0.2.7", "unreadable")}}
	if d.IntN(2) == 0 {
		r.Context["acs:SecureTransport"] = []string{d.one("true", "false")}
	}
	if d.IntN(2) == 0 {
		r.Context["rds:ResourceTag/env"] = []string{d.one("prod", "test")}
	}
	return r
}

// What statements decide together follows from what each decides alone: any denial wins, else any
// permission. From that follow the rules that people rely on: a Deny that matches cannot be undone,
// another Deny never allows more, another Allow never allows less, and the order is of no account.
func TestDecisionFollowsFromStatements(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	seen := make(map[Decision]int)
	for range 4000 {
		statements, r := d.statements(), d.request()
		want := ImplicitDeny
		for _, s := range statements {
			switch policy(t, s).Decide(r) {
			case ExplicitDeny:
				want = ExplicitDeny
			case Allowed:
				if want != ExplicitDeny {
					want = Allowed
				}
			}
		}
		if got := policy(t, statements...).Decide(r); got != want {
			t.Fatalf("%v of %+v by %v, want %v", got, r, statements, want)
		}
		seen[want]++
	}
	for _, decision := range []Decision{ImplicitDeny, ExplicitDeny, Allowed} {
		if seen[decision] < 400 {
			t.Errorf("only %d times %v: the test has lost its point", seen[decision], decision)
		}
	}
}

func TestOneMoreStatement(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(3, 4))}
	for range 4000 {
		statements, more, r := d.statements(), d.statement(), d.request()
		at := d.IntN(len(statements) + 1)
		before := policy(t, statements...).Decide(r)
		after := policy(t, slices.Insert(slices.Clone(statements), at, more)...).Decide(r)
		one := policy(t, more)
		switch {
		case before == ExplicitDeny && after != ExplicitDeny:
			t.Fatalf("%s undoes a denial of %+v by %v", more, r, statements)
		case one.Decide(r) == ExplicitDeny && after != ExplicitDeny:
			t.Fatalf("%s denies %+v, but not together with %v", more, r, statements)
		case one.statements[0].deny && before != Allowed && after == Allowed:
			t.Fatalf("the Deny %s allows %+v together with %v", more, r, statements)
		case !one.statements[0].deny && before == Allowed && after != Allowed:
			t.Fatalf("the Allow %s takes %+v away from %v", more, r, statements)
		}
	}
}

// FuzzParse feeds it anything: it never panics, and what it accepts is written so that it is
// accepted again, written the same, and decides the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "null", `{}`, `{"Version":"1","Statement":[]}`, `{"Version":"1","Statement":[{}]}`,
		string(FullAccess().Document()), string(ReadOnly().Document()),
		`{"Version":"1","Statement":[{"Effect":"Deny","NotAction":["rds:*","é:\u2028"],"Resource":["acs:rds:::dbinstance/?*"],
		"Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8","::1"]},"Bool":{"acs:SecureTransport":true},"X":{"a:b":1e9}}}]}`,
		`{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}`,
		`{"Version":"1","Version":"1","Statement":[]}`,
		`{"Version":"1","Statement":[{"Effect":"Allow","Action":"\ud800:*","Resource":"acs:rds:a:b:c:d"}]}`,
	} {
		f.Add([]byte(seed), describe, shop, "10.1.1.1")
	}
	f.Fuzz(func(t *testing.T, document []byte, action, resource, value string) {
		p, err := Parse(document)
		if err != nil {
			return
		}
		again, err := Parse(p.Document())
		if err != nil {
			t.Fatalf("%s: %v", p.Document(), err)
		}
		if !bytes.Equal(again.Document(), p.Document()) {
			t.Errorf("%s is written again as %s", p.Document(), again.Document())
		}
		context := map[string][]string{"acs:SourceIp": {value}, "acs:SecureTransport": {"true"}, "a:b": {value}}
		for _, r := range []Request{
			{Action: action, Resources: []string{resource}, Context: context},
			{Action: describe, Resources: []string{"*", resource}, Context: context},
			{Action: action, Resources: []string{shop}},
		} {
			if first, second := p.Decide(r), again.Decide(r); first != second {
				t.Errorf("%+v: %v, and again %v by %s", r, first, second, p.Document())
			}
		}
	})
}
