package huawei

import (
	"path/filepath"
	"testing"

	files "github.com/pgleap/pgleap/internal/pgtest/golden"
)

// golden compares a text with a file below testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	files.Compare(t, filepath.Join("testdata", name+".golden"), got)
}
