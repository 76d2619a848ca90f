package pgbin

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/run"
)

// withoutReader lets a program go on when nobody reads its output any more: an ignored SIGPIPE stays
// ignored (signal(7)). A pg_upgrade that has begun to swap must come to its end, whoever dies.
func withoutReader(c run.Command) run.Command {
	c.Args = append([]string{"-c", `trap '' PIPE; exec "$0" "$@"`, c.Path}, c.Args...)
	c.Path = "/bin/sh"
	return c
}

// Completed tells whether some run of pg_upgrade came to its end, by the log that it leaves in the new
// cluster since 15. A process that outlived its parent has nobody else to tell.
func (u PgUpgrade) Completed() bool {
	logs, _ := filepath.Glob(filepath.Join(escapeGlob(u.NewPgdata), "pg_upgrade_output.d", "*", "log", "pg_upgrade_internal.log")) // the pattern is valid
	for _, log := range logs {
		content, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(content), "\nUpgrade Complete\n") {
			return true
		}
	}
	return false
}
