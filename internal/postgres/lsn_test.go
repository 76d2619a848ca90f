package postgres

import "testing"

func TestParseLSN(t *testing.T) {
	for text, want := range map[string]LSN{
		"0/0":               0,
		"0/8000160":         0x8000160,
		"0/08000160":        0x8000160, // 19 pads with zeros
		"1A/FF":             0x1A000000FF,
		"1a/ff":             0x1A000000FF,
		"FFFFFFFF/FFFFFFFF": 1<<64 - 1,
	} {
		got, err := ParseLSN(text)
		if err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "/", "0/", "/0", "0/0/0", "G/0", "100000000/0", "0/100000000", "-1/0", " 0/0", "+1/0"} {
		if got, err := ParseLSN(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

func TestLSNArithmetic(t *testing.T) {
	if got := LSN(0x100).Minus(0x180); got != -0x80 {
		t.Errorf("0x100 - 0x180 = %d", got)
	}
	if got := LSN(0x1A000000FF).String(); got != "1A/FF" {
		t.Errorf("it is written %s", got)
	}
}

func FuzzParseLSN(f *testing.F) {
	f.Add("0/08000160")
	f.Add("FFFFFFFF/FFFFFFFF")
	f.Fuzz(func(t *testing.T, text string) {
		lsn, err := ParseLSN(text)
		if err != nil {
			return
		}
		again, err := ParseLSN(lsn.String())
		if err != nil || again != lsn {
			t.Errorf("%q is %s, which is read as %s (%v)", text, lsn, again, err)
		}
	})
}
