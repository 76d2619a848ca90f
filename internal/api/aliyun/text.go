package aliyun

import (
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendText writes a text as a JSON string, as encoding/json does without its escapes for HTML.
// Bytes that are not UTF-8 become the replacement character; U+2028 and U+2029 are escaped, which
// JavaScript of old took for line ends.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendEscape(append(b, s[from:i]...), c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size != 1) {
			i += size
			continue
		}
		b = append(b, s[from:i]...)
		b = append(b, `\u`...)
		for shift := 12; shift >= 0; shift -= 4 {
			b = append(b, hexDigits[r>>shift&0xf])
		}
		i += size
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// appendEscape writes a character of ASCII that may not stand in a JSON string as it is.
func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
