package pgconf

import (
	"math/rand"
	"testing"
	"testing/quick"
)

// hasBlock tells whether text holds the block, or the beginning of it.
func hasBlock(text []byte, name string) bool { return findLine(text, 0, beginLine(name)) >= 0 }

func TestBlockPlaces(t *testing.T) {
	const block = "# BEGIN pgleap fence\nlocal all x reject\n# END pgleap fence\n"
	for _, test := range []struct{ text, prepended, appended string }{
		{"", block, block},
		{"a\n", block + "a\n", "a\n" + block},
		{"a", block + "a", "a\n" + block[:len(block)-1]},
		{"a\r\n", block + "a\r\n", "a\r\n" + block},
		{"\n", block + "\n", "\n" + block},
		{block + "a", block + "a", "a\n" + block[:len(block)-1]},
		{"a\n" + block + "b\n", block + "a\nb\n", "a\nb\n" + block},
		{"# BEGIN pgleap fence \r\nold\r\n# END pgleap fence\r\na\n", block + "a\n", "a\n" + block},
	} {
		got, err := PrependBlock([]byte(test.text), "fence", "local all x reject")
		if err != nil || string(got) != test.prepended {
			t.Errorf("prepend to %q: got %q, %v, want %q", test.text, got, err, test.prepended)
		}
		got, err = AppendBlock([]byte(test.text), "fence", "local all x reject")
		if err != nil || string(got) != test.appended {
			t.Errorf("append to %q: got %q, %v, want %q", test.text, got, err, test.appended)
		}
	}
}

func TestRemoveBlockRestoresTheBytes(t *testing.T) {
	property := func(seed int64, text []byte) bool {
		r := rand.New(rand.NewSource(seed))
		if r.Intn(2) == 0 {
			text = append(text, '\n')
		}
		changed, names := text, []string{"a", "b", "c"}
		for _, name := range names {
			put := PrependBlock
			if r.Intn(2) == 0 {
				put = AppendBlock
			}
			for range 2 {
				var err error
				if changed, err = put(changed, name, "line", "# comment"); err != nil {
					return false
				}
			}
		}
		for _, i := range r.Perm(len(names)) {
			if !hasBlock(changed, names[i]) {
				return false
			}
			var err error
			if changed, err = RemoveBlock(changed, names[i]); err != nil || hasBlock(changed, names[i]) {
				return false
			}
		}
		return string(changed) == string(text)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestBlockRefuses(t *testing.T) {
	for what, put := range map[string]func() ([]byte, error){
		"a block without its end": func() ([]byte, error) { return RemoveBlock([]byte("# BEGIN pgleap x\nreject\n"), "x") },
		"a second line":           func() ([]byte, error) { return PrependBlock(nil, "x", "a\nb") },
		"a continued line":        func() ([]byte, error) { return PrependBlock(nil, "x", `a\`) },
		"its own end":             func() ([]byte, error) { return AppendBlock(nil, "x", "# END pgleap x") },
		"a name of two words":     func() ([]byte, error) { return AppendBlock(nil, "x y", "a") },
		"no name":                 func() ([]byte, error) { return RemoveBlock(nil, "") },
	} {
		if got, err := put(); err == nil {
			t.Errorf("%s passed and gave %q", what, got)
		}
	}
	if hasBlock([]byte("# BEGIN pgleap xy\n"), "x") {
		t.Error("another name's block was taken for ours")
	}
}
