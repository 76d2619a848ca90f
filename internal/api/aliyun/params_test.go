package aliyun

import "testing"

func TestParametersAsNumbersAndTruthValues(t *testing.T) {
	p := params{"N": "30", "Low": "0", "High": "101", "Text": "x", "Fraction": "1.5", "Huge": "99999999999999999999", "Empty": ""}
	for name, want := range map[string]int{"N": 30, "Absent": 7, "Empty": 7} {
		if got, err := p.integer(name, 1, 100, 7); err != nil || got != want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	for _, name := range []string{"Low", "High", "Text", "Fraction", "Huge"} {
		if _, err := p.integer(name, 1, 100, 7); err == nil || err.(*Error).Code != "Parameters.Invalid" { //nolint:errorlint // it is this very error
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string][2]bool{
		"true": {true, true}, "True": {true, true}, "1": {true, true}, "FALSE": {false, true}, "0": {false, true}, "": {false, false},
	} {
		value, given, err := params{"B": text}.boolean("B")
		if err != nil || value != want[0] || given != want[1] {
			t.Errorf("%q: %v %v %v", text, value, given, err)
		}
	}
	if _, _, err := (params{"B": "yes"}).boolean("B"); err == nil {
		t.Error("yes is taken for a truth value")
	}
}
