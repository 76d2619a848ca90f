package postmaster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Dependent is an active unit that systemd stops together with a cluster's, and starts again with nobody's.
type Dependent struct {
	Unit string
	// Setting is what ties it, as its own file says: Requires=postgresql-15.service.
	Setting string
	// Args is the command line of its main process, if it has one.
	Args []string
}

// stopsAlong are the properties of a unit that list those which are stopped with it, and what these say in their own
// files (systemd.unit(5), "Mapping of unit properties to their inverses"). Older versions of systemd lack the last one.
func stopsAlong() map[string]string {
	return map[string]string{
		"RequiredBy": "Requires", "RequisiteOf": "Requisite", "BoundBy": "BindsTo", "ConsistsOf": "PartOf", "PropagatesStopTo": "StopPropagatedFrom",
	}
}

// Dependents lists what systemd stops when it stops a cluster's unit, what depends on those units in turn included. A
// cluster without a unit has none.
func (h *Host) Dependents(ctx context.Context, c upgrade.Cluster) ([]Dependent, error) {
	unit := h.unitOf(c)
	if unit == "" {
		return nil, nil
	}
	var found []Dependent
	seen := map[string]bool{unit: true}
	for units := []string{unit}; len(units) > 0; units = units[1:] {
		out, err := h.call(ctx, systemctlWait, "show", "--property=RequiredBy,RequisiteOf,BoundBy,ConsistsOf,PropagatesStopTo", units[0])
		if err != nil {
			return nil, fmt.Errorf("look at what depends on unit %s: %w", units[0], err)
		}
		for _, one := range dependentsIn(out, units[0]) {
			if seen[one.Unit] {
				continue
			}
			seen[one.Unit] = true
			active, pid, err := h.unitState(ctx, one.Unit)
			if err != nil {
				return nil, err
			}
			if active {
				one.Args = argsOf(pid)
				found, units = append(found, one), append(units, one.Unit)
			}
		}
	}
	return found, nil
}

// unitOf is the unit that runs a cluster. On Debian pg_ctlcluster asks systemd to stop one, if that has started it.
func (h *Host) unitOf(c upgrade.Cluster) string {
	switch c.Manager {
	case upgrade.ManagerSystemd:
		return c.Unit
	case upgrade.ManagerPgCtlcluster:
		if exists(h.systemd.runtime) { // sd_booted(3)
			return fmt.Sprintf("postgresql@%d-%s.service", c.Version.Major(), c.Name)
		}
	case upgrade.ManagerPgCtl:
	}
	return ""
}

// dependentsIn reads what systemctl show says of a unit, in the order of the units' names.
func dependentsIn(shown, unit string) (found []Dependent) {
	for line := range strings.Lines(shown) {
		property, units, _ := strings.Cut(strings.TrimSpace(line), "=")
		setting, ok := stopsAlong()[property]
		if !ok {
			continue
		}
		for name := range strings.FieldsSeq(units) {
			found = append(found, Dependent{Unit: name, Setting: setting + "=" + unit})
		}
	}
	slices.SortStableFunc(found, func(a, b Dependent) int { return strings.Compare(a.Unit, b.Unit) })
	return found
}

// unitState tells whether a unit is up, or on its way, and its main process.
func (h *Host) unitState(ctx context.Context, unit string) (active bool, pid int, err error) {
	out, err := h.call(ctx, systemctlWait, "show", "--property=ActiveState,MainPID", unit)
	if err != nil {
		return false, 0, fmt.Errorf("look at unit %s: %w", unit, err)
	}
	for line := range strings.Lines(out) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "ActiveState":
			active = value != "inactive" && value != "failed"
		case "MainPID":
			pid, _ = strconv.Atoi(value)
		}
	}
	return active, pid, nil
}

// argsOf is the command line of a process; nothing, if there is none.
func argsOf(pid int) []string {
	if pid <= 0 {
		return nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimRight(content, "\x00"), []byte{0}) {
		args = append(args, string(arg))
	}
	return args
}
