package precheck

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page that says what is covered names checks that exist, and all of them; each of its lines says something.
func TestCoverageIsThatOfTheChecks(t *testing.T) {
	page, err := os.ReadFile("../../docs/precheck-coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, check := range All() {
		known[check.ID] = true
	}
	link := regexp.MustCompile(`\[([^\]]*)\]\(prechecks\.md#([^)]*)\)`)
	named, subjects := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(page)) {
		for _, check := range link.FindAllStringSubmatch(line, -1) {
			if check[1] != check[2] || !known[check[2]] {
				t.Errorf("there is no check %s: %s", check[2], line)
			}
			named[check[2]] = true
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| subject ") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 2 || strings.TrimSpace(cells[0]) == "" || strings.TrimSpace(cells[1]) == "" {
			t.Errorf("not a subject and what is to be said of it: %s", line)
			continue
		}
		if subjects[cells[0]] {
			t.Errorf("told twice: %s", cells[0])
		}
		subjects[cells[0]] = true
	}
	for id := range known {
		if !named[id] {
			t.Errorf("the page does not name %s", id)
		}
	}
}
