package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// members returns the members of an object by their names, exactly as they are written. All of
// them must be known, unless none is given. (Decoding into a struct would take names in any case of
// letters, and the last of two with the same name.)
func members(raw json.RawMessage, known ...string) (map[string]json.RawMessage, error) {
	if kind(raw) != '{' {
		return nil, errors.New("write an object, {...}")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	has := make(map[string]json.RawMessage)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // the names of members are nothing else
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		if known != nil && !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q has no place in the policy of an access key: there are %s", name, strings.Join(known, ", "))
		}
		if has[name] != nil {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		has[name] = value
	}
	return has, nil
}

// items returns the items of an array.
func items(raw json.RawMessage) (list []json.RawMessage, err error) {
	if kind(raw) != '[' {
		return nil, errors.New("write a list, [...]")
	}
	err = json.Unmarshal(raw, &list)
	return list, err
}

// readList reads one value, or an array of at least one.
func readList(raw json.RawMessage, read func(json.RawMessage) (string, error)) (list, error) {
	if raw == nil {
		return nil, errors.New("it is missing")
	}
	values := []json.RawMessage{raw}
	if kind(raw) == '[' {
		var err error
		if values, err = items(raw); err != nil {
			return nil, err
		}
	}
	if len(values) == 0 {
		return nil, errors.New("the list is empty")
	}
	texts := make(list, len(values))
	for i, value := range values {
		var err error
		if texts[i], err = read(value); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// readText reads a string.
func readText(raw json.RawMessage) (text string, err error) {
	if kind(raw) != '"' {
		return "", errors.New("write text in quotes, or a list of such texts")
	}
	err = json.Unmarshal(raw, &text)
	return text, err
}

// readScalar reads a string, number or boolean as text: vendors' examples have "true" and true.
func readScalar(raw json.RawMessage) (string, error) {
	switch kind(raw) {
	case '{', '[', 'n':
		return "", errors.New("write a text, a number, true or false, or a list of such values")
	case '"':
		return readText(raw)
	default:
		return string(bytes.TrimSpace(raw)), nil
	}
}

// readWord reads a string that is one of a few.
func readWord(raw json.RawMessage, words ...string) (string, error) {
	if text, err := readText(raw); err == nil && slices.Contains(words, text) {
		return text, nil
	}
	return "", fmt.Errorf(`write "%s"`, strings.Join(words, `" or "`))
}

// kind returns the character that a JSON value begins with, which tells its kind; 0 for none.
func kind(raw json.RawMessage) byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}
