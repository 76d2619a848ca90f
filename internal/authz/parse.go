package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A policy is read whenever its key signs a request. These bound its size, in bytes and in
// statements.
const (
	MaxDocument   = 16 << 10
	MaxStatements = 64
)

// Parse reads a policy document. It is strict, since what is misread could allow too much: members
// that are unknown, misspelt or there twice are errors, and so are lists without anything in them.
// The error says which statement is wrong, counted from 1. Operators and values of conditions are
// not judged here, but when a request is decided.
func Parse(raw []byte) (Policy, error) {
	if err := plausible(raw); err != nil {
		return Policy{}, err
	}
	d, err := readDocument(raw)
	if err != nil {
		return Policy{}, err
	}
	var p Policy
	for i, c := range d.Statement {
		s, err := c.compile()
		if err != nil {
			return Policy{}, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	if p.document, err = encode(d); err != nil {
		return Policy{}, err
	}
	if len(p.document) > MaxDocument { // some characters are longer there, and numbers get quotes
		return Policy{}, fmt.Errorf("the document is longer than %d bytes in canonical form", MaxDocument)
	}
	return p, nil
}

// plausible refuses what is too long and what is no JSON text at all.
func plausible(raw []byte) error {
	if len(raw) > MaxDocument {
		return fmt.Errorf("the document is longer than %d bytes", MaxDocument)
	}
	if !utf8.Valid(raw) {
		return errors.New("the document is not UTF-8")
	}
	err := json.Unmarshal(raw, new(json.RawMessage))
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the document is not JSON at byte %d: %w", wrong.Offset, err)
	}
	return err
}

func readDocument(raw json.RawMessage) (document, error) {
	has, err := members(raw, "Version", "Statement")
	if err != nil {
		return document{}, err
	}
	version, err := readWord(has["Version"], "1")
	if err != nil {
		return document{}, fmt.Errorf("version: %w", err)
	}
	statements, err := items(has["Statement"])
	if err != nil {
		return document{}, fmt.Errorf("statement: %w", err)
	}
	if len(statements) > MaxStatements {
		return document{}, fmt.Errorf("there are %d statements, more than %d", len(statements), MaxStatements)
	}
	d := document{Version: version, Statement: make([]clause, len(statements))}
	for i, statement := range statements {
		if d.Statement[i], err = readClause(statement); err != nil {
			return document{}, fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	return d, nil
}

func readClause(raw json.RawMessage) (c clause, err error) {
	has, err := members(raw, "Effect", "Action", "NotAction", "Resource", "Condition")
	if err != nil {
		return clause{}, err
	}
	if c.Effect, err = readWord(has["Effect"], "Allow", "Deny"); err != nil {
		return clause{}, fmt.Errorf("effect: %w", err)
	}
	if (has["Action"] == nil) == (has["NotAction"] == nil) {
		return clause{}, errors.New("it needs either Action or NotAction")
	}
	if actions := has["Action"]; actions != nil {
		c.Action, err = readList(actions, readText)
	} else {
		c.NotAction, err = readList(has["NotAction"], readText)
	}
	if err != nil {
		return clause{}, fmt.Errorf("action: %w", err)
	}
	if c.Resource, err = readList(has["Resource"], readText); err != nil {
		return clause{}, fmt.Errorf("resource: %w", err)
	}
	if conditions := has["Condition"]; conditions != nil {
		if c.Condition, err = readConditions(conditions); err != nil {
			return clause{}, fmt.Errorf("condition: %w", err)
		}
	}
	return c, nil
}

// readConditions reads {operator: {key: value or values}}.
func readConditions(raw json.RawMessage) (map[string]map[string]list, error) {
	operators, err := members(raw)
	if err != nil {
		return nil, err
	}
	conditions := make(map[string]map[string]list, len(operators))
	for _, operator := range slices.Sorted(maps.Keys(operators)) {
		if conditions[operator], err = readKeys(operators[operator]); err != nil {
			return nil, fmt.Errorf("%s: %w", operator, err)
		}
	}
	return conditions, nil
}

func readKeys(raw json.RawMessage) (map[string]list, error) {
	has, err := members(raw)
	if err != nil {
		return nil, err
	}
	if len(has) == 0 {
		return nil, errors.New("it names no key, such as acs:SourceIp")
	}
	keys := make(map[string]list, len(has))
	for _, key := range slices.Sorted(maps.Keys(has)) {
		if !strings.Contains(key, ":") {
			return nil, fmt.Errorf("%q is not a key: write service:key, as in acs:SourceIp", key)
		}
		if keys[key], err = readList(has[key], readScalar); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return keys, nil
}
