package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Setting is a row of pg_settings: a parameter of a running server.
type Setting struct {
	Name           string
	Value          string // in Unit
	Unit           string // "8kB", "ms", ...; empty if it has none
	PendingRestart bool   // a new value is in the files and waits for a restart
}

// Settings are the parameters of a server by name.
type Settings map[string]Setting

// ReadSettings reads all parameters.
func ReadSettings(ctx context.Context, conn *pgx.Conn) (Settings, error) {
	rows, err := conn.Query(ctx, `SELECT name, coalesce(setting, ''), coalesce(unit, ''), pending_restart FROM pg_settings`)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Setting])
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	settings := make(Settings, len(list))
	for _, s := range list {
		settings[s.Name] = s
	}
	return settings, nil
}

// Text is the value as pg_settings shows it; empty if this version has no such parameter.
func (s Settings) Text(name string) string { return s[name].Value }

// Int is the value of a number, in its unit.
func (s Settings) Int(name string) (int64, error) {
	setting, ok := s[name]
	if !ok {
		return 0, fmt.Errorf("setting %s does not exist in this version", name)
	}
	value, err := strconv.ParseInt(setting.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("setting %s is not a whole number: %w", name, err)
	}
	return value, nil
}

// Bytes is the value of an amount of memory or disk. Negative values have a meaning of their own
// and stay as they are.
func (s Settings) Bytes(name string) (int64, error) {
	value, err := s.Int(name)
	if err != nil || value < 0 {
		return value, err
	}
	units := map[string]int64{"": 1, "B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "GB": 1 << 30}
	unit, ok := units[s[name].Unit]
	if !ok {
		return 0, fmt.Errorf("setting %s is not an amount of bytes: its unit is %s", name, s[name].Unit)
	}
	return value * unit, nil
}
