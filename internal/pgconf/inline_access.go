package pgconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Access is the text of a pg_hba.conf or a pg_ident.conf that can serve
// somewhere else, and what was changed in it for that.
type Access struct {
	Text    []byte
	Changes []Change
	Files   []string // that were read into it
}

// InlineAccess makes the text of a pg_hba.conf or a pg_ident.conf, which is
// read from path, independent of its place: what it includes, and the lists
// that it names by @file, stand in the place of their names, as far as they
// belong to the cluster. Those are the ones named relative to the file's own
// directory, and in it, and those that belongs says. Other relative names
// become absolute ones: they go on leading to where they did. A file that is
// missing keeps its name, and the server its complaint.
func InlineAccess(path string, text []byte, belongs func(path string) bool) (Access, error) {
	a := accessInliner{top: filepath.Dir(path), belongs: belongs}
	inlined, err := a.inline(path, string(text), nil)
	if err != nil {
		return Access{}, err
	}
	slices.SortStableFunc(a.changes, func(a, b Change) int { return a.Line - b.Line })
	return Access{Text: []byte(inlined), Changes: a.changes, Files: a.files}, nil
}

type accessInliner struct {
	top     string
	belongs func(path string) bool
	changes []Change // in the outermost file
	files   []string
}

// inline returns a file's text with everything in its place. The callers are
// the files that are being read, the outermost first.
func (a *accessInliner) inline(path, text string, callers []string) (string, error) {
	if slices.Contains(callers, path) {
		return "", fmt.Errorf("read %s: it includes itself, by way of %s", path, strings.Join(callers, ", "))
	}
	if len(callers) > maxIncludeDepth {
		return "", fmt.Errorf("read %s: includes are nested deeper than %d", path, maxIncludeDepth)
	}
	callers = append(slices.Clone(callers), path)
	lines := strings.Split(text, "\n")
	// From the end, so that what is inserted moves nothing that is still to do.
	for _, r := range slices.Backward(tokenizeAuth(text)) {
		var instead []string
		var err error
		if include, ok := r.include(); ok {
			instead, err = a.directive(include, callers)
		} else {
			instead, err = a.lists(r, lines[r.first:r.first+r.count], callers)
		}
		if err != nil {
			return "", fmt.Errorf("%s, line %d: %w", path, r.first+1, err)
		}
		if instead != nil {
			lines = slices.Replace(lines, r.first, r.first+r.count, instead...)
		}
	}
	return strings.Join(lines, "\n"), nil
}

// place is where a name in a file leads, and whether what is there belongs to
// the cluster (conffiles.c, AbsoluteConfigLocation).
func (a *accessInliner) place(name, file string) (path string, belongs bool) {
	if filepath.IsAbs(name) {
		path = filepath.Clean(name)
		return path, a.belongs(path)
	}
	path = filepath.Join(filepath.Dir(file), name)
	inside, err := filepath.Rel(a.top, path)
	return path, err == nil && filepath.IsLocal(inside) || a.belongs(path)
}

// directive returns the lines in the place of a directive; nil if it stays.
func (a *accessInliner) directive(include Include, callers []string) (lines []string, err error) {
	path, belongs := a.place(include.Path, callers[len(callers)-1])
	paths := []string{path}
	if belongs && include.Directive == "include_dir" {
		paths, err = confFilesIn(path)
	}
	lines = []string{} // a directory may have none
	for i := 0; belongs && err == nil && i < len(paths); i++ {
		var text string
		if text, err = a.read(paths[i], callers); err == nil {
			lines = append(lines, framedAccess(paths[i], text)...)
		}
	}
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case err != nil && !missing:
		return nil, err
	case belongs && !missing:
		a.tell(include.Directive, path, include.Line, callers)
		return lines, nil
	case staysNamed(include.Path, missing, callers):
		return nil, nil
	}
	line, err := formatFields([][]Token{{Keyword(include.Directive)}, {Literal(path)}})
	return []string{line}, err
}

// staysNamed tells whether a file's name means the same where it comes to stand, or nothing there either.
func staysNamed(name string, missing bool, callers []string) bool {
	return filepath.IsAbs(name) || missing && len(callers) == 1
}

// read returns the text of a file that another one names.
func (a *accessInliner) read(path string, callers []string) (string, error) {
	if slices.Contains(callers, path) || len(callers) > maxIncludeDepth {
		return a.inline(path, "", callers) // it says why not
	}
	text, err := readRegular(path)
	if err != nil {
		return "", err
	}
	a.files = append(a.files, path)
	return a.inline(path, string(text), callers)
}

// framedAccess returns the lines of an included file between two comments.
func framedAccess(path, text string) []string {
	lines := strings.Split(text, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last] // what follows its last newline
	}
	if last := len(lines) - 1; last >= 0 && strings.HasSuffix(strings.TrimRight(lines[last], "\r"), `\`) {
		lines = append(lines, "") // else it would go on with what comes next
	}
	// A path may hold a line break; the comment must not.
	begin, end := fmt.Sprintf("%sbegin of %q", remark, path), fmt.Sprintf("%send of %q", remark, path)
	return slices.Concat([]string{begin}, lines, []string{end})
}

// lists returns the lines in the place of one that names files with lists of
// names; nil if it stays.
func (a *accessInliner) lists(r record, old, callers []string) ([]string, error) {
	changed := false
	var all [][]Token
	for _, field := range r.fields {
		var words []Token
		for _, token := range field {
			instead, err := a.list(token, r.first+1, callers)
			if err != nil {
				return nil, err
			}
			changed = changed || instead != nil
			if instead == nil {
				instead = []Token{token}
			}
			words = append(words, instead...)
		}
		all = append(all, words)
	}
	if !changed {
		return nil, nil
	}
	line, err := formatFields(all)
	if err != nil {
		return nil, err
	}
	eol := ""
	if strings.HasSuffix(old[0], "\r") {
		eol = "\r"
	}
	// Above the old line: that could end the text, on a backslash.
	lines := []string{remark + "the names of the lists stand in the place of @file" + eol, line + eol}
	for _, text := range old {
		lines = append(lines, "#"+text)
	}
	return lines, nil
}

// list returns the words in the place of one; nil if it stays (hba.c,
// next_field_expand). A list that is empty would leave a line without a field.
func (a *accessInliner) list(token Token, line int, callers []string) (words []Token, err error) {
	name, ok := strings.CutPrefix(token.Text, "@")
	if !ok || token.Quoted || name == "" {
		return nil, nil
	}
	path, belongs := a.place(name, callers[len(callers)-1])
	text := ""
	if belongs {
		text, err = a.read(path, callers)
	}
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	if !belongs || missing {
		if staysNamed(name, missing, callers) {
			return nil, nil
		}
		return []Token{Keyword("@" + path)}, nil
	}
	for _, r := range tokenizeAuth(text) {
		words = append(words, slices.Concat(r.fields...)...)
	}
	if len(words) > 0 {
		a.tell(token.Text, path, line, callers)
	}
	return words, nil
}

// tell notes what was taken into the outermost file.
func (a *accessInliner) tell(name, path string, line int, callers []string) {
	if len(callers) != 1 {
		return
	}
	a.changes = append(a.changes, Change{
		Kind: Changed, Name: name, Line: line,
		Reason: fmt.Sprintf("what is in %s stands in its place: what is changed there from now on does not count on the target", path),
	})
}
