package onhost

import (
	"errors"
	"testing"
)

// Samples that fail now and then are no news; the state outlives the step that found it.
func TestInterruption(t *testing.T) {
	down := errors.New("the server is away")
	for _, c := range []struct {
		name    string
		samples string // x: it failed
		news    string // + for news
	}{
		{"all is well", ".........", "         "},
		{"one in three fails", "..x..x..x", "         "},
		{"it is away, for long", "..xxxxxxx", "    +    "},
		{"and comes back", "xxx....xx", "  +  +   "},
		{"it comes and goes", "xxx.x.xxx", "  +      "},
	} {
		told := map[string]int{"lake": 3}
		i := interruptionOf(told)
		for n, sample := range c.samples {
			err := down
			if sample == '.' {
				err = nil
			}
			news := i.sampled(err)
			if want := c.news[n] == '+'; news != want {
				t.Errorf("%s, sample %d: news %t", c.name, n, news)
			}
			if news {
				told = i.with(told)
				i = interruptionOf(told)
			}
		}
		if told["lake"] != 3 {
			t.Errorf("%s: what was told of slots became %v", c.name, told)
		}
	}
}
