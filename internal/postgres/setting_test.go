package postgres

import "testing"

func TestSettingsBytes(t *testing.T) {
	settings := Settings{}
	for _, s := range []Setting{
		{Name: "shared_buffers", Value: "16384", Unit: "8kB"},
		{Name: "max_wal_size", Value: "1024", Unit: "MB"},
		{Name: "max_slot_wal_keep_size", Value: "-1", Unit: "MB"},
		{Name: "wal_segment_size", Value: "16777216", Unit: "B"},
		{Name: "port", Value: "5432"},
		{Name: "wal_level", Value: "logical"},
		{Name: "statement_timeout", Value: "5", Unit: "ms"},
	} {
		settings[s.Name] = s
	}
	for _, c := range []struct {
		name string
		want int64
		fail bool
	}{
		{"shared_buffers", 128 << 20, false},
		{"max_wal_size", 1 << 30, false},
		{"max_slot_wal_keep_size", -1, false}, // no limit
		{"wal_segment_size", 16 << 20, false},
		{"port", 5432, false},
		{"wal_level", 0, true},
		{"statement_timeout", 0, true},
		{"no_such_setting", 0, true},
	} {
		got, err := settings.Bytes(c.name)
		if (err != nil) != c.fail || got != c.want {
			t.Errorf("%s: got %d, %v", c.name, got, err)
		}
	}
}
