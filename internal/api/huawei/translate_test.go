package huawei

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// A cause that is new in the vocabulary must get a code here too.
func TestEveryCauseHasACode(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../../upgrade/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Cause") {
			return true
		}
		text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if _, ok := causes[upgrade.Cause(text)]; !ok && text != "" {
			t.Errorf("%s has no code", spec.Names[0].Name)
		}
		found++
		return true
	})
	if found < 10 {
		t.Errorf("found %d causes: are they in another file now?", found)
	}
}

// What an agent fails with is not the fault of who asked.
func TestFailureOfAnAgent(t *testing.T) {
	for cause, want := range map[upgrade.Cause]string{upgrade.CauseFailed: "500 DBS.200005", upgrade.CauseNone: "400 DBS.200086"} {
		f := translate(&upgrade.Refused{Reason: "connection refused", Cause: cause})
		if got := fmt.Sprintf("%d %s", f.code.status, f.code.name); got != want {
			t.Errorf("%q: got %s, want %s", cause, got, want)
		}
	}
}

func TestTimeout(t *testing.T) {
	f := translate(fmt.Errorf("read tasks: %w", context.DeadlineExceeded))
	if f.code != codeTimeout || f.detail != "" {
		t.Errorf("got %v", f)
	}
}

// docs/huawei.md lists every code with its status, and none that does not exist.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/huawei.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| ([0-9]{3}) \| ((?:DBS|APIGW)\.[0-9]+) \|`)
	var documented, raised []string
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, match[1]+" "+match[2])
	}
	for _, c := range codes() {
		raised = append(raised, fmt.Sprintf("%d %s", c.status, c.name))
	}
	slices.Sort(documented)
	slices.Sort(raised)
	if diff := cmp.Diff(raised, documented); diff != "" {
		t.Errorf("codes (-raised +documented):\n%s", diff)
	}
}

// codes lists every code there is.
func TestCodesAreListed(t *testing.T) {
	count := 0
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "code") {
				count++
			}
			return true
		})
	}
	if count != len(codes()) {
		t.Errorf("%d codes exist, %d are listed", count, len(codes()))
	}
}
