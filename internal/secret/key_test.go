package secret

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "payload.key")
	first, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o600)
	again, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() != again.ID() {
		t.Errorf("key %s after reading, %s when made", again.ID(), first.ID())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(first.ID())) {
		t.Error("the key's public id is part of the key")
	}
}

func TestKeyFileRefused(t *testing.T) {
	good := strings.Repeat("ab", keyBytes)
	tests := map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"too short":           {good[2:], 0o600, "64 hexadecimal digits"},
		"not hexadecimal":     {"z" + good[1:], 0o600, "64 hexadecimal digits"},
		"empty":               {"", 0o600, "64 hexadecimal digits"},
		"readable by a group": {good, 0o640, "chmod 600"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "payload.key")
			if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadOrCreate(path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "abab") {
				t.Errorf("the error tells of the key: %v", err)
			}
		})
	}
}

func TestTwoProcessesMakeOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "payload.key")
	ids := make(chan string)
	const makers = 8
	for range makers {
		go func() {
			key, err := LoadOrCreate(path)
			if err != nil {
				ids <- err.Error()
				return
			}
			ids <- key.ID()
		}()
	}
	first := <-ids
	for range makers - 1 {
		if id := <-ids; id != first {
			t.Errorf("got %s and %s", id, first)
		}
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}

func TestWhatIsSealedIsOpenedUnderItsLabelOnly(t *testing.T) {
	key, err := NewKey(bytes.Repeat([]byte{7}, keyBytes))
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal([]byte("correct horse"), []byte("key A"))
	if bytes.Contains(sealed, []byte("horse")) {
		t.Error("it stands in clear")
	}
	if plain, err := key.Open(sealed, []byte("key A")); err != nil || string(plain) != "correct horse" {
		t.Errorf("read back %q (%v)", plain, err)
	}
	if _, err := key.Open(sealed, []byte("key B")); err == nil {
		t.Error("it is opened under another label")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := key.Open(sealed, []byte("key A")); err == nil {
		t.Error("it is opened though it was changed")
	}
}
