package upgrade

// ConfigurationKind says what becomes of a setting on the target.
type ConfigurationKind string

// What is dropped has no successor; what is renamed or changed has; what is kept needs a look. An
// invalid one the target refuses. A changed context means that others may set it. A default is
// another where nobody has set anything, or is that of a setting which the source does not have.
const (
	ConfigurationDropped ConfigurationKind = "dropped"
	ConfigurationRenamed ConfigurationKind = "renamed"
	ConfigurationChanged ConfigurationKind = "changed"
	ConfigurationKept    ConfigurationKind = "kept"
	ConfigurationInvalid ConfigurationKind = "invalid"
	ConfigurationContext ConfigurationKind = "context"
	ConfigurationDefault ConfigurationKind = "default"
	ConfigurationNew     ConfigurationKind = "new"
)

// ConfigurationChange is one setting that means something else to the target.
type ConfigurationChange struct {
	Kind ConfigurationKind `json:"kind"`
	// Name is the setting, or the method or option of pg_hba.conf.
	Name string `json:"name"`
	// Where it is set: a file and its line, the command line, a role, a database, a function; or
	// "default", where nobody has set it.
	Where string `json:"where"`
	// From and To are its values, or whole settings. A value that may be a secret is not shown.
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Configuration is what becomes of the source's configuration on the target.
type Configuration struct {
	Changes []ConfigurationChange `json:"changes"`
	// Kept is how many settings of the files are carried over as they are.
	Kept int `json:"kept"`
	// Diff is a unified diff of the configuration files, without what stays. Values that may be
	// secrets, and comments, are not shown.
	Diff string `json:"diff,omitempty"`
}
