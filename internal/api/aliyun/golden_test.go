package aliyun

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	files "github.com/pgleap/pgleap/internal/pgtest/golden"
)

// golden compares a text with testdata/golden/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	files.Compare(t, filepath.Join("testdata", "golden", name), got)
}

// written is an answer as a client receives it.
func written(t *testing.T, action string, answer any, f format) string {
	t.Helper()
	object, err := encode(answer)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := tail(object, f, action+"Response")
	if err != nil {
		t.Fatal(err)
	}
	body := append(appendHead(nil, f, action+"Response", "4F0C3B2A-0000-4000-8000-000000000001"), rest...)
	if f == formatXML {
		return string(body) + "\n"
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}
