package pgconf

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// knows returns what the lists of names below testdata say of a version. They
// hold every name that these tests use and that version has.
func knows(t *testing.T, version string) func(string) bool {
	t.Helper()
	names, err := os.ReadFile(filepath.Join("testdata", "known."+version))
	if err != nil {
		t.Fatal(err)
	}
	return Known(strings.Fields(string(names)))
}

func TestTranslateGolden(t *testing.T) {
	for name, test := range map[string]struct {
		versions Versions
		known    string
	}{
		"13-to-17": {Versions{13, 17}, "17"},
		"17-to-19": {Versions{17, 19}, "19"},
		"18-to-19": {Versions{18, 19}, "19"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".conf"))
			if err != nil {
				t.Fatal(err)
			}
			conf := mustParse(t, string(text))
			changes := Translate(conf, test.versions, knows(t, test.known))
			golden(t, name+".golden.conf", conf.Bytes())

			report, err := json.MarshalIndent(changes, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".golden.json", append(report, '\n'))
			if strings.Contains(string(report), "hunter2") {
				t.Error("the report tells a value of a setting that is not ours")
			}

			once := conf.String()
			again := mustParse(t, once)
			if changes := Translate(again, test.versions, knows(t, test.known)); again.String() != once {
				t.Errorf("a second run changes more: %v", changes)
			}
		})
	}
}

func TestTranslateOneSetting(t *testing.T) {
	for _, test := range []struct {
		line     string
		versions Versions
		target   string // what the target knows
		want     string
	}{
		{"wal_keep_segments = 32", Versions{12, 13}, "wal_keep_size", "# pgleap: was wal_keep_segments = 32: PostgreSQL 13 renamed it to wal_keep_size and counts bytes, not segments of 16 MB\nwal_keep_size = 512MB"},
		{"wal_keep_segments = some", Versions{12, 13}, "wal_keep_size", "# pgleap: PostgreSQL 13 does not know it\n#wal_keep_segments = some"},
		{"password_encryption = 'md5'", Versions{13, 17}, "password_encryption", "password_encryption = 'md5'"},
		{"logical_replication_mode = immediate", Versions{16, 18}, "debug_logical_replication_streaming", "# pgleap: was logical_replication_mode = immediate: PostgreSQL 17 renamed it to debug_logical_replication_streaming\ndebug_logical_replication_streaming = immediate"},
		{"max_replication_slots = 50", Versions{18, 19}, "max_replication_slots", "max_replication_slots = 50"},
		{"STANDARD_conforming_strings = F", Versions{18, 19}, "standard_conforming_strings", "# pgleap: PostgreSQL 19 has no other than standard-conforming strings\n#STANDARD_conforming_strings = F"},
		{"datestyle = 'iso, dmy'", Versions{13, 19}, "DateStyle", "datestyle = 'iso, dmy'"},
		{"any.thing = x", Versions{13, 19}, "", "any.thing = x"},
		{"escape_string_warning = off", Versions{13, 18}, "escape_string_warning", "escape_string_warning = off"},
	} {
		conf := mustParse(t, test.line)
		Translate(conf, test.versions, Known([]string{test.target}))
		if conf.String() != test.want {
			t.Errorf("%s, %v:\ngot  %q\nwant %q", test.line, test.versions, conf, test.want)
		}
	}
}

func TestIsFalse(t *testing.T) {
	for value, want := range map[string]bool{
		"off": true, "OF": true, "f": true, "False": true, "n": true, "no": true, "0": true,
		"o": false, "on": false, "t": false, "": false, "1": false, "offf": false,
	} {
		if got := isFalse(value); got != want {
			t.Errorf("isFalse(%q) = %t", value, got)
		}
	}
}
