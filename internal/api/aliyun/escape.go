package aliyun

import "errors"

const upperHex = "0123456789ABCDEF"

// unreserved tells whether percent-encoding keeps a byte (RFC 3986, section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

// appendEscaped appends a text, percent-encoded as both signatures want it: a space is %20, never a plus.
func appendEscaped(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// appendEscapedTwice appends what encoding the encoded text gives.
func appendEscapedTwice(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', '2', '5', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

var errEscape = errors.New("a percent sign must be followed by two hexadecimal digits")

// unescape decodes a name or value of a query or form, where a plus is a space. A text that has
// nothing to decode is returned as it is.
func unescape(text string) (string, error) {
	first := 0
	for first < len(text) && text[first] != '%' && text[first] != '+' {
		first++
	}
	if first == len(text) {
		return text, nil
	}
	b := append(make([]byte, 0, len(text)), text[:first]...)
	for i := first; i < len(text); i++ {
		switch text[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
				return "", errEscape
			}
			b = append(b, nibble(text[i+1])<<4|nibble(text[i+2]))
			i += 2
		default:
			b = append(b, text[i])
		}
	}
	return string(b), nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// nibble returns the value of a hexadecimal digit.
func nibble(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
