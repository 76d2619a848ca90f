package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Format is a way to write a report.
type Format string

// The formats. Table is the text for a terminal.
const (
	Table    Format = "table"
	JSON     Format = "json"
	Markdown Format = "markdown"
	HTML     Format = "html"
)

// Formats lists all formats.
func Formats() []Format { return []Format{Table, JSON, Markdown, HTML} }

// FormatOf is what the name of a file asks for; empty when it does not tell.
func FormatOf(path string) Format {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".html", ".htm":
		return HTML
	case ".md", ".markdown":
		return Markdown
	case ".json":
		return JSON
	case ".txt":
		return Table
	}
	return ""
}

// Write writes a report in a format.
func Write(out io.Writer, format Format, r upgrade.Report, style Style) error {
	var err error
	switch format {
	case JSON:
		err = writeJSON(out, r)
	case Markdown:
		_, err = io.WriteString(out, markdown(r))
	case HTML:
		err = writeHTML(out, r)
	case Table:
		_, err = io.WriteString(out, text(r, style))
	default:
		err = fmt.Errorf("there is no format %q", format)
	}
	if err != nil {
		return fmt.Errorf("write report %d: %w", r.Number, err)
	}
	return nil
}
