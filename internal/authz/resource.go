package authz

import (
	"fmt"
	"strings"
)

// name is the name of an object, cut at its colons: acs:service:region:account:relative. The last
// part may have colons of its own. A name that is not made so, such as "*", has no parts.
type name struct {
	parts [5]string
	made  bool
}

// split cuts a name into its parts.
func split(text string) name {
	var n name
	for i := range 4 {
		if n.parts[i], text, n.made = strings.Cut(text, ":"); !n.made {
			return name{}
		}
	}
	n.parts[4] = text
	return n
}

// resource is the pattern of a statement for the names of objects.
type resource struct {
	all  bool // "*": any object, and none at all
	name name
}

// matches compares part by part: a wildcard does not reach across the colon behind its part.
// An operation on no object is therefore matched by "*" only.
func (r resource) matches(object name) bool {
	if r.all || !object.made {
		return r.all
	}
	for i, pattern := range r.name.parts {
		if !like(pattern, object.parts[i]) {
			return false
		}
	}
	return true
}

// newResource reads a pattern. One that no object could match is an error, since a Deny for it
// would deny nothing.
func newResource(pattern string) (resource, error) {
	if pattern == "*" {
		return resource{all: true}, nil
	}
	n := split(pattern)
	service, relative := n.parts[1], n.parts[4]
	if !n.made || n.parts[0] != "acs" || service == "" || service != strings.ToLower(service) || relative == "" {
		return resource{}, fmt.Errorf(`resource %q: write "*", or acs:service:region:account:object with the service in lower case, as in acs:rds:*:*:dbinstance/ID`, pattern)
	}
	for i := 2; i <= 3; i++ { // region and account may be left out
		if n.parts[i] == "" {
			n.parts[i] = "*"
		}
	}
	return resource{name: n}, nil
}
