package catalog

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// document stores the value that v points to as JSON.
type document struct{ v any }

// Value implements driver.Valuer.
func (d document) Value() (driver.Value, error) {
	text, err := json.Marshal(d.v)
	return string(text), err
}

// Scan implements sql.Scanner.
func (d document) Scan(from any) error {
	text, ok := from.(string)
	if !ok {
		return fmt.Errorf("read JSON: got %T instead of text", from)
	}
	return json.Unmarshal([]byte(text), d.v)
}

// instant stores a point in time as microseconds since 1970, and returns it in UTC.
type instant struct{ at *time.Time }

// Value implements driver.Valuer.
func (i instant) Value() (driver.Value, error) { return i.at.UnixMicro(), nil }

// Scan implements sql.Scanner.
func (i instant) Scan(from any) error {
	micros, ok := from.(int64)
	if !ok {
		return fmt.Errorf("read time: got %T instead of an integer", from)
	}
	*i.at = time.UnixMicro(micros).UTC()
	return nil
}

// moment is a point in time that may be missing.
func moment(micros sql.Null[int64]) *time.Time {
	if !micros.Valid {
		return nil
	}
	at := time.UnixMicro(micros.V).UTC()
	return &at
}

// rounded is the time as it will be read back.
func rounded(at time.Time) time.Time { return time.UnixMicro(at.UnixMicro()).UTC() }

// legible makes any text storable: programs write in whatever encoding they like, PostgreSQL takes
// neither zero bytes nor what is not UTF-8, and an event must not fail for that.
func legible(text string) string {
	const replacement = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(text, replacement), "\x00", replacement)
}
