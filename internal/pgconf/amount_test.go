package pgconf

import "testing"

func TestParseAmount(t *testing.T) {
	for _, test := range []struct {
		text, unit string
		want       float64
		ok         bool
	}{
		{"64", "kB", 64, true},
		{" 64MB ", "kB", 65536, true},
		{"1 GB", "8kB", 131072, true},
		{"1.5GB", "MB", 1536, true},
		{"0x40", "", 64, true},
		{"010", "", 8, true},
		{"-1", "ms", -1, true},
		{"2min", "s", 120, true},
		{"1d", "min", 1440, true},
		{"500us", "ms", 0.5, true},
		{"1e3", "", 1000, true},
		{"0.9", "", 0.9, true},
		{"64mb", "kB", 0, false}, // units are told by their case
		{"1h", "kB", 0, false},
		{"5MB", "", 0, false},
		{"1_000", "", 0, false},
		{"lots", "kB", 0, false},
		{"", "kB", 0, false},
		{"nan", "", 0, false},
	} {
		got, ok := parseAmount(test.text, test.unit)
		if got != test.want || ok != test.ok {
			t.Errorf("%q in %q: got %g, %t, want %g, %t", test.text, test.unit, got, ok, test.want, test.ok)
		}
	}
}

func TestDisplay(t *testing.T) {
	for _, test := range []struct{ value, unit, want string }{
		{"16384", "8kB", "128MB"},
		{"600000", "ms", "10min"},
		{"1500", "ms", "1500ms"},
		{"-1", "ms", "-1"},
		{"0", "kB", "0"},
		{"4096", "kB", "4MB"},
		{"0.9", "", "0.9"},
		{"on", "", "on"},
		{"128", "", "128"},
	} {
		if got := (Parameter{Unit: test.unit}).Display(test.value); got != test.want {
			t.Errorf("%s in %q: got %s, want %s", test.value, test.unit, got, test.want)
		}
	}
}

// FuzzParseAmount: whatever it is given, what it returns is a number.
func FuzzParseAmount(f *testing.F) {
	for _, text := range []string{"64MB", "0x1F", "1e400", "-", "1.5 h", "MB", "0xMB", "٣"} {
		f.Add(text, "8kB")
	}
	f.Fuzz(func(t *testing.T, text, unit string) {
		amount, ok := parseAmount(text, unit)
		if ok && (amount != amount) {
			t.Errorf("%q in %q is not a number", text, unit)
		}
	})
}
