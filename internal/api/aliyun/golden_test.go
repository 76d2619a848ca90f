package aliyun

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files and the table of errors anew")

// golden compares a text with testdata/golden/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); if this is meant to be, run the test with -update:\n%s", name, diff)
	}
}

// written is an answer as a client receives it.
func written(t *testing.T, action string, answer any, f format) string {
	t.Helper()
	object, err := encode(answer)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := members(object, f)
	if err != nil {
		t.Fatal(err)
	}
	body := appendDocument(nil, f, action+"Response", "4F0C3B2A-0000-4000-8000-000000000001", inside)
	if f == formatXML {
		return string(body) + "\n"
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}
