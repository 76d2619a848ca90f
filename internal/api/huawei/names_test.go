package huawei

import (
	"regexp"
	"strings"
	"testing"
)

// What names are made of, as regular expressions say it: every character, and every length.
func TestNamesAreMadeOfWhatTheyMayBe(t *testing.T) {
	for what, test := range map[string]struct {
		is   func(string) bool
		want *regexp.Regexp
	}{
		"id of a key":       {isKeyID, regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)},
		"name of a header":  {isHeaderName, regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")},
		"name of a project": {isProjectName, regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)},
	} {
		texts := []string{"", "é", "a\n"}
		for c := range 256 {
			texts = append(texts, string([]byte{byte(c)}), string([]byte{'a', byte(c), '0'}))
		}
		for length := range 130 {
			texts = append(texts, strings.Repeat("x", length))
		}
		for _, text := range texts {
			if got, want := test.is(text), test.want.MatchString(text); got != want {
				t.Errorf("%s: %q is one: %t", what, text, got)
			}
		}
	}
}

// The longest id of an instance has its former clusters and clones as well, and a clone, which is an instance, has its own.
func TestOwnIDs(t *testing.T) {
	longest := strings.Repeat("x", 63)
	for given, want := range map[string]bool{
		"orders": true, longest: true, longest + "-old-7": true, longest + "-clone-7": true,
		longest + "-clone-7-old-9": true, longest + "-clone-7-clone-2147483647-old-12": true, longest + "-clone-7-old": false,
		longest + "x": false, longest + "-new-7": false, longest + "-clone-": false, strings.Repeat("0", 32) + instanceSuffix: false,
	} {
		if got := isOwnID(given); got != want {
			t.Errorf("%s is one of ours: %t", given, got)
		}
	}
}
