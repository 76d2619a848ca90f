package pgbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// PostmasterOpts are the options that a cluster was last started with, but for its data directory, as
// pg_ctl's -o takes them. pg_ctl restart goes by the same file, postmaster.opts
// (postmaster.c, CreateOptsFile); pg_ctl start does not. Without one there are none.
func PostmasterOpts(pgdata string) (string, error) {
	content, err := os.ReadFile(filepath.Join(pgdata, "postmaster.opts"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the server's options: %w", err)
	}
	args := parsePostmasterOpts(string(content))
	words := make([]string, 0, len(args))
	for _, arg := range args {
		words = append(words, QuoteWord(arg))
	}
	return strings.Join(words, " "), nil
}

// parsePostmasterOpts reads `/path/postgres "-D" "/data" "-c" "a=b"`. The server escapes nothing, so an
// argument that holds quotes and blanks as they stand between two others cannot be told from two.
func parsePostmasterOpts(content string) []string {
	content = strings.TrimSuffix(content, "\n")
	_, rest, found := strings.Cut(content, ` "`)
	if !found || !strings.HasSuffix(rest, `"`) {
		return nil
	}
	var args []string
	all := strings.Split(strings.TrimSuffix(rest, `"`), `" "`)
	for i := 0; i < len(all); i++ {
		switch arg := all[i]; {
		case arg == "-D":
			i++ // its value
		case strings.HasPrefix(arg, "-D"):
		default:
			args = append(args, arg)
		}
	}
	return args
}
