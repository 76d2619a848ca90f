package upgrade

import "time"

// Instance is what a user upgrades. Its id and endpoint outlive its clusters.
type Instance struct {
	ID        string    `json:"id"` // chosen by the user or derived from the cluster, such as "orders"
	Cluster   Cluster   `json:"cluster"`
	Endpoint  Endpoint  `json:"endpoint"`
	CreatedAt time.Time `json:"createdAt"`
	// UUID names the instance where an id of a fixed shape is wanted: 32 hexadecimal digits.
	UUID string `json:"uuid"`
	// Window is the maintenance window; nil when none is set.
	Window *Window `json:"window,omitempty"`
	// Hooks are what is run around its switch; nil: nothing.
	Hooks *Hooks `json:"hooks,omitempty"`
	// Backup is the base backup that is missing since an upgrade; nil: none is.
	Backup *MissingBackup `json:"backup,omitempty"`
	// Findings are what its last upgrade has left to be mended.
	Findings []OpenFinding `json:"findings,omitempty"`
}

// EndpointDriver says what moves an endpoint.
type EndpointDriver string

// PgBouncer is the one driver there is: it can hold clients and forward them.
const PgBouncer EndpointDriver = "pgbouncer"

// Endpoint is the stable address applications connect to.
type Endpoint struct {
	Driver EndpointDriver `json:"driver,omitempty"` // empty: the instance has no endpoint yet
	// Owned tells a PgBouncer that pgleap runs from one that it adopted.
	Owned bool `json:"owned,omitempty"`
	// Listen is where applications connect.
	Listen Address `json:"listen"`
	// Console is where PgBouncer's admin console is reached, and as whom.
	Console     Address `json:"console"`
	ConsoleUser string  `json:"consoleUser,omitempty"`
	// ConsolePassfile is a .pgpass file with the console user's password; empty if none is needed.
	ConsolePassfile string `json:"consolePassfile,omitempty"`
	// Ini is the path of PgBouncer's configuration.
	Ini string `json:"ini,omitempty"`
	// Dir holds an owned PgBouncer's files.
	Dir string `json:"dir,omitempty"`
	// AuthType is an owned PgBouncer's auth_type.
	AuthType string `json:"authType,omitempty"`
	// PoolSize is an owned PgBouncer's default_pool_size.
	PoolSize int `json:"poolSize,omitempty"`
}
