package aliyun

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// literals returns the texts that stand in the package's files, but for tests and the table of codes,
// and those of them that are given to fail.
func literals(t *testing.T) (all, failed map[string]bool) {
	t.Helper()
	all, failed = map[string]bool{}, map[string]bool{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || name == "error_codes.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := literal(n); ok {
				all[text] = true
			}
			if c, ok := n.(*ast.CallExpr); ok && len(c.Args) > 0 {
				text, is := literal(c.Args[0])
				if f, ok := c.Fun.(*ast.Ident); ok && f.Name == "fail" && is {
					failed[text] = true
				}
			}
			return true
		})
	}
	return all, failed
}

func literal(n ast.Node) (string, bool) {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

// A code without a reason not to be raised is raised somewhere, and a code that is raised has none.
func TestErrorCodesAreRaisedAsDocumented(t *testing.T) {
	written, failed := literals(t)
	for code := range failed {
		if _, known := errorCodes[code]; !known && code != "Missing" {
			t.Errorf("%s is raised, and is no known code", code)
		}
	}
	for code, c := range errorCodes {
		if written[code] && c.never != "" {
			t.Errorf("%s is raised, though %s", code, c.never)
		}
		if !written[code] && c.never == "" {
			t.Errorf("%s is raised nowhere, and no reason is given", code)
		}
		if c.message == "" || !strings.HasSuffix(c.message, ".") {
			t.Errorf("%s says %q", code, c.message)
		}
	}
}

// The statuses that stand beside codes in the vendor's documentation, where the operation alone does
// not give them away.
func TestStatusesOfErrorCodes(t *testing.T) {
	for code, status := range map[string]int{
		"InvalidAccessKeyId.NotFound": 404, "InvalidAction.NotFound": 404, "Forbidden.RAM": 403, "ServiceUnavailable": 503,
		"InternalError": 500, "Throttling.User": 400, "InvalidDBInstanceName.NotFound": 404, "InvalidDBInstanceId.NotFound": 400,
		"Request.NotFound": 404, "HostInfo.NotFound": 404, "InvalidClusterKms": 404, "IncorrectDBInstanceLockMode": 404,
		"ExternalFailure": 500, "RequestMetaDataFailed": 500, "InvokeProxyFailure": 500, "OrderStatus.UnPaid": 403,
		"InvalidReduceDiskSize": 403, "CloudSSDNotSupport": 403, "InvalidUserOperatorPermission": 403, "InvalidVswitchId": 403,
		"IncorrectMinorVersion": 403, "OperationDenied.ZoneResource": 403, "NotInFlowController": 403, "InvalidKmsKey": 403,
		"InvalidInstanceLevel.Malformed": 403, "ParamNotFound": 403, "InvalideStatus.Format": 400, "MissingAnything": 400,
	} {
		if got := fail(code, ""); got.Status != status || got.Code != code || got.Message == "" {
			t.Errorf("%s is %d %s %q, want %d", code, got.Status, got.Code, got.Message, status)
		}
	}
	if got := fail("MissingDBInstanceId", "").Message; got != "DBInstanceId is mandatory for this action." {
		t.Errorf("a missing parameter is told as %q", got)
	}
	for _, code := range []string{"Unheard", "Missing", ""} {
		if got := fail(code, "text"); got.Status != 500 || got.Code != "InternalError" || got.Message == "text" {
			t.Errorf("the unknown code %q is told as %d %s %q", code, got.Status, got.Code, got.Message)
		}
	}
	name := regexp.MustCompile(`^[A-Za-z.]+$`)
	for code := range errorCodes {
		if !name.MatchString(code) {
			t.Errorf("%q is no code", code)
		}
	}
}

// A cause that has a code is given by something: else the code is raised by nothing, whatever the table says.
func TestEveryCauseWithACodeIsGiven(t *testing.T) {
	given := map[string]bool{}
	name := regexp.MustCompile(`\bupgrade\.(Cause[A-Za-z]+)\b`)
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "api" || entry.Name() == "testdata"): // those only read causes
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range name.FindAllSubmatch(text, -1) {
			given[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	translated, err := os.ReadFile("translate.go")
	if err != nil {
		t.Fatal(err)
	}
	found := name.FindAllSubmatch(translated, -1)
	if len(found) < 10 {
		t.Errorf("only %d causes have codes", len(found))
	}
	for _, cause := range found {
		if !given[string(cause[1])] {
			t.Errorf("nothing gives %s", cause[1])
		}
	}
}
