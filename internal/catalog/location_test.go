package catalog

import (
	"path/filepath"
	"strings"
	"testing"
)

// What parses is a file or a database, and what does not never tells the password.
func FuzzParseURL(f *testing.F) {
	for _, text := range []string{"sqlite:///a/b.db", "sqlite:///%00", "postgres://u:%s@h:5432/d", "postgres://u:p?w@[::1/d"} {
		f.Add(text, "hunter2")
	}
	f.Fuzz(func(t *testing.T, text, password string) {
		where, err := parseURL(text)
		if err == nil && (where.postgres == nil) != filepath.IsAbs(where.file) {
			t.Errorf("%q leads to %+v", text, where)
		}
		if _, err = parseURL("postgres://u:secret-" + password + "@h/d"); err != nil && strings.Contains(err.Error(), "secret-") {
			t.Errorf("%q tells the password", err)
		}
	})
}
