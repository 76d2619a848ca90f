package upgrade

// Standby is a physical standby of an instance.
type Standby struct {
	// Name is its application_name in pg_stat_replication, by which synchronous_standby_names knows it.
	Name string `json:"name"`
	// Address is where it streams from, as the primary sees it; empty over a Unix socket.
	Address string `json:"address,omitempty"`
	// User is the role that it streams as.
	User string `json:"user,omitempty"`
	// Slot is the physical slot that it streams from, if it has one.
	Slot string `json:"slot,omitempty"`
	// Synchronous tells that commits may wait for it.
	Synchronous bool `json:"synchronous,omitempty"`
	// Cluster is the standby itself, if it is on the primary's host.
	Cluster *Cluster `json:"cluster,omitempty"`
	// Sender is the host that it streams from, as it was told.
	Sender string `json:"sender,omitempty"`
	// CommandLine are the settings that it was started with on its command line.
	CommandLine map[string]string `json:"commandLine,omitempty"`
	// Problem tells why pgleap cannot make a successor of it, in a sentence. Empty: it can.
	Problem string `json:"problem,omitempty"`
}
