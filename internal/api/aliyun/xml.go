package aliyun

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
)

const (
	// maxXMLDepth is more than any answer has.
	maxXMLDepth = 32

	// maxXML bounds what repeated names can make of an answer.
	maxXML = 32 << 20
)

var errXML = errors.New("the answer cannot be written as XML")

// appendXML appends the members of a JSON object as XML: an object becomes an element, an array the
// repeated element of its own name, and null nothing.
func appendXML(b, object []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	x := xmlWriter{decoder: d}
	x.Write(b) //nolint:errcheck // a buffer takes everything
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.Join(errXML, err)
	}
	if err := x.members(0); err != nil {
		return nil, fmt.Errorf("%w: %w", errXML, err)
	}
	return x.Bytes(), nil
}

// xmlWriter copies what a JSON decoder reads.
type xmlWriter struct {
	bytes.Buffer
	decoder *json.Decoder
}

// members writes the members of an object, up to its closing brace.
func (x *xmlWriter) members(depth int) error {
	for x.decoder.More() {
		name, err := x.decoder.Token()
		if err != nil {
			return err
		}
		text, _ := name.(string)
		if !elementName(text) {
			return errors.New("a member's name is no name of an element")
		}
		if err := x.value(text, depth); err != nil {
			return err
		}
	}
	_, err := x.decoder.Token()
	return err
}

// value writes one value under its name.
func (x *xmlWriter) value(name string, depth int) error {
	token, err := x.decoder.Token()
	switch {
	case err != nil:
		return err
	case depth > maxXMLDepth || x.Len() > maxXML:
		return errors.New("it is too large")
	case token == nil:
		return nil
	case token == json.Delim('['):
		for x.decoder.More() {
			if err := x.value(name, depth+1); err != nil {
				return err
			}
		}
		_, err := x.decoder.Token()
		return err
	}
	x.WriteString("<" + name + ">")
	if token == json.Delim('{') {
		err = x.members(depth + 1)
	} else {
		err = x.scalar(token)
	}
	x.WriteString("</" + name + ">")
	return err
}

func (x *xmlWriter) scalar(token json.Token) error {
	switch v := token.(type) {
	case string:
		return xml.EscapeText(&x.Buffer, []byte(v))
	case json.Number:
		x.WriteString(v.String())
	case bool:
		fmt.Fprint(&x.Buffer, v)
	}
	return nil
}

// elementName tells whether a name can stand in a tag. Those of the vendor are plain words.
func elementName(name string) bool {
	for i := range len(name) {
		c := name[i] | 0x20
		letter := 'a' <= c && c <= 'z' || name[i] == '_'
		if !letter && (i == 0 || !('0' <= name[i] && name[i] <= '9' || name[i] == '-' || name[i] == '.')) {
			return false
		}
	}
	return name != ""
}
