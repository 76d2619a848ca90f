package cli

import (
	"path/filepath"
	"testing"

	files "github.com/pgleap/pgleap/internal/pgtest/golden"
)

// golden compares a text with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	files.Compare(t, filepath.Join("testdata", name), got)
}
