package precheck

import (
	"slices"
	"testing"
)

// A check that is renamed must not tell the rehearsal's findings twice.
func TestForetellersExist(t *testing.T) {
	for _, id := range foretells() {
		if !slices.ContainsFunc(All(), func(c Check) bool { return c.ID == id }) {
			t.Errorf("there is no check %s", id)
		}
	}
}
