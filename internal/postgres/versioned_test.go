package postgres

import "testing"

func TestVersioned(t *testing.T) {
	t.Parallel()
	const query = "SELECT {14:a.attcompression|''} {15:UNION SELECT '{}'::text|}, x{2}"
	for major, want := range map[int]string{
		13: "SELECT '' , x{2}",
		14: "SELECT a.attcompression , x{2}",
		15: "SELECT a.attcompression UNION SELECT '{}'::text, x{2}",
		19: "SELECT a.attcompression UNION SELECT '{}'::text, x{2}",
	} {
		if got := forMajor(major, query); got != want {
			t.Errorf("%d: %s, want %s", major, got, want)
		}
	}
}
