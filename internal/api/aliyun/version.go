package aliyun

import (
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// firstMajor is the first version whose major is a single number. Before it, 9.6 was a major
// version and not a minor one, so that "9.6" must not be taken for 9.
const firstMajor = 10

// parseMajor reads a major version as the vendor's clients write it: "12.0", "12", "12.4".
func parseMajor(text string) (upgrade.Major, bool) {
	whole, minor, dotted := strings.Cut(text, ".")
	if !isNumber(whole, 3) || dotted && !isNumber(minor, 3) {
		return 0, false
	}
	n, err := strconv.Atoi(whole)
	if err != nil || n < firstMajor {
		return 0, false
	}
	return upgrade.Major(n), true
}

// isNumber tells whether a text is made of one to so many digits, the first of several not a zero.
func isNumber(text string, longest int) bool {
	if text == "" || len(text) > longest || len(text) > 1 && text[0] == '0' {
		return false
	}
	return strings.Trim(text, "0123456789") == ""
}

// majorText writes a major version as the vendor does: "12.0".
func majorText(m upgrade.Major) string { return strconv.Itoa(int(m)) + ".0" }
