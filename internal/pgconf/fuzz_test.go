package pgconf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// addSeeds adds the test files, as far as they are there, and texts.
func addSeeds(f *testing.F, pattern string, texts ...string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range texts {
		f.Add([]byte(text))
	}
}

// FuzzParseConf: what is read comes back, and what is written is read again.
func FuzzParseConf(f *testing.F) {
	addSeeds(f, "*.conf", illegalLines...)
	for _, legal := range legalLines {
		f.Add([]byte(legal.line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		conf, err := ParseConf(text)
		if err != nil {
			return
		}
		if conf.String() != string(text) {
			t.Fatalf("came back as %q", conf)
		}
		for _, name := range conf.Names() {
			value, _ := conf.Get(name)
			if err := conf.Set(name, value); err != nil {
				t.Fatal(err)
			}
			again, err := ParseConf(conf.Bytes())
			if err != nil {
				t.Fatalf("after set %q to %q: %v", name, value, err)
			}
			if got, _ := again.Get(name); got != value {
				t.Fatalf("set %q to %q, read %q", name, value, got)
			}
		}
		Translate(conf, Versions{12, 19}, func(string) bool { return false })
		again, err := ParseConf(conf.Bytes())
		if err != nil {
			t.Fatalf("after translation to %q: %v", conf, err)
		}
		if diff := cmp.Diff(conf.Settings(), again.Settings()); diff != "" {
			t.Fatalf("after translation (-in memory +read):\n%s", diff)
		}
	})
}

// FuzzParseHBA: what is written is read again, and a block leaves no trace.
func FuzzParseHBA(f *testing.F) {
	addSeeds(f, "pg_hba*.conf", `local "all",@"x y" a"b" peer`, "host all \\\n all ::1 ffff:: md5 a=b,c=d", `local "" "" m"`)
	f.Fuzz(func(t *testing.T, text []byte) {
		blocked, err := PrependBlock(text, "fuzz", "local all all reject")
		if err == nil && !hasBlock(text, "fuzz") {
			if restored, err := RemoveBlock(blocked, "fuzz"); err != nil || string(restored) != string(text) {
				t.Fatalf("the block left %q, %v", restored, err)
			}
		}
		hba, err := ParseHBA(text)
		if err != nil {
			return
		}
		for _, line := range hba.Lines {
			written, err := line.Format()
			if err != nil {
				continue
			}
			again, err := ParseHBA([]byte(written + "\nlocal all all reject"))
			if err != nil || len(again.Lines) != 2 {
				t.Fatalf("%#v was written as %q: %v", line, written, err)
			}
			line.Line = 1
			if diff := cmp.Diff(line, again.Lines[0]); diff != "" {
				t.Fatalf("written as %q (-want +got):\n%s", written, diff)
			}
		}
		translated, _, err := TranslateHBA(text, Versions{13, 19})
		if err != nil {
			return
		}
		if _, err := ParseHBA(translated); err != nil {
			t.Fatalf("translated to %q: %v", translated, err)
		}
	})
}

// FuzzParseIdent: what is written is read again.
func FuzzParseIdent(f *testing.F) {
	addSeeds(f, "pg_ident*.conf", "m a b\n", `m "/^(.*)$" \1`)
	f.Fuzz(func(t *testing.T, text []byte) {
		ident, err := ParseIdent(text)
		if err != nil {
			return
		}
		for _, line := range ident.Lines {
			written, err := line.Format()
			if err != nil {
				continue
			}
			again, err := ParseIdent([]byte(written))
			line.Line = 1
			if err != nil || !cmp.Equal([]IdentLine{line}, again.Lines) {
				t.Fatalf("%#v was written as %q and read as %#v, %v", line, written, again, err)
			}
		}
	})
}
