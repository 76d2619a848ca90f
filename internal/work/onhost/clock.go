package onhost

import (
	"fmt"
	"syscall"
)

// unsynchronized is what adjtimex(2) returns (TIME_ERROR) while nothing keeps the clock in time.
const unsynchronized = 5

// clockAdrift asks the kernel whether nothing keeps its clock in time; it changes nothing.
func clockAdrift() (bool, error) {
	state, err := syscall.Adjtimex(&syscall.Timex{})
	if err != nil {
		return false, fmt.Errorf("ask the kernel for its clock: %w", err)
	}
	return state == unsynchronized, nil
}
