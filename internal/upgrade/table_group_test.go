package upgrade

import (
	"fmt"
	"testing"
)

func TestNamesOfTableGroups(t *testing.T) {
	for _, c := range []struct {
		group int
		want  string
	}{
		{0, "pgleap_forward pgleap_forward pgleap_16384"},
		{1, "pgleap_group_1 pgleap_forward pgleap_16384"},
		{2, "pgleap_group_2 pgleap_forward_2 pgleap_16384_2"},
		{8, "pgleap_group_8 pgleap_forward_8 pgleap_16384_8"},
	} {
		got := fmt.Sprint(GroupPublication(c.group), " ", GroupSubscription(c.group), " ", GroupSlotName(16384, c.group))
		if got != c.want {
			t.Errorf("group %d: got %q, want %q", c.group, got, c.want)
		}
	}
}
