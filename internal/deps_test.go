package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const ours = "github.com/pgleap/pgleap/"

// rule says what some packages may import. Names without a host are packages of ours; a name that
// ends in "/..." stands for the package and all below it.
type rule struct {
	packages []string
	but      []string // packages that the rule does not hold for
	may      []string // if not nil: the only packages of ours that these import
	never    []string
	// deep extends never to what is imported by what is imported.
	deep    bool
	because string
}

// rules is the import table of the design. A package that does not exist yet breaks none of them.
var rules = []rule{
	{
		packages: []string{"..."}, but: []string{"internal/run", "internal/pgtest", "internal/pgtest/...", "bench/...", "test/..."},
		never:   []string{"os/exec"},
		because: "one package starts processes, so that every program's output is kept",
	},
	{
		packages: []string{"..."}, but: []string{"internal/durable/embedded/..."},
		never:   []string{"go.temporal.io/server/..."},
		because: "105 MB and 10 s of link time stay in one place",
	},
	{
		packages: []string{"..."}, but: []string{"cmd/pgleap", "internal/app/..."},
		never:   []string{"internal/app/..."},
		because: "only the server's main wires the server",
	},
	{
		packages: []string{"cmd/pgleap-agent"}, deep: true,
		never:   []string{"go.temporal.io/server/...", "internal/app/...", "internal/catalog/..."},
		because: "a listening engine and the record have no business on a database host",
	},
	{
		packages: []string{"internal/upgrade"}, may: []string{},
		never:   []string{"os", "os/exec", "net/http", "github.com/jackc/pgx/v5/...", "go.temporal.io/..."},
		because: "the vocabulary does not depend on how it is done",
	},
	{
		packages: []string{"internal/upgrade/step"}, may: []string{"internal/upgrade"},
		never:   []string{"os", "os/exec", "net", "net/http", "github.com/jackc/pgx/v5/..."},
		because: "the contract between workflows and activities is made of the vocabulary only",
	},
	{
		packages: []string{"internal/upgrade/flow/..."}, may: []string{"internal/upgrade", "internal/upgrade/step", "internal/upgrade/flow/..."},
		never:   []string{"os", "os/exec", "net", "net/http", "github.com/jackc/pgx/v5/..."},
		because: "a workflow does no I/O, else it cannot be replayed",
	},
	{
		packages: []string{"internal/precheck/..."}, may: []string{"internal/upgrade", "internal/pgconf", "internal/postgres/...", "internal/precheck/..."},
		never:   []string{"os/exec"},
		because: "a check reads facts handed to it",
	},
	{
		packages: []string{"internal/postgres/..."}, may: []string{"internal/upgrade", "internal/postgres/..."},
		never:   []string{"os/exec"},
		because: "SQL only",
	},
	{
		packages: []string{"internal/pgbin/..."}, may: []string{"internal/upgrade", "internal/run", "internal/pgbin/..."},
		never:   []string{"github.com/jackc/pgx/v5/..."},
		because: "programs only",
	},
	{
		packages: []string{"internal/pgconf/..."},
		never:    []string{"internal/postgres/...", "internal/pgbin/...", "internal/run", "github.com/jackc/pgx/v5/..."},
		because:  "configuration files are text",
	},
	{
		packages: []string{"internal/work/..."},
		never:    []string{"internal/upgrade/flow/...", "internal/api/...", "internal/web/...", "internal/control/..."},
		because:  "activities act; they neither decide nor know who asked",
	},
	{
		packages: []string{"internal/work/onhost/..."}, deep: true,
		never:   []string{"internal/catalog/...", "internal/work/onserver/...", "go.temporal.io/server/..."},
		because: "a database host cannot reach the record",
	},
	{
		packages: []string{"internal/switchover/...", "internal/verify/..."},
		never:    []string{"internal/control/...", "internal/catalog/...", "internal/api/...", "internal/web/...", "internal/work/...", "internal/upgrade/flow/..."},
		because:  "the critical section depends on nothing that could keep clients waiting",
	},
	{
		packages: []string{"internal/endpoint/..."}, deep: true,
		never:   []string{"internal/control/...", "internal/catalog/...", "internal/work/..."},
		because: "drivers are leaves",
	},
	{
		packages: []string{"internal/endpoint/pgbouncer/..."},
		never:    []string{"internal/endpoint/haproxy/...", "internal/endpoint/dns/...", "internal/endpoint/hook/..."},
		because:  "drivers do not know each other",
	},
	{
		packages: []string{"internal/endpoint/haproxy/..."},
		never:    []string{"internal/endpoint/pgbouncer/...", "internal/endpoint/dns/...", "internal/endpoint/hook/..."},
		because:  "drivers do not know each other",
	},
	{
		packages: []string{"internal/endpoint/dns/..."},
		never:    []string{"internal/endpoint/pgbouncer/...", "internal/endpoint/haproxy/...", "internal/endpoint/hook/..."},
		because:  "drivers do not know each other",
	},
	{
		packages: []string{"internal/endpoint/hook/..."},
		never:    []string{"internal/endpoint/pgbouncer/...", "internal/endpoint/haproxy/...", "internal/endpoint/dns/..."},
		because:  "drivers do not know each other",
	},
	{
		packages: []string{"internal/control/..."},
		never:    []string{"internal/api/...", "internal/web/...", "internal/work/...", "internal/cli/..."},
		because:  "the one door does not know who comes through it",
	},
	{
		packages: []string{"internal/api/...", "internal/web/..."},
		never:    []string{"internal/catalog/...", "internal/durable/...", "internal/upgrade/flow/..."},
		because:  "a facade translates, it does not decide",
	},
	{
		packages: []string{"internal/api/native/..."},
		never:    []string{"internal/api/aliyun/...", "internal/api/huawei/...", "internal/web/..."},
		because:  "facades do not know each other",
	},
	{
		packages: []string{"internal/api/aliyun/..."},
		never:    []string{"internal/api/native/...", "internal/api/huawei/...", "internal/web/..."},
		because:  "facades do not know each other",
	},
	{
		packages: []string{"internal/api/huawei/..."},
		never:    []string{"internal/api/native/...", "internal/api/aliyun/...", "internal/web/..."},
		because:  "facades do not know each other",
	},
	{
		packages: []string{"internal/authz/...", "internal/secret/..."}, may: []string{},
		never:   []string{"os/exec", "net/http", "database/sql"},
		because: "what may be done, and how secrets are kept, is decided without asking anybody",
	},
	{
		packages: []string{"internal/agentless/..."}, may: []string{"internal/upgrade", "internal/precheck", "internal/postgres", "internal/pgbin", "internal/run"},
		because: "the precheck of a server elsewhere needs neither a server of ours nor an agent",
	},
	{
		packages: []string{"internal/report/..."}, may: []string{"internal/upgrade"},
		never:   []string{"os", "os/exec", "net/http"},
		because: "a report is written from what the checks found, without asking anybody",
	},
	{
		packages: []string{"internal/web/..."},
		never:    []string{"internal/api/..."},
		because:  "facades do not know each other",
	},
	{
		packages: []string{"internal/durable/embedded/..."}, may: []string{"internal/durable", "internal/durable/embedded/..."},
		because: "the embedded engine can be left out of a binary",
	},
	{
		packages: []string{"internal/agent/..."}, deep: true,
		never:   []string{"internal/durable/embedded/...", "go.temporal.io/server/...", "internal/catalog/...", "internal/api/...", "internal/web/..."},
		because: "an agent is small, and cannot reach the record",
	},
}

// goPackage is what go list tells of a package; imports of tests are not bound by the rules.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestPackagesImportWhatTheyMay(t *testing.T) {
	for _, pkg := range listPackages(t) {
		for _, rule := range rules {
			for _, imported := range rule.broken(pkg) {
				t.Errorf("%s imports %s: %s", short(pkg.ImportPath), short(imported), rule.because)
			}
		}
	}
}

// listPackages asks Go. With -e, so that a package which does not compile just now is looked at too.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags=disable_grpc_modules", "-json=ImportPath,Imports,Deps", ours+"...")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read the output of go list: %v", err)
		}
		packages = append(packages, pkg)
	}
	if len(packages) == 0 {
		t.Fatal("go list found no packages")
	}
	return packages
}

// broken returns the imports of a package that the rule forbids.
func (r rule) broken(pkg goPackage) []string {
	path := short(pkg.ImportPath)
	if !matches(r.packages, path) || matches(r.but, path) {
		return nil
	}
	var forbidden []string
	for _, imported := range pkg.Imports {
		name := short(imported)
		stranger := strings.HasPrefix(imported, ours) && r.may != nil && !matches(r.may, name)
		if stranger || matches(r.never, name) {
			forbidden = append(forbidden, imported)
		}
	}
	if r.deep {
		for _, imported := range pkg.Deps {
			if matches(r.never, short(imported)) && !slices.Contains(forbidden, imported) {
				forbidden = append(forbidden, imported)
			}
		}
	}
	return forbidden
}

// short takes our module's name off a package's path.
func short(path string) string { return strings.TrimPrefix(path, ours) }

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "..." {
			return true
		}
		tree, isTree := strings.CutSuffix(pattern, "/...")
		return path == tree || isTree && strings.HasPrefix(path, tree+"/")
	})
}

// A rule that cannot be broken guards nothing.
func TestRulesAreNoticedWhenBroken(t *testing.T) {
	for _, test := range []struct {
		path   string
		direct string
		deep   string
		broken bool
	}{
		{path: "internal/precheck", direct: "os/exec", broken: true},
		{path: "internal/run", direct: "os/exec"},
		{path: "bench/switchover", direct: "os/exec"},
		{path: "internal/durable", direct: "go.temporal.io/server/temporal", broken: true},
		{path: "internal/durable/embedded", direct: "go.temporal.io/server/temporal"},
		{path: "internal/durable/embedded", direct: ours + "internal/durable"},
		{path: "internal/durable/embedded", direct: ours + "internal/catalog", broken: true},
		{path: "internal/upgrade", direct: ours + "internal/postgres", broken: true},
		{path: "internal/upgrade", direct: "time"},
		{path: "internal/upgrade/flow", direct: ours + "internal/upgrade/step"},
		{path: "internal/upgrade/flow", direct: ours + "internal/work/onhost", broken: true},
		{path: "internal/precheck", direct: ours + "internal/postgres"},
		{path: "internal/precheck", direct: ours + "internal/run", broken: true},
		{path: "internal/pgbin", direct: "github.com/jackc/pgx/v5/pgconn", broken: true},
		{path: "internal/work/onserver", direct: ours + "internal/catalog"},
		{path: "internal/work/onhost", deep: ours + "internal/catalog", broken: true},
		{path: "internal/endpoint/pgbouncer", direct: ours + "internal/endpoint/haproxy", broken: true},
		{path: "internal/control", direct: ours + "internal/api/native", broken: true},
		{path: "internal/api/aliyun", direct: ours + "internal/catalog", broken: true},
		{path: "internal/api/aliyun", direct: ours + "internal/api/huawei", broken: true},
		{path: "internal/authz", direct: ours + "internal/control", broken: true},
		{path: "internal/agent", deep: "go.temporal.io/server/common/log", broken: true},
		{path: "internal/agent", deep: ours + "internal/work/onhost"},
		{path: "cmd/pgleap", direct: ours + "internal/app"},
		{path: "cmd/pgleap-agent", direct: ours + "internal/app", broken: true},
	} {
		pkg := goPackage{ImportPath: ours + test.path}
		if test.direct != "" {
			pkg.Imports = []string{test.direct}
		}
		if test.deep != "" {
			pkg.Deps = []string{test.deep}
		}
		broken := slices.ContainsFunc(rules, func(r rule) bool { return len(r.broken(pkg)) > 0 })
		if broken != test.broken {
			t.Errorf("%s importing %s%s: broken is %t, want %t", test.path, short(test.direct), short(test.deep), broken, test.broken)
		}
	}
}
