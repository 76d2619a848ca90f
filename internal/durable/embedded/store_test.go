package embedded

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftover(t *testing.T) {
	tests := map[string]struct {
		files       []string
		wantVersion string
		wantFound   bool
	}{
		"first start":          {nil, "", false},
		"same version":         {[]string{"engine-" + Version + ".db", "engine-" + Version + ".db-wal"}, "", false},
		"older version":        {[]string{"engine-1.30.0.db", "engine-1.30.0.db-wal", "engine-1.30.0.db-shm"}, "1.30.0", true},
		"older and this":       {[]string{"engine-1.30.0.db", "engine-" + Version + ".db"}, "1.30.0", true},
		"newer version":        {[]string{"engine-9.0.0.db"}, "9.0.0", true},
		"other files beside":   {[]string{"catalog.db", "lock", "engine.db", "engine-1.30.0.db.bak"}, "", false},
		"journal of a gone db": {[]string{"engine-1.30.0.db-wal"}, "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a[b]*?")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, file := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			version, found, err := Leftover(dir)
			if err != nil {
				t.Fatal(err)
			}
			if version != test.wantVersion || found != test.wantFound {
				t.Errorf("got %q, %v, want %q, %v", version, found, test.wantVersion, test.wantFound)
			}
		})
	}
}

func TestDiscardRemovesOneVersionOnly(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"engine-1.30.0.db", "engine-1.30.0.db-wal", "engine-1.30.0.db-shm", "engine-1.31.0.db", "lock"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // twice is once
		if err := Discard(dir, "1.30.0"); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Name() != "engine-1.31.0.db" || entries[1].Name() != "lock" {
		t.Errorf("left %v", entries)
	}
}

func TestPrepareStoreIsRepeatable(t *testing.T) {
	// The characters mean something in a URI.
	dir := filepath.Join(t.TempDir(), "a b?c#d%20e&f")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := engineFile(dir, Version)
	for range 2 {
		if err := prepareStore(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 {
		t.Error("the schema went to another file")
	}
}
