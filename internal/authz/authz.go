// Package authz decides what an access key may do, by policy documents in the language of Alibaba
// Cloud's RAM (policies of identities, Version "1"). Both clouds' APIs ask it: Huawei's calls are
// decided by the same documents, with Huawei's names of actions.
//
// What cannot be judged is refused: a statement with a condition that cannot be evaluated allows
// nothing, and denies all that it would deny if the condition held.
package authz

import (
	"slices"
	"strings"
)

// Decision is a policy's answer. Its text is what the API calls it (NoPermissionType).
type Decision int

// What a policy may answer. A Decision that nobody made is a denial.
const (
	ImplicitDeny Decision = iota // no statement allows it
	ExplicitDeny                 // a Deny matches, whatever else allows it
	Allowed                      // an Allow matches, and no Deny
)

// String returns the decision's name.
func (d Decision) String() string {
	switch d {
	case Allowed:
		return "Allowed"
	case ExplicitDeny:
		return "ExplicitDeny"
	default:
		return "ImplicitDeny"
	}
}

// Request is what somebody wants to do.
type Request struct {
	// Action is the name of one action, as in "rds:DescribeDBInstances".
	Action string
	// Aliases are other names of the action: a statement names it if it names one of them.
	Aliases []string
	// Resources are the names under which the object may be granted or denied: a statement matches
	// if it matches any of them. An operation on no object has the resource "*".
	Resources []string
	// Context holds what conditions ask for, by their keys, such as acs:SourceIp.
	Context map[string][]string
}

// Policy is a policy document, ready to decide. It does not change, so it may be used by many at
// once. The zero Policy allows nothing.
type Policy struct {
	statements []statement
	document   []byte
}

// Decide answers a request: a Deny that matches wins, else any Allow that matches, else it is
// denied because nothing allows it.
func (p Policy) Decide(r Request) Decision {
	if tooLong(r.Action) || slices.ContainsFunc(r.Resources, tooLong) {
		return ImplicitDeny
	}
	names := make([]string, 0, 2)
	names = append(names, strings.ToLower(r.Action))
	for _, alias := range r.Aliases {
		names = append(names, strings.ToLower(alias))
	}
	objects := make([]name, len(r.Resources))
	for i, resource := range r.Resources {
		objects[i] = split(resource)
	}
	decision := ImplicitDeny
	for _, s := range p.statements {
		switch {
		case !s.concerns(names, objects):
		case s.deny && s.holds(r.Context) != no:
			return ExplicitDeny
		case !s.deny && s.holds(r.Context) == yes:
			decision = Allowed
		}
	}
	return decision
}

// Document returns the policy as canonical JSON: what Parse accepts and decides alike.
func (p Policy) Document() []byte {
	if p.document == nil {
		return []byte(`{"Version":"1","Statement":[]}`)
	}
	return slices.Clone(p.document)
}

// tooLong tells whether a name is longer than any that exists. To compare it would only take time:
// names come from the request, and a pattern may be as long as a document.
func tooLong(name string) bool { return len(name) > 1024 }

// statement is one statement of a policy. It keeps its actions in lower case.
type statement struct {
	deny       bool
	actions    []string
	allBut     bool // it says NotAction: all actions but these
	resources  []resource
	conditions []condition
}

// concerns tells whether the statement is about this action, by any of its names, on this object,
// conditions aside.
func (s statement) concerns(names []string, objects []name) bool {
	named := slices.ContainsFunc(s.actions, func(pattern string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return like(pattern, name) })
	})
	return named != s.allBut && slices.ContainsFunc(s.resources, func(r resource) bool {
		return slices.ContainsFunc(objects, r.matches)
	})
}

// holds joins the conditions: all must hold. One that cannot be evaluated leaves the whole
// statement unknown, even if another does not hold.
func (s statement) holds(context map[string][]string) truth {
	all := yes
	for _, c := range s.conditions {
		all = min(all, c.holds(context))
	}
	return all
}
