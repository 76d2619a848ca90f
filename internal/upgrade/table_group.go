package upgrade

import "fmt"

// The names of what a table group has (see Options.TableGroups). Groups are counted from 1; group 0 are all
// tables of a database that are not shared among groups. The first subscription and the first slot have the
// names that the only ones would have.

// GroupPublication is the name of the publication of a group, on the source.
func GroupPublication(group int) string {
	if group == 0 {
		return Publication
	}
	return fmt.Sprintf("pgleap_group_%d", group)
}

// GroupSubscription is the name of the subscription to a group, on the target.
func GroupSubscription(group int) string { return numbered(Subscription, group) }

// GroupSlotName is the name of the slot of a group, on the source, by the oid of its database there.
func GroupSlotName(databaseOID uint32, group int) string {
	return numbered(SlotName(databaseOID), group)
}

func numbered(name string, group int) string {
	if group <= 1 {
		return name
	}
	return fmt.Sprintf("%s_%d", name, group)
}
