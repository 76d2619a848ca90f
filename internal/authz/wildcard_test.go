package authz

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLike(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"**", "", true},
		{"?", "", false},
		{"?", "a", true},
		{"?", "é", true},
		{"??", "é", false},
		{"a*", "a", true},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*ab*ab", "abab", true},
		{"*ab*ab", "ab", false},
		{"*?*", "a", true},
		{"*?*", "", false},
		{"a.c", "abc", false},
		{"[a-c]", "b", false},
		{`\*`, "*", false},
		{"*é", "aé", true},
		{"\xc3", "é", false},
	} {
		if got := like(test.pattern, test.text); got != test.want {
			t.Errorf("%q is like %q: %t, want %t", test.text, test.pattern, got, test.want)
		}
	}
}

// A matcher that tried every way to spread the text over the stars would not come back from this.
func TestLikeHasNoBadCase(t *testing.T) {
	pattern := strings.Repeat("*a", 5000) + "b"
	if like(pattern, strings.Repeat("a", 10000)) {
		t.Error("a text without b is like a pattern with b")
	}
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"*", "rds:DescribeRegions"},
		{"rds:Describe*", "rds:DescribeDBInstances"},
		{"a?c*", "abcd"},
		{"*a*b", "aaab"},
		{"*?é", "aéé"},
		{"\xff*", "\xffa"},
		{"dbinstance/*-?", "dbinstance/pgm-1"},
		{"**?**", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 200 || len(text) > 200 {
			t.Skip("the oracle is slow")
		}
		if got, want := like(pattern, text), oracle(pattern, text); got != want {
			t.Errorf("%q is like %q: %t, want %t", text, pattern, got, want)
		}
	})
}

// oracle matches by the definition, one column of the table "does this much of the pattern match
// that much of the text" after the other.
func oracle(pattern, text string) bool {
	letters := characters(text)
	matches := make([]bool, len(letters)+1)
	matches[0] = true
	for _, p := range characters(pattern) {
		next := make([]bool, len(letters)+1)
		for i := range next {
			switch {
			case p == "*":
				next[i] = matches[i] || i > 0 && next[i-1]
			case i > 0:
				next[i] = matches[i-1] && (p == "?" || p == letters[i-1])
			}
		}
		matches = next
	}
	return matches[len(letters)]
}

func characters(text string) (letters []string) {
	for len(text) > 0 {
		_, width := utf8.DecodeRuneInString(text)
		letters = append(letters, text[:width])
		text = text[width:]
	}
	return letters
}
