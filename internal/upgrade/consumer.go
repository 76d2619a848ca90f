package upgrade

import "fmt"

// ConsumerSlot is a logical slot of somebody else, such as change data capture, at a switchover: it is
// made again on the other side. The old slot has all transactions up to OldEnd, the new one all from
// NewStart on: read one after the other they hold each transaction once.
type ConsumerSlot struct {
	Name     string `json:"name"`
	Database string `json:"database"`
	Plugin   string `json:"plugin"`
	TwoPhase bool   `json:"twoPhase,omitempty"`
	Failover bool   `json:"failover,omitempty"`
	// Confirmed is what the consumer had confirmed when everything stood still, and Behind the number of
	// bytes from there to OldEnd. What lies between the two it has to read from the old slot.
	Confirmed string `json:"confirmed,omitempty"`
	Behind    int64  `json:"behind,omitempty"`
	OldEnd    string `json:"oldEnd,omitempty"`   // an LSN of the side that clients left
	NewStart  string `json:"newStart,omitempty"` // an LSN of the side that clients went to
	// Replaces tells that the new slot takes the place of one of the same name that was read to its end.
	Replaces bool `json:"replaces,omitempty"`
	// Problem tells why there is no new slot; the user has accepted that.
	Problem string `json:"problem,omitempty"`
}

// String tells the consumer's owner how it goes on.
func (c ConsumerSlot) String() string {
	if c.Problem != "" {
		return fmt.Sprintf("slot %s of database %s was not made again, as accepted: %s", c.Name, c.Database, c.Problem)
	}
	rest := ""
	if c.Behind > 0 {
		rest = fmt.Sprintf(" (its consumer had confirmed %s, %d bytes before that)", c.Confirmed, c.Behind)
	}
	return fmt.Sprintf("slot %s of database %s: the old one has everything up to LSN %s%s, the new one everything from LSN %s on",
		c.Name, c.Database, c.OldEnd, rest, c.NewStart)
}
