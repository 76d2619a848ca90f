package pgbouncer

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPinned is about files that have room beside them, and nevertheless cannot be replaced.
func TestPinned(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		pin  func(t *testing.T, path string)
		want string
	}{
		{"a plain file", func(*testing.T, string) {}, ""},
		{"immutable", func(t *testing.T, path string) { attribute(t, "i", path) }, "immutable"},
		{"append-only", func(t *testing.T, path string) { attribute(t, "a", path) }, "append-only"},
		{"a mount of its own", mountHere, "it is mounted as a single file"},
		{"mounted into a container that PgBouncer runs in", func(t *testing.T, path string) {
			elsewhere := path + ".container"
			must(t, os.WriteFile(elsewhere, nil, 0o600))
			pgbouncerThatMounts(t, path, elsewhere)
		}, "has it mounted as a single file"},
		{"mounted on itself for PgBouncer, as systemd does", func(t *testing.T, path string) {
			pgbouncerThatMounts(t, path, path)
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			path := filepath.Join(dir, "my pgbouncer.ini")
			must(t, os.WriteFile(path, []byte("[databases]\n"), 0o600))
			test.pin(t, path)
			c, err := loadConfig(path, "")
			must(t, err)
			got, remedy := c.files[path].pinned()
			if !strings.Contains(got, test.want) || (got == "") != (test.want == "") || (got == "") != (remedy == "") {
				t.Errorf("pinned: %q (%s), want %q", got, remedy, test.want)
			}
			if !c.current() || read(t, path) != "[databases]\n" {
				t.Error("the look has changed the file")
			}
		})
	}
}

func attribute(t *testing.T, attribute, path string) {
	t.Helper()
	privileged(t, "chattr", "+"+attribute, path)
	t.Cleanup(func() { must(t, exec.Command("chattr", "-"+attribute, path).Run()) }) //nolint:noctx // after the test
}

func mountHere(t *testing.T, path string) {
	t.Helper()
	privileged(t, "mount", "--bind", path, path)
	t.Cleanup(func() { must(t, exec.Command("umount", path).Run()) }) //nolint:noctx // after the test
}

// privileged runs a program that not everybody may run, and not everywhere.
func privileged(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Skipf("%s cannot be run here: %v: %s", name, err, out)
	}
}

// pgbouncerThatMounts starts a process of that name, which has a file mounted in a mount namespace of its own.
func pgbouncerThatMounts(t *testing.T, from, to string) {
	t.Helper()
	privileged(t, "unshare", "-m", "mount", "--bind", from, to)
	cat, err := exec.LookPath("cat")
	must(t, err)
	program, err := os.ReadFile(cat)
	must(t, err)
	named := filepath.Join(t.TempDir(), "pgbouncer")
	must(t, os.WriteFile(named, program, 0o700)) //nolint:gosec // it is run
	child := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", `mount --bind "$0" "$1" && exec "$2"`, from, to, named)
	in, err := child.StdinPipe() // it ends with this
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = child.Wait()
	})
	comm := filepath.Join("/proc", strconv.Itoa(child.Process.Pid), "comm")
	waitFor(t, "the process runs", func() bool { return read(t, comm) == "pgbouncer\n" })
}

func TestParseMounts(t *testing.T) {
	t.Parallel()
	got := parseMounts("24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n" +
		`31 24 254:0 /srv/my\040ini /etc/pgbouncer/my\040ini ro - ext4 /dev/vda rw` + "\n" +
		"torn 24 254:0 /")
	want := []mount{{"/", "/"}, {"/srv/my ini", "/etc/pgbouncer/my ini"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mount{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n")
	f.Add(`31 24 254:0 /a\040b /c\134 ro`)
	f.Fuzz(func(t *testing.T, text string) {
		if n := strings.Count(text, "\n") + 1; len(parseMounts(text)) > n {
			t.Errorf("more than %d mounts", n)
		}
		if slices.ContainsFunc(parseMounts(text), func(m mount) bool { return m.root == "" || m.point == "" }) {
			t.Error("a mount without a name")
		}
	})
}
