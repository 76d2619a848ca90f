package authz

import "strings"

// truth is the outcome of a condition. The least certain outcome comes first: the least of several
// is that of all together.
type truth int

const (
	unknown truth = iota // it cannot be evaluated
	no
	yes
)

// condition is one key under one operator.
type condition struct {
	key     string
	tests   []test // one per value; nil when the operator is unknown or a value cannot be read
	negated bool
}

// newCondition makes a condition. An operator that is unknown or a value that cannot be read is no
// error here: the condition is then one that cannot be evaluated.
func newCondition(name, key string, values []string) condition {
	operator, known := operators[name]
	c := condition{key: key, negated: operator.negated}
	if !known {
		return c
	}
	tests := make([]test, len(values))
	for i, value := range values {
		t, ok := operator.read(value)
		if !ok {
			return c
		}
		tests[i] = t
	}
	c.tests = tests
	return c
}

// holds compares every value of the request with every value of the policy: any pair must match,
// or for a negated operator none.
//
// A tag that is not there is known not to be there, and matches nothing. Any other key that is not
// there is one that this server does not tell, or a typing error: that cannot be evaluated.
func (c condition) holds(context map[string][]string) truth {
	got := context[c.key]
	if c.tests == nil || len(got) == 0 && !isTag(c.key) {
		return unknown
	}
	found := false
	for _, value := range got {
		for _, t := range c.tests {
			matches, ok := t(value)
			if !ok {
				return unknown
			}
			found = found || matches
		}
	}
	if found != c.negated {
		return yes
	}
	return no
}

func isTag(key string) bool {
	return strings.HasPrefix(key, "acs:ResourceTag/") || strings.HasPrefix(key, "rds:ResourceTag/")
}
