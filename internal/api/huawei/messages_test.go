package huawei

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

func placeholders(text string) []string {
	names := map[string]bool{}
	for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
		names[match[1]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func TestEveryMessageExistsInBothLanguages(t *testing.T) {
	for key, text := range texts {
		en, zh := text[english], text[chinese]
		if en == "" || zh == "" {
			t.Errorf("%q: %q, %q", key, en, zh)
		}
		if diff := cmp.Diff(placeholders(en), placeholders(zh)); diff != "" {
			t.Errorf("placeholders of %q (-en +zh):\n%s", key, diff)
		}
		if key != msgDetail && !strings.ContainsFunc(zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%q is not in Chinese: %q", key, zh)
		}
		if strings.ContainsFunc(en, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%q is not in English: %q", key, en)
		}
	}
}

// Whoever names a message names one that exists, and gives it all that it mentions.
func TestMessagesAreUsedWithTheirArguments(t *testing.T) {
	constants, used := map[string]message{}, map[string]bool{}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "msg") && len(spec.Values) == 1 {
				text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				constants[spec.Names[0].Name] = message(text)
			}
			return true
		})
	}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				used[name.Name] = true
			}
			if name, args := messageCall(n); name != "" {
				if diff := cmp.Diff(placeholders(texts[constants[name]][english]), args); diff != "" {
					t.Errorf("arguments of %s (-message +call):\n%s", name, diff)
				}
			}
			return true
		})
	}
	if len(constants) != len(texts) {
		t.Errorf("%d messages have names, %d have texts", len(constants), len(texts))
	}
	for name, key := range constants {
		if _, ok := texts[key]; !ok || !used[name] {
			t.Errorf("%s: has a text %t, is used %t", name, ok, used[name])
		}
	}
}

// messageCall reads refuse(code, msgX, args...), msgX.text(language, args...) and line(msgX, args...).
func messageCall(n ast.Node) (name string, args []string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", nil
	}
	var given []ast.Expr
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && f.Sel.Name == "text" && len(call.Args) > 0 {
			name, given = x.Name, call.Args[1:]
		}
	case *ast.Ident:
		skip := map[string]int{"refuse": 1, "line": 0}
		if at, ok := skip[f.Name]; ok {
			if x, ok := call.Args[at].(*ast.Ident); ok {
				name, given = x.Name, call.Args[at+1:]
			}
		}
	}
	if !strings.HasPrefix(name, "msg") {
		return "", nil
	}
	for i := 0; i < len(given); i += 2 {
		if literal, ok := given[i].(*ast.BasicLit); ok {
			text, _ := strconv.Unquote(literal.Value)
			args = append(args, text)
		}
	}
	slices.Sort(args)
	return name, args
}

func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	packages, err := parser.ParseDir(gotoken.NewFileSet(), ".", func(f fs.FileInfo) bool { //nolint:staticcheck // one directory, no build tags
		return !strings.HasSuffix(f.Name(), "_test.go")
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return packages["huawei"].Files
}

func TestLanguage(t *testing.T) {
	for header, want := range map[string]language{
		"": english, "en-us": english, "zh-cn": chinese, "ZH-CN": chinese, " zh-cn ": chinese, "fr-fr": english, "zh": english,
	} {
		if got := languageOf(header); got != want {
			t.Errorf("X-Language %q: got %d", header, got)
		}
	}
}
