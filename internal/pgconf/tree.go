package pgconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxIncludeDepth is CONF_FILE_MAX_DEPTH of the server (conffiles.h).
const maxIncludeDepth = 10

// autoConf is the file that ALTER SYSTEM writes (guc.h, PG_AUTOCONF_FILENAME).
const autoConf = "postgresql.auto.conf"

// File is a configuration file that was read, with its path.
type File struct {
	Path string
	Conf *Conf
}

// Tree is a configuration as the server reads it: a file, the files that it
// includes, and the one that ALTER SYSTEM writes.
type Tree struct {
	Main *File
	Auto *File // nil without postgresql.auto.conf
	// CommandLine has what the server was started with; nil if nobody told.
	CommandLine *File
}

// commandLine is the path of what stands in no file.
const commandLine = "command line"

// SetCommandLine adds the settings that the server was started with. They
// count more than those of the files.
func (t *Tree) SetCommandLine(settings map[string]string) error {
	conf := &Conf{lines: []confLine{{}}}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if err := conf.Set(name, settings[name]); err != nil {
			return err
		}
	}
	t.CommandLine = &File{Path: commandLine, Conf: conf}
	return nil
}

// LoadTree reads configFile with everything that it includes, and
// postgresql.auto.conf from pgdata, which may be empty: then none is read.
func LoadTree(configFile, pgdata string) (*Tree, error) {
	path, err := filepath.Abs(configFile)
	if err != nil {
		return nil, fmt.Errorf("find configuration file %s: %w", configFile, err)
	}
	main, err := loadFile(path, nil)
	if err != nil {
		return nil, err
	}
	tree := &Tree{Main: main}
	if pgdata == "" {
		return tree, nil
	}
	tree.Auto, err = loadFile(filepath.Join(pgdata, autoConf), nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return tree, nil
}

// loadFile reads a file and what it includes. The callers are the files that
// are being read, the outermost first.
func loadFile(path string, callers []string) (*File, error) {
	if slices.Contains(callers, path) {
		return nil, fmt.Errorf("read configuration file %s: it includes itself, by way of %s",
			path, strings.Join(callers, ", "))
	}
	if len(callers) > maxIncludeDepth {
		return nil, fmt.Errorf("read configuration file %s: includes are nested deeper than %d", path, maxIncludeDepth)
	}
	text, err := readRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration file: %w", err)
	}
	conf, err := parseConf(text, path)
	if err != nil {
		return nil, fmt.Errorf("read configuration file: %w", err)
	}
	callers = append(slices.Clone(callers), path)
	for i := range conf.lines {
		line := &conf.lines[i]
		if !line.isInclude() {
			continue
		}
		if line.included, err = loadIncluded(line, path, callers); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
		}
	}
	return &File{Path: path, Conf: conf}, nil
}

// maxFileSize is far above any configuration file that was written by hand.
const maxFileSize = 16 << 20

// readRegular reads a file whose name may come from somebody with fewer rights
// than the caller's: it neither waits for a pipe nor reads a device.
func readRegular(path string) (text []byte, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileSize {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxFileSize)
	}
	return io.ReadAll(io.LimitReader(file, maxFileSize))
}

// loadIncluded reads what an include directive of the file at path names.
func loadIncluded(line *confLine, path string, callers []string) ([]*File, error) {
	if strings.Trim(line.value, " \t\r\n") == "" {
		return nil, fmt.Errorf("%s names no file", line.name)
	}
	included := line.value
	if !filepath.IsAbs(included) {
		included = filepath.Join(filepath.Dir(path), included)
	}
	included = filepath.Clean(included)
	paths := []string{included}
	switch foldName(line.name) {
	case "include_dir":
		var err error
		if paths, err = confFilesIn(included); err != nil {
			return nil, err
		}
	case "include_if_exists":
		if _, err := os.Stat(included); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	var files []*File
	for _, p := range paths {
		file, err := loadFile(p, callers)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// confFilesIn lists what include_dir reads, in its order (conffiles.c,
// GetConfFilesInDir): *.conf that is not a directory and not hidden.
func confFilesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read configuration directory: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".conf") {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read configuration directory: %w", err)
		}
		if !info.IsDir() {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// clone returns a tree that shares nothing with t that a translation changes.
func (t *Tree) clone() *Tree {
	return &Tree{Main: t.Main.clone(), Auto: t.Auto.clone(), CommandLine: t.CommandLine.clone()}
}

func (f *File) clone() *File {
	if f == nil {
		return nil
	}
	lines := slices.Clone(f.Conf.lines)
	for i := range lines {
		lines[i].included = slices.Clone(lines[i].included)
		for n, file := range lines[i].included {
			lines[i].included[n] = file.clone()
		}
	}
	return &File{Path: f.Path, Conf: &Conf{lines: lines}}
}

// IsAuto tells whether a setting is one that ALTER SYSTEM wrote, so that ALTER
// SYSTEM RESET takes it away.
func (s Setting) IsAuto() bool { return filepath.Base(s.File) == autoConf }

// Place says where a setting stands.
func (s Setting) Place() string {
	if s.File == commandLine {
		return commandLine
	}
	return fmt.Sprintf("%s:%d", s.File, s.Line)
}

// Files returns all files in the order in which the server begins to read them.
func (t *Tree) Files() []*File {
	files := t.Main.withIncluded()
	for _, file := range t.over() {
		files = append(files, file.withIncluded()...)
	}
	return files
}

func (f *File) withIncluded() []*File {
	files := []*File{f}
	for _, line := range f.Conf.lines {
		for _, included := range line.included {
			files = append(files, included.withIncluded()...)
		}
	}
	return files
}

// Settings returns every line that sets something, in the order in which the
// server reads them: of several lines with one name, the last one counts.
func (t *Tree) Settings() []Setting {
	all := t.Main.settings()
	for _, file := range t.over() {
		all = append(all, file.settings()...)
	}
	return all
}

// over returns what counts more than the main file, in order.
func (t *Tree) over() []*File {
	var files []*File
	for _, file := range []*File{t.Auto, t.CommandLine} {
		if file != nil {
			files = append(files, file)
		}
	}
	return files
}

// Effective returns the lines that give the settings their values, in order.
func (t *Tree) Effective() []Setting {
	seen := map[string]bool{}
	var effective []Setting
	for _, s := range slices.Backward(t.Settings()) {
		if name := foldName(s.Name); !seen[name] {
			seen[name] = true
			effective = append(effective, s)
		}
	}
	slices.Reverse(effective)
	return effective
}

func (f *File) settings() []Setting {
	var all []Setting
	for i, line := range f.Conf.lines {
		if line.isSetting() {
			all = append(all, Setting{line.name, line.value, f.Path, i + 1})
		}
		for _, included := range line.included {
			all = append(all, included.settings()...)
		}
	}
	return all
}

// Get returns the line that gives name its value.
func (t *Tree) Get(name string) (Setting, bool) {
	for _, s := range slices.Backward(t.Settings()) {
		if foldName(s.Name) == foldName(name) {
			return s, true
		}
	}
	return Setting{}, false
}

// Flat returns all settings as one file: the main one with the included files
// in the place of the directives, and then what counts more, set in its place.
func (t *Tree) Flat() (*Conf, error) {
	conf := t.Inline()
	for _, file := range t.over() {
		for _, s := range file.settings() {
			if err := conf.Set(s.Name, s.Value); err != nil {
				return nil, fmt.Errorf("carry over %s of %s: %w", s.Name, file.Path, err)
			}
		}
	}
	return conf, nil
}

// Inline returns the text of the main file with the included files in the
// place of the directives, so that it can serve somewhere else without
// sharing a file with the source. What ALTER SYSTEM wrote, and what the server
// was started with, is not in it.
func (t *Tree) Inline() *Conf {
	return &Conf{lines: t.Main.inlined()}
}

func (f *File) inlined() []confLine {
	var lines []confLine
	for _, line := range f.Conf.lines {
		if !line.isInclude() {
			lines = append(lines, line)
			continue
		}
		directive := &Conf{lines: []confLine{line}}
		directive.commentOutLine(0, "the included files follow, as they were")
		lines = append(lines, directive.lines...)
		for _, included := range line.included {
			lines = append(lines, included.framed()...)
		}
	}
	return lines
}

// framed returns the lines of an included file between two comments.
func (f *File) framed() []confLine {
	lines := f.inlined()
	if last := len(lines) - 1; lines[last].text == "" {
		lines = lines[:last] // what follows its last newline
	}
	// A path may hold a line break; the comment must not.
	begin := confLine{text: fmt.Sprintf("%sbegin of %q", remark, f.Path)}
	end := confLine{text: fmt.Sprintf("%send of %q", remark, f.Path)}
	return append(append([]confLine{begin}, lines...), end)
}
