package cli

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1024": 1024, "1B": 1, "1kB": 1 << 10, "64MB": 64 << 20, "16GB": 16 << 30, "16 GB": 16 << 30, "16GiB": 16 << 30, "1tb": 1 << 40,
		"": -1, "GB": -1, "-1": -1, "1.5GB": -1, "1XB": -1, "16GBB": -1, "9999999999GB": -1, "99999999999999999999": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d (%v), want %d", text, got, err, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"16GB", "1", "", "9223372036854775807TB", " 5 kB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseSize(text); err == nil && n < 0 {
			t.Errorf("%q: got %d", text, n)
		}
	})
}

func TestParseAddress(t *testing.T) {
	none := upgrade.Address{}
	for text, want := range map[string]upgrade.Address{
		"127.0.0.1:6432":           {Host: "127.0.0.1", Port: 6432},
		"[::1]:6432":               {Host: "::1", Port: 6432},
		"localhost:1":              {Host: "localhost", Port: 1},
		"/var/run/postgresql:6432": {Host: "/var/run/postgresql", Port: 6432},
		"/odd:name:6432":           {Host: "/odd:name", Port: 6432},
		"":                         none, "6432": none, ":6432": none, "host:": none, "host:0": none, "host:65536": none, "/var/run": none, "::1:6432": none,
	} {
		got, err := parseAddress(text)
		if got != want || (err == nil) != (want != none) {
			t.Errorf("%q: got %+v (%v)", text, got, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("127.0.0.1:6432")
	f.Add("/var/run/postgresql:6432")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := parseAddress(text); err == nil && (a.Host == "" || a.Port < 1 || a.Port > 65535) {
			t.Errorf("%q: got %+v", text, a)
		}
	})
}

func collectMessages(text string) ([]message, error) {
	var all []message
	err := readMessages(strings.NewReader(text), func(m message) error {
		all = append(all, m)
		if m.data == "stop" {
			return errStop
		}
		return nil
	})
	return all, err
}

func TestReadMessages(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []message
		err  error
	}{
		"nothing":           {"", nil, io.EOF},
		"one":               {"event: task\nid: 3\ndata: {}\n\n", []message{{"task", "3", "{}"}}, io.EOF},
		"without spaces":    {"event:task\ndata:{}\n\n", []message{{"task", "", "{}"}}, io.EOF},
		"lines of data":     {"data: a\ndata: b\n\n", []message{{"", "", "a\nb"}}, io.EOF},
		"comment":           {": still there\n\ndata: a\n\n", []message{{"", "", "a"}}, io.EOF},
		"carriage returns":  {"event: task\r\ndata: a\r\n\r\n", []message{{"task", "", "a"}}, io.EOF},
		"cut off":           {"data: a\n\nevent: task\ndata: b\n", []message{{"", "", "a"}}, io.EOF},
		"nothing but names": {"event: task\n\n", nil, io.EOF},
		"enough":            {"data: stop\n\ndata: more\n\n", []message{{"", "", "stop"}}, errStop},
	} {
		got, err := collectMessages(test.text)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(message{})); diff != "" || !errors.Is(err, test.err) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add("event: task\nid: 3\ndata: {}\n\n: still there\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := collectMessages(text)
		if err == nil {
			t.Error("a stream ended without saying so")
		}
		if len(all) > strings.Count(text, "\n") {
			t.Errorf("%d messages in %q", len(all), text)
		}
	})
}
