package aliyun

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestParseMajor(t *testing.T) {
	for _, c := range []struct {
		text string
		want upgrade.Major // 0: refused
	}{
		{"12", 12},
		{"12.0", 12},
		{"12.4", 12},
		{"10.0", 10},
		{"18.11", 18},
		{"9.6", 0}, // a major version of its own
		{"9", 0},
		{"", 0},
		{"0", 0},
		{"012", 0},
		{"12.", 0},
		{".12", 0},
		{"12.0.1", 0},
		{"12.04", 0},
		{"+12", 0},
		{"-12", 0},
		{" 12", 0},
		{"12 ", 0},
		{"1e1", 0},
		{"१२", 0},
		{"9999", 0},
		{"17.0.0.0.0.0.0.0.0.0.0", 0},
	} {
		got, ok := parseMajor(c.text)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%q: got %d, %t", c.text, got, ok)
		}
	}
}

func FuzzParseMajor(f *testing.F) {
	for _, seed := range []string{"12", "12.0", "9.6", "17.11", "", ".", "1.1.1", "999.999", "\x00", "12.00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		major, ok := parseMajor(text)
		if !ok {
			return
		}
		if major < 10 || major > 999 {
			t.Errorf("%q: got %d", text, major)
		}
		if again, ok := parseMajor(majorText(major)); !ok || again != major {
			t.Errorf("%q: %s is read as %d", text, majorText(major), again)
		}
	})
}
