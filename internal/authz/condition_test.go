package authz

import (
	"fmt"
	"testing"
)

// A condition that does not hold takes neither from an Allow nor from a Deny; one that cannot be
// evaluated takes from the Allow and leaves the Deny. So both effects tell the outcome.
func TestConditions(t *testing.T) {
	values := func(v ...string) []string { return v }
	for _, test := range []struct {
		operator string
		policy   string // JSON
		request  []string
		want     truth
	}{
		{"StringEquals", `"blue"`, values("blue"), yes},
		{"StringEquals", `"blue"`, values("Blue"), no},
		{"StringEquals", `["red","blue"]`, values("blue"), yes},
		{"StringEquals", `"b*"`, values("blue"), no},
		{"StringEquals", `"blue"`, values("red", "blue"), yes},
		{"StringEquals", `""`, values(""), yes},
		{"StringNotEquals", `"blue"`, values("red"), yes},
		{"StringNotEquals", `"blue"`, values("blue"), no},
		{"StringNotEquals", `["red","blue"]`, values("blue"), no},
		{"StringNotEquals", `"blue"`, values("red", "blue"), no},
		{"StringEqualsIgnoreCase", `"blue"`, values("BLUE"), yes},
		{"StringEqualsIgnoreCase", `"blue"`, values("red"), no},
		{"StringNotEqualsIgnoreCase", `"blue"`, values("BLUE"), no},
		{"StringNotEqualsIgnoreCase", `"blue"`, values("red"), yes},
		{"StringLike", `"b*e"`, values("blue"), yes},
		{"StringLike", `"bl?e"`, values("blüe"), yes},
		{"StringLike", `"bl?e"`, values("bluee"), no},
		{"StringLike", `"B*"`, values("blue"), no},
		{"StringNotLike", `["b*","r*"]`, values("red"), no},
		{"StringNotLike", `["b*","r*"]`, values("green"), yes},

		{"NumericEquals", `10`, values("10.0"), yes},
		{"NumericEquals", `"10"`, values("11"), no},
		{"NumericNotEquals", `["10","11"]`, values("11"), no},
		{"NumericNotEquals", `["10","11"]`, values("12"), yes},
		{"NumericLessThan", `10`, values("9.5"), yes},
		{"NumericLessThan", `10`, values("10"), no},
		{"NumericLessThanEquals", `10`, values("10"), yes},
		{"NumericLessThanEquals", `10`, values("10.5"), no},
		{"NumericGreaterThan", `-1`, values("0"), yes},
		{"NumericGreaterThan", `10`, values("9"), no},
		{"NumericGreaterThanEquals", `1e3`, values("1000"), yes},
		{"NumericGreaterThanEquals", `10`, values("9"), no},
		{"NumericEquals", `"ten"`, values("10"), unknown},
		{"NumericEquals", `10`, values("ten"), unknown},
		{"NumericEquals", `10`, values("NaN"), unknown},
		{"NumericNotEquals", `"NaN"`, values("10"), unknown},
		{"NumericLessThan", `"Inf"`, values("10"), unknown},
		{"NumericLessThan", `1e999`, values("10"), unknown},

		{"DateEquals", `"2026-03-01T00:00:00Z"`, values("2026-03-01T08:00:00+08:00"), yes},
		{"DateEquals", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:01Z"), no},
		{"DateNotEquals", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:01Z"), yes},
		{"DateNotEquals", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:00Z"), no},
		{"DateLessThan", `"2026-03-01T00:00:00Z"`, values("2026-02-28T23:59:59.999Z"), yes},
		{"DateLessThan", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:00Z"), no},
		{"DateLessThanEquals", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:00Z"), yes},
		{"DateLessThanEquals", `"2026-03-01T00:00:00Z"`, values("2027-03-01T00:00:00Z"), no},
		{"DateGreaterThan", `"2026-03-01T00:00:00Z"`, values("2026-03-01T00:00:01Z"), yes},
		{"DateGreaterThan", `"2026-03-01T00:00:00Z"`, values("2025-03-01T00:00:01Z"), no},
		{"DateGreaterThanEquals", `"2026-03-01T00:00:00+08:00"`, values("2026-02-28T16:00:00Z"), yes},
		{"DateGreaterThanEquals", `"2026-03-01T00:00:00Z"`, values("2026-02-28T16:00:00Z"), no},
		{"DateLessThan", `"tomorrow"`, values("2026-03-01T00:00:00Z"), unknown},
		{"DateLessThan", `"2026-03-01"`, values("2026-02-01T00:00:00Z"), unknown},
		{"DateLessThan", `"2026-03-01T00:00:00Z"`, values("1770000000"), unknown},

		{"Bool", `"true"`, values("true"), yes},
		{"Bool", `true`, values("true"), yes},
		{"Bool", `"True"`, values("true"), yes},
		{"Bool", `"true"`, values("false"), no},
		{"Bool", `false`, values("false"), yes},
		{"Bool", `"yes"`, values("true"), unknown},
		{"Bool", `"true"`, values("1"), unknown},

		{"IpAddress", `"10.0.0.0/8"`, values("10.1.2.3"), yes},
		{"IpAddress", `"10.1.2.3/8"`, values("10.9.9.9"), yes},
		{"IpAddress", `"10.0.0.0/8"`, values("11.1.2.3"), no},
		{"IpAddress", `["192.0.2.7","10.0.0.0/8"]`, values("192.0.2.7"), yes},
		{"IpAddress", `"192.0.2.7"`, values("192.0.2.8"), no},
		{"IpAddress", `"2001:db8::/32"`, values("2001:db8:1::1"), yes},
		{"IpAddress", `"2001:db8::/32"`, values("2001:db9::1"), no},
		{"IpAddress", `"fe80::/10"`, values("fe80::1%eth0"), yes},
		{"IpAddress", `"::1"`, values("0:0:0:0:0:0:0:1"), yes},
		{"IpAddress", `"10.0.0.0/8"`, values("::ffff:10.1.2.3"), yes},
		{"IpAddress", `"::ffff:10.0.0.0/104"`, values("10.1.2.3"), yes},
		{"IpAddress", `"::ffff:10.1.2.3"`, values("10.1.2.3"), yes},
		{"IpAddress", `"::ffff:0:0/90"`, values("10.1.2.3"), unknown},
		{"IpAddress", `"0.0.0.0/0"`, values("198.51.100.1"), yes},
		{"IpAddress", `"0.0.0.0/0"`, values("2001:db8::1"), no},
		{"IpAddress", `"::/0"`, values("198.51.100.1"), no},
		{"NotIpAddress", `["10.0.0.0/8","192.168.0.0/16"]`, values("192.168.1.1"), no},
		{"NotIpAddress", `["10.0.0.0/8","192.168.0.0/16"]`, values("198.51.100.1"), yes},
		{"IpAddress", `"10.0.0.0/33"`, values("10.1.2.3"), unknown},
		{"IpAddress", `["10.0.0.0/8","typing error"]`, values("10.1.2.3"), unknown},
		{"NotIpAddress", `"10.0.0/8"`, values("11.1.2.3"), unknown},
		{"IpAddress", `"fe80::1%eth0"`, values("fe80::1"), unknown},
		{"IpAddress", `"10.0.0.0/8"`, values("10.1.2.3:55102"), unknown},
		{"NotIpAddress", `"10.0.0.0/8"`, values(""), unknown},
		{"NotIpAddress", `"10.0.0.0/8"`, values("11.1.2.3", "@"), unknown},

		// What the request does not tell.
		{"StringEquals", `"blue"`, nil, unknown},
		{"StringNotEquals", `"blue"`, nil, unknown},
		{"NotIpAddress", `"10.0.0.0/8"`, values(), unknown},

		// Operators that are not RAM's, or not as RAM writes them.
		{"ArnLike", `"blue"`, values("blue"), unknown},
		{"stringequals", `"blue"`, values("blue"), unknown},
		{"StringEqualsIfExists", `"blue"`, values("blue"), unknown},
		{"NotBool", `"true"`, values("true"), unknown},
		{"Numeric", `1`, values("1"), unknown},
		{"", `"blue"`, values("blue"), unknown},
	} {
		t.Run(fmt.Sprintf("%s %s of %v", test.operator, test.policy, test.request), func(t *testing.T) {
			statement := `{"Effect":%q,"Action":"*","Resource":"*","Condition":{%q:{"acs:Key":` + test.policy + `}}}`
			r := Request{Action: describe, Resources: []string{shop}, Context: map[string][]string{"acs:Key": test.request}}
			if test.request == nil {
				r.Context = nil
			}
			allow := policy(t, fmt.Sprintf(statement, "Allow", test.operator))
			deny := policy(t, fmt.Sprintf(statement, "Deny", test.operator))
			if got, want := allow.Decide(r) == Allowed, test.want == yes; got != want {
				t.Errorf("an Allow matches: %t, want %t", got, want)
			}
			if got, want := deny.Decide(r) == ExplicitDeny, test.want != no; got != want {
				t.Errorf("a Deny matches: %t, want %t", got, want)
			}
		})
	}
}

// Conditions of one statement are joined by and; an operator may have several keys.
func TestConditionsTogether(t *testing.T) {
	const (
		inside  = `"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}`
		secure  = `"Bool":{"acs:SecureTransport":"true"}`
		foreign = `"ArnLike":{"acs:SourceIp":"10.*"}`
		two     = `"StringEquals":{"acs:PrincipalARN":"a","acs:Other":"b"}`
	)
	context := func(pairs ...string) map[string][]string {
		c := make(map[string][]string)
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i]] = []string{pairs[i+1]}
		}
		return c
	}
	for _, test := range []struct {
		name      string
		condition string
		context   map[string][]string
		want      truth
	}{
		{"none", "", nil, yes},
		{"both hold", inside + "," + secure, context("acs:SourceIp", "10.1.1.1", "acs:SecureTransport", "true"), yes},
		{"the first does not", inside + "," + secure, context("acs:SourceIp", "11.1.1.1", "acs:SecureTransport", "true"), no},
		{"the second does not", inside + "," + secure, context("acs:SourceIp", "10.1.1.1", "acs:SecureTransport", "false"), no},
		{"both keys hold", two, context("acs:PrincipalARN", "a", "acs:Other", "b"), yes},
		{"one of two keys does not", two, context("acs:PrincipalARN", "a", "acs:Other", "c"), no},
		{"one cannot be evaluated", inside + "," + foreign, context("acs:SourceIp", "10.1.1.1"), unknown},
		{"one cannot be evaluated, the other does not hold", inside + "," + foreign, context("acs:SourceIp", "11.1.1.1"), unknown},
		{"a key is written wrongly", `"IpAddress":{"acs:sourceip":"10.0.0.0/8"}`, context("acs:SourceIp", "11.1.1.1"), unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policy(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+test.condition+`}}`)
			if got := p.statements[0].holds(test.context); got != test.want {
				t.Errorf("outcome %d, want %d", got, test.want)
			}
		})
	}
}

// That an object does not have a tag is an answer, not a question left open.
func TestTags(t *testing.T) {
	tagged := map[string][]string{"rds:ResourceTag/env": {"prod"}, "acs:ResourceTag/env": {"prod"}}
	for _, key := range []string{"rds:ResourceTag/env", "acs:ResourceTag/env"} {
		for _, test := range []struct {
			operator string
			context  map[string][]string
			want     truth
		}{
			{"StringEquals", tagged, yes},
			{"StringEquals", nil, no},
			{"StringNotEquals", tagged, no},
			{"StringNotEquals", nil, yes},
		} {
			if got := newCondition(test.operator, key, []string{"prod"}).holds(test.context); got != test.want {
				t.Errorf("%s %s prod with tags %v: %d, want %d", test.operator, key, test.context, got, test.want)
			}
		}
	}
}

// The operators are those of the vendor's documentation, no more and no fewer.
func TestOperators(t *testing.T) {
	want := []string{
		"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
		"Bool", "IpAddress", "NotIpAddress",
	}
	for _, name := range want {
		if _, known := operators[name]; !known {
			t.Errorf("%s is missing", name)
		}
	}
	if len(operators) != len(want) {
		t.Errorf("there are %d operators, want %d", len(operators), len(want))
	}
}
