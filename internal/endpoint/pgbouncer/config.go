package pgbouncer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/endpoint"
)

// config is PgBouncer's configuration as it lies on the disk: a file and those it includes.
type config struct {
	main      string
	files     map[string]*file
	databases []entry
	settings  []entry // of the [pgbouncer] section; they have no route
}

// file is one file of a configuration, as it was when it was read.
type file struct {
	path string // symbolic links resolved: a rename would replace the link
	text string
	info fs.FileInfo
}

// entry is one line of the [databases] or the [pgbouncer] section.
type entry struct {
	file  *file
	item  item
	route route
	// shadowed says that a later line has the same name; then that one counts.
	shadowed bool
}

const maxIncludes = 10 // libusual, cfparser.c, MAX_INCLUDE

// loadConfig reads a configuration. A relative name in an include is relative to PgBouncer's
// working directory, as PgBouncer takes it.
func loadConfig(main, workdir string) (*config, error) {
	c := &config{main: main, files: map[string]*file{}}
	var in string
	if err := c.load(main, workdir, &in, 0); err != nil {
		return nil, err
	}
	last := map[string]int{}
	for i, e := range c.databases {
		if earlier, again := last[e.item.name]; again {
			c.databases[earlier].shadowed = true
		}
		last[e.item.name] = i
	}
	return c, nil
}

// load reads a file in the place where it is included: the section goes on through includes.
func (c *config) load(name, workdir string, in *string, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("read %s: includes are nested too deeply", name)
	}
	f, err := c.open(name, workdir)
	if err != nil {
		return err
	}
	items, err := parseINI(f.text)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	for _, it := range items {
		switch {
		case it.kind == section:
			*in = it.name
		case it.kind == include:
			if err := c.load(it.value, workdir, in, depth+1); err != nil {
				return err
			}
		case *in == "databases":
			r, err := readRoute(it.value)
			if err != nil {
				return fmt.Errorf("read %s: line %d: database %q: %w", f.path, it.line, it.name, err)
			}
			c.databases = append(c.databases, entry{file: f, item: it, route: r})
		case *in == "pgbouncer":
			c.settings = append(c.settings, entry{file: f, item: it})
		}
	}
	return nil
}

func (c *config) open(name, workdir string) (*file, error) {
	if !filepath.IsAbs(name) {
		if workdir == "" {
			return nil, fmt.Errorf("read %s: the name is relative and PgBouncer's working directory is unknown; write an absolute name", name)
		}
		name = filepath.Join(workdir, name)
	}
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, fmt.Errorf("read PgBouncer's configuration: %w", err)
	}
	if f, known := c.files[path]; known {
		return f, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read PgBouncer's configuration: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read PgBouncer's configuration: %w", err)
	}
	f := &file{path: path, text: string(text), info: info}
	c.files[path] = f
	return f, nil
}

// current tells whether the files are still as they were read.
func (c *config) current() bool {
	for path, f := range c.files {
		now, err := os.Stat(path)
		if err != nil || !os.SameFile(now, f.info) || !now.ModTime().Equal(f.info.ModTime()) || now.Size() != f.info.Size() {
			return false
		}
	}
	return true
}

// effective are the lines that count, in the order of the files.
func (c *config) effective() []entry {
	var out []entry
	for _, e := range c.databases {
		if !e.shadowed {
			out = append(out, e)
		}
	}
	return out
}

// reroute returns the new texts of the files in which the lines of some databases must change, by path.
func (c *config) reroute(databases func(name string) bool, to endpoint.Address) (map[string]string, error) {
	texts := map[string]string{}
	entries := c.effective()
	for i := len(entries) - 1; i >= 0; i-- { // from the end, so that offsets stay true
		e := entries[i]
		if !databases(e.item.name) {
			continue
		}
		if (e.route.host == to.Host) && e.route.port == to.Port {
			continue
		}
		if n := c.uses(e.file); n > 1 {
			return nil, fmt.Errorf("edit %s: it is included %d times", e.file.path, n)
		}
		line, err := reroute(e.item.value, to)
		if err != nil {
			return nil, fmt.Errorf("edit %s: line %d: %w", e.file.path, e.item.line, err)
		}
		text, edited := texts[e.file.path]
		if !edited {
			text = e.file.text
		}
		if before := text[:e.item.start]; e.item.value == "" && strings.HasSuffix(before, "=") {
			line = " " + line
		}
		texts[e.file.path] = text[:e.item.start] + line + text[e.item.start+len(e.item.value):]
	}
	return texts, nil
}

// uses counts how often the same line of a file was read: a file that is included twice cannot be
// edited by position without thought, and nobody has one.
func (c *config) uses(f *file) int {
	most := 0
	seen := map[int]int{}
	for _, e := range c.databases {
		if e.file == f {
			seen[e.item.start]++
			most = max(most, seen[e.item.start])
		}
	}
	return most
}
