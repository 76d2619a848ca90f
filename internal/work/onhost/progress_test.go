package onhost

import (
	"testing"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A step goes on while the engine does not answer. What it shows meanwhile is told afterwards: the newest.
func TestProgressDoesNotWaitForTheEngine(t *testing.T) {
	told, answer := make(chan string), make(chan struct{})
	p, stop := newProgress(upgrade.Progress{Text: "begun"}, func(now upgrade.Progress) {
		select {
		case told <- now.Text:
			<-answer
		case <-t.Context().Done():
		}
	})
	defer stop()
	if first := <-told; first != "begun" {
		t.Errorf("told %q first", first)
	}
	for _, text := range []string{"pausing", "fencing", "drained"} {
		p.text(text) // would wait for the answer, and the test with it
	}
	close(answer)
	if next := <-told; next != "drained" {
		t.Errorf("told %q then", next)
	}
}
