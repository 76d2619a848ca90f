package upgrade

import (
	"fmt"
	"path/filepath"
	"time"
)

// Hooks are programs of the user's that are run around a switch, on the host, as the cluster's owner and
// without arguments. What they are told is in their environment.
type Hooks struct {
	// Before is run before clients wait. If it fails, nothing is switched.
	Before string `json:"before,omitempty"`
	// After is run when clients go on, wherever that is. If it fails, that is told.
	After string `json:"after,omitempty"`
}

// Validate checks that programs are named by absolute paths.
func (h Hooks) Validate() error {
	for _, path := range []string{h.Before, h.After} {
		if path != "" && (!filepath.IsAbs(path) || filepath.Clean(path) != path) {
			return fmt.Errorf("program %q: give its absolute path, without arguments", path)
		}
	}
	return nil
}

// MissingBackup is a base backup that an instance needs, and that nobody has confirmed yet: those that
// were taken before an upgrade cannot be recovered up to now.
type MissingBackup struct {
	Number  int64      `json:"number"`  // of the upgrade
	Version VersionNum `json:"version"` // to be backed up
	Since   time.Time  `json:"since"`
}

// OpenFinding is something that an upgrade could not do, and that waits for somebody to mend it.
type OpenFinding struct {
	Number    int64     `json:"number"` // of the upgrade
	Database  string    `json:"database"`
	Extension string    `json:"extension"`
	From      string    `json:"from"`   // the version that it has
	To        string    `json:"to"`     // the version that the server has
	Reason    string    `json:"reason"` // why it was not updated, when that was tried last
	Since     time.Time `json:"since"`
}

// String tells it in a sentence.
func (f OpenFinding) String() string {
	return fmt.Sprintf("extension %s in %s is still at %s, and not at %s: %s", f.Extension, f.Database, f.From, f.To, f.Reason)
}
