package content

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

//go:embed sql/*.sql
var scripts embed.FS

// For is the upgrade that a cluster is filled for. What cannot come with it is left out: the scripts say
// why, and the precheck finds it.
type For struct {
	Target int  // the major version
	Clone  bool // the target is made of a physical clone
	// Few leaves out all databases but the one that has most, and so what contrib brings: for a test that
	// must not take long.
	Few bool
}

// Settings are what a cluster needs to hold the content.
func Settings() map[string]string {
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "max_prepared_transactions": "4"}
}

// Load fills a cluster. Tablespaces are made beside its data directory.
func Load(t testing.TB, cluster *pgtest.Cluster, purpose For) {
	t.Helper()
	args := []string{
		"--no-psqlrc", "--file=-", "--quiet", "--tuples-only", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
		"--host=" + cluster.SocketDir, "--port=" + strconv.Itoa(cluster.Port), "--username=" + cluster.Superuser, "--dbname=postgres",
		"--set=port=" + strconv.Itoa(cluster.Port), "--set=source=" + strconv.Itoa(cluster.Major), "--set=target=" + strconv.Itoa(purpose.Target),
		"--set=clone=" + strconv.FormatBool(purpose.Clone), "--set=few=" + strconv.FormatBool(purpose.Few),
	}
	for major := 14; major <= 19; major++ { // psql's \if knows booleans only
		args = append(args, fmt.Sprintf("--set=source_%d=%t", major, cluster.Major >= major), fmt.Sprintf("--set=target_%d=%t", major, purpose.Target >= major))
	}
	for i, name := range []string{"space one", "space=two", "empty"} {
		args = append(args, fmt.Sprintf("--set=space%d=%s", i+1, makeSpace(t, cluster, name)))
	}
	names, err := fs.Glob(scripts, "sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		script, err := scripts.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		psql := exec.CommandContext(t.Context(), filepath.Join(cluster.Bindir, "psql"), args...)
		psql.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8")
		psql.Stdin = bytes.NewReader(script)
		if output, err := psql.CombinedOutput(); err != nil {
			t.Fatalf("run %s on PostgreSQL %d: %v\n%s", path.Base(name), cluster.Major, err, output)
		}
	}
}

// makeSpace makes the directory of a tablespace.
func makeSpace(t testing.TB, cluster *pgtest.Cluster, name string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(cluster.Pgdata), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cluster.Own(t, dir)
	return dir
}
