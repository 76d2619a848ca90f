package onhost

import "testing"

func TestSynchronousNeeded(t *testing.T) {
	for names, want := range map[string]int{
		"s1": 1, "s1, s2": 1, "*": 1,
		"2 (s1, s2, s3)": 2, "FIRST 2 (s1, s2)": 2, " any 3(s1, s2, s3)": 3,
		`"any 4 (x)"`: 1, "first": 1, "FIRST 99999999999999999999 (a)": 1,
	} {
		if got := synchronousNeeded(names); got != want {
			t.Errorf("%s: got %d, want %d", names, got, want)
		}
	}
}
