package authz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is a policy as it is written. Encoded it is in its one canonical form.
type document struct {
	Version   string
	Statement []clause
}

// clause is a statement as it is written.
type clause struct {
	Effect    string
	Action    list                       `json:",omitempty"`
	NotAction list                       `json:",omitempty"`
	Resource  list                       `json:",omitempty"`
	Condition map[string]map[string]list `json:",omitempty"` // by operator and key
}

// list is a list of strings; a list of one is written as that one.
type list []string

// MarshalJSON implements [json.Marshaler].
func (l list) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return encode(l[0])
	}
	return encode([]string(l))
}

// encode leaves <, > and & as they are: this JSON is not for web pages.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write policy: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// compile makes the statement that the clause describes.
func (c clause) compile() (statement, error) {
	s := statement{deny: c.Effect == "Deny", allBut: c.NotAction != nil}
	for _, action := range slices.Concat(c.Action, c.NotAction) {
		if action != "*" && !strings.Contains(action, ":") {
			return s, fmt.Errorf(`action %q: write "*", or service:action as in rds:Describe*`, action)
		}
		s.actions = append(s.actions, strings.ToLower(action))
	}
	for _, pattern := range c.Resource {
		r, err := newResource(pattern)
		if err != nil {
			return s, err
		}
		s.resources = append(s.resources, r)
	}
	for _, operator := range slices.Sorted(maps.Keys(c.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(c.Condition[operator])) {
			s.conditions = append(s.conditions, newCondition(operator, key, c.Condition[operator][key]))
		}
	}
	return s, nil
}
