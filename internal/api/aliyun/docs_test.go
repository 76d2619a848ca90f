package aliyun

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	files "github.com/pgleap/pgleap/internal/pgtest/golden"
)

const (
	docsPage  = "../../../docs/aliyun.md"
	docsBegin = "<!-- Written by `go test ./internal/api/aliyun -run Docs -update` from error_codes.go. -->\n"
	docsEnd   = "<!-- End of what is written. -->\n"
)

// The page's table of errors is that of the program.
func TestDocsListTheErrors(t *testing.T) {
	page, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), docsBegin)
	_, after, ended := strings.Cut(rest, docsEnd)
	if !begun || !ended {
		t.Fatal("the page has no place for the table")
	}
	want := before + docsBegin + docsErrors() + docsEnd + after
	if *files.Update {
		if err := os.WriteFile(docsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if stale := diff.Diff(want, string(page)); stale != "" {
		t.Errorf("docs/aliyun.md is stale; run: go test ./internal/api/aliyun -run Docs -update\n%s", stale)
	}
}

// docsErrors lists the codes that are raised, then those that never are.
func docsErrors() string {
	var raised, never strings.Builder
	raised.WriteString("\n| code | HTTP | unless it says more |\n|---|---|---|\n" +
		"| `Missing<Parameter>` | 400 | The parameter is mandatory for this action. |\n")
	never.WriteString("\nNever raised:\n\n| code | HTTP | why not |\n|---|---|---|\n")
	byName := func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	}
	for _, code := range slices.SortedFunc(maps.Keys(errorCodes), byName) {
		if c := errorCodes[code]; c.never == "" {
			fmt.Fprintf(&raised, "| `%s` | %d | %s |\n", code, c.status, c.message)
		} else {
			fmt.Fprintf(&never, "| `%s` | %d | %s |\n", code, c.status, c.never)
		}
	}
	return raised.String() + never.String() + "\n"
}

// Every operation has its line on the page.
func TestDocsListTheOperations(t *testing.T) {
	page, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions() {
		line := fmt.Sprintf("| `%s` | %s |", a.name, a.level)
		if !strings.Contains(string(page), line) {
			t.Errorf("the page has no line that begins with %s", line)
		}
	}
}
