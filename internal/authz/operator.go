package authz

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is how a condition compares. A negated operator reads as its opposite does.
type operator struct {
	read    reader
	negated bool
}

// reader makes the test for one value of a policy, or is not ok when it cannot read the value.
type reader func(value string) (t test, ok bool)

// test compares a value of the request with one value of the policy. It is not ok when it cannot
// read the request's value.
type test func(value string) (matches, ok bool)

// operators are those of RAM, by their names.
var operators = map[string]operator{
	"StringEquals":              {read: text(equal)},
	"StringNotEquals":           {read: text(equal), negated: true},
	"StringEqualsIgnoreCase":    {read: text(strings.EqualFold)},
	"StringNotEqualsIgnoreCase": {read: text(strings.EqualFold), negated: true},
	"StringLike":                {read: text(like)},
	"StringNotLike":             {read: text(like), negated: true},

	"NumericEquals":            {read: number(same)},
	"NumericNotEquals":         {read: number(same), negated: true},
	"NumericLessThan":          {read: number(less)},
	"NumericLessThanEquals":    {read: number(notMore)},
	"NumericGreaterThan":       {read: number(more)},
	"NumericGreaterThanEquals": {read: number(notLess)},

	"DateEquals":            {read: date(same)},
	"DateNotEquals":         {read: date(same), negated: true},
	"DateLessThan":          {read: date(less)},
	"DateLessThanEquals":    {read: date(notMore)},
	"DateGreaterThan":       {read: date(more)},
	"DateGreaterThanEquals": {read: date(notLess)},

	"Bool":         {read: boolean},
	"IpAddress":    {read: network},
	"NotIpAddress": {read: network, negated: true},
}

// What the order of the request's value to the policy's, as of cmp.Compare, may be.
func same(order int) bool    { return order == 0 }
func less(order int) bool    { return order < 0 }
func notMore(order int) bool { return order <= 0 }
func more(order int) bool    { return order > 0 }
func notLess(order int) bool { return order >= 0 }

func equal(want, got string) bool { return want == got }

// text reads values that are compared as they are written.
func text(matches func(want, got string) bool) reader {
	return func(want string) (test, bool) {
		return func(got string) (bool, bool) { return matches(want, got), true }, true
	}
}

// number reads decimal numbers, in double precision.
func number(holds func(order int) bool) reader {
	return ordered(func(value string) (float64, bool) {
		n, err := strconv.ParseFloat(value, 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}, cmp.Compare, holds)
}

// date reads points in time as RFC 3339 has them: 2026-03-01T00:00:00Z or with an offset.
func date(holds func(order int) bool) reader {
	return ordered(func(value string) (time.Time, bool) {
		at, err := time.Parse(time.RFC3339, value)
		return at, err == nil
	}, time.Time.Compare, holds)
}

// boolean reads true and false, in any case of letters.
func boolean(value string) (test, bool) {
	return ordered(func(value string) (int, bool) {
		value = strings.ToLower(value)
		if value == "true" {
			return 1, true
		}
		return 0, value == "false"
	}, cmp.Compare, same)(value)
}

// ordered reads values that have an order.
func ordered[T any](parse func(string) (T, bool), compare func(T, T) int, holds func(order int) bool) reader {
	return func(value string) (test, bool) {
		want, ok := parse(value)
		return func(value string) (bool, bool) {
			got, ok := parse(value)
			return ok && holds(compare(got, want)), ok
		}, ok
	}
}

// network reads an address or a network in CIDR form, of IPv4 or IPv6. A client that speaks IPv4
// through an IPv6 socket counts as IPv4.
func network(value string) (test, bool) {
	want, ok := parseNetwork(value)
	return func(value string) (bool, bool) {
		got, err := netip.ParseAddr(value)
		return err == nil && want.Contains(got.Unmap().WithZone("")), err == nil
	}, ok
}

func parseNetwork(value string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		single, err := netip.ParseAddr(value)
		if err != nil || single.Zone() != "" {
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(single, single.BitLen())
	}
	if !prefix.Addr().Is4In6() {
		return prefix, true
	}
	// ::ffff:10.0.0.0/104 is 10.0.0.0/8. A wider one has more in it than IPv4 addresses.
	prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	return prefix, prefix.IsValid()
}
