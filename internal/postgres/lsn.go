package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log, in bytes. LSNs are compared as numbers: 19 pads
// their text with zeros, older versions do not.
type LSN uint64

// ParseLSN reads PostgreSQL's text form, such as "0/8000160" or "0/08000160".
func ParseLSN(text string) (LSN, error) {
	high, low, found := strings.Cut(text, "/")
	if !found {
		return 0, fmt.Errorf("read LSN %q: it has no slash", text)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("read LSN %q: %w", text, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("read LSN %q: %w", text, err)
	}
	return LSN(h<<32 | l), nil
}

// String writes the LSN as PostgreSQL before 19 does.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint32(l)) } //nolint:gosec // the low half is meant

// Minus is the number of bytes between two positions.
func (l LSN) Minus(earlier LSN) int64 { return int64(l - earlier) } //nolint:gosec // a difference of positions fits

// scanLSN lets an LSN be read from a pg_lsn that was cast to text; NULL is 0.
type scanLSN struct{ to *LSN }

// Scan implements database/sql's Scanner, which pgx honours.
func (s scanLSN) Scan(src any) error {
	if src == nil {
		*s.to = 0
		return nil
	}
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("read LSN from %T", src)
	}
	lsn, err := ParseLSN(text)
	*s.to = lsn
	return err
}
