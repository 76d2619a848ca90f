package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is the value of a flag that is a number of bytes, in PostgreSQL's units: kB, MB, GB and
// TB are powers of 1024 there. Without a unit it is a number of bytes.
type byteSize int64

// String implements pflag.Value.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// Set implements pflag.Value.
func (b *byteSize) Set(text string) error {
	n, err := parseSize(text)
	if err != nil {
		return err
	}
	*b = byteSize(n)
	return nil
}

func parseSize(text string) (int64, error) {
	digits := strings.TrimSpace(text)
	i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	unit := ""
	if i >= 0 {
		digits, unit = digits[:i], strings.TrimSpace(digits[i:])
	}
	shift, known := sizeShifts[strings.ToLower(strings.Replace(unit, "i", "", 1))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is not a size such as 16GB", text)
	}
	return n << shift, nil
}

var sizeShifts = map[string]int{"": 0, "b": 0, "kb": 10, "mb": 20, "gb": 30, "tb": 40}
