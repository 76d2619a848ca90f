package cli

import (
	"os"
	"path/filepath"
)

// DefaultStateDir is where the server keeps its state unless told otherwise: the system's place
// for root, the user's own (XDG Base Directory Specification) for everybody else.
func DefaultStateDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/pgleap"
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "pgleap")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "pgleap")
}
