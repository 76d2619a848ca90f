package onhost

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/pgbin"
)

// isWorkedOn tells whether a server or a pg_ctl was started with a data directory. Between the two there is a shell for
// a moment (pg_ctl.c, start_postmaster).
func isWorkedOn(pgdata string) bool {
	for _, args := range commandLines() {
		switch program := filepath.Base(args[0]); {
		case program == "sh" && strings.Contains(args[len(args)-1], `-D "`+pgdata+`"`):
			return true
		case !pgbin.IsServer(program) && program != "pg_ctl":
			continue
		}
		for _, arg := range args[1:] {
			if arg == pgdata || arg == "--pgdata="+pgdata || arg == "-D"+pgdata {
				return true
			}
		}
	}
	return false
}

// commandLines are those of all processes, word by word. One has one word at least, which may be empty.
func commandLines() [][]string {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is valid
	var lines [][]string
	for _, path := range paths {
		if content, err := os.ReadFile(path); err == nil {
			lines = append(lines, strings.Split(strings.TrimRight(string(content), "\x00"), "\x00"))
		}
	}
	return lines
}
