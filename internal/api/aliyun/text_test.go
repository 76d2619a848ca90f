package aliyun

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzAppendText(f *testing.F) {
	for _, seed := range []string{
		"", "plain", `"quoted" \ and \n`, "line\nline\r\n\ttab", "\b\f\x00\x1f\x7f", "ünïcödé 中 🐘", "\u2028\u2029",
		"\xff\xfe broken \xe4\xb8", "<a href='x'>&</a>", "\ufffd", "2026-03-01 12:00:00 --- Text.\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(text); err != nil {
			t.Fatal(err)
		}
		got := append(appendText([]byte(nil), text), '\n')
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("got %s, want %s", got, want.Bytes())
		}
	})
}
