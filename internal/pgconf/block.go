package pgconf

import (
	"bytes"
	"fmt"
	"strings"
)

// A block is a run of lines that pgleap put into a file of the user, between
// two comment lines that name it. Without the block the file is, byte for
// byte, what it was. Every configuration file of PostgreSQL can hold one.

// PrependBlock puts a block at the top of text: in pg_hba.conf and
// pg_ident.conf the first line that matches counts. A block of the same name
// is replaced, so doing it twice is doing it once.
func PrependBlock(text []byte, name string, lines ...string) ([]byte, error) {
	rest, block, err := prepareBlock(text, name, lines)
	if err != nil {
		return nil, err
	}
	return append(block, rest...), nil
}

// AppendBlock puts a block at the end of text: in postgresql.conf the last
// line counts. A block of the same name is replaced.
func AppendBlock(text []byte, name string, lines ...string) ([]byte, error) {
	rest, block, err := prepareBlock(text, name, lines)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 && !bytes.HasSuffix(rest, []byte("\n")) {
		// The block takes over the missing newline: RemoveBlock knows by its
		// absence at the end that the newline before the block came with it.
		block = append([]byte("\n"), bytes.TrimSuffix(block, []byte("\n"))...)
	}
	return append(rest, block...), nil
}

// RemoveBlock returns text as it was before the block came, and as it is if
// there is none.
func RemoveBlock(text []byte, name string) ([]byte, error) {
	if err := checkBlockName(name); err != nil {
		return nil, err
	}
	text = bytes.Clone(text)
	for {
		begin := findLine(text, 0, beginLine(name))
		if begin < 0 {
			break
		}
		end := findLine(text, begin, endLine(name))
		if end < 0 {
			return nil, fmt.Errorf("remove block %q: the line %q is missing; put it back where the block ends",
				name, endLine(name))
		}
		if n := bytes.IndexByte(text[end:], '\n'); n >= 0 {
			end += n + 1
		} else {
			end = len(text)
			begin = max(begin-1, 0)
		}
		text = append(text[:begin], text[end:]...)
	}
	return text, nil
}

// prepareBlock returns text without the block, and the block.
func prepareBlock(text []byte, name string, lines []string) (rest, block []byte, err error) {
	if rest, err = RemoveBlock(text, name); err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, beginLine(name))
	for _, line := range lines {
		switch {
		case strings.ContainsAny(line, "\n\r\x00"):
			return nil, nil, fmt.Errorf("write block %q: a line of it holds a line break", name)
		case strings.HasSuffix(line, `\`):
			// It would take the next line with it (hba.c, since 14).
			return nil, nil, fmt.Errorf("write block %q: a line of it ends in a backslash", name)
		case line == beginLine(name) || line == endLine(name):
			return nil, nil, fmt.Errorf("write block %q: a line of it marks a block", name)
		}
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintln(&b, endLine(name))
	return rest, b.Bytes(), nil
}

func beginLine(name string) string { return "# BEGIN pgleap " + name }

func endLine(name string) string { return "# END pgleap " + name }

func checkBlockName(name string) error {
	if n := span(name, func(c byte) bool { return isLetterOrDigit(c) || c == '-' }, len(name)); name == "" || n < len(name) {
		return fmt.Errorf("block name %q: use letters, digits, _ and -", name)
	}
	return nil
}

// findLine returns where the first line equal to want begins, from offset
// from on, or -1. Blanks at the end do not count: editors add and remove them.
func findLine(text []byte, from int, want string) int {
	for from < len(text) {
		end := bytes.IndexByte(text[from:], '\n')
		if end < 0 {
			end = len(text) - from
		}
		if string(bytes.TrimRight(text[from:from+end], " \t\r")) == want {
			return from
		}
		from += end + 1
	}
	return -1
}
