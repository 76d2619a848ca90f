package authz

import "unicode/utf8"

// like tells whether text matches pattern, in which * stands for any characters, also none, and ?
// for one. A try that fails moves the last * on by one character and forgets the ones before it, so
// that the time is at most proportional to the product of the lengths.
func like(pattern, text string) bool {
	p, t := 0, 0
	star, mark := -1, 0 // behind the last *, and where the text goes on that it has not swallowed
	for t < len(text) {
		_, width := utf8.DecodeRuneInString(text[t:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, mark = p, t
		case p < len(pattern) && pattern[p] == '?':
			p, t = p+1, t+width
		case len(pattern)-p >= width && pattern[p:p+width] == text[t:t+width]:
			p, t = p+width, t+width
		case star >= 0:
			_, width = utf8.DecodeRuneInString(text[mark:])
			mark += width
			p, t = star, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
