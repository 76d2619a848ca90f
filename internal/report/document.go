package report

import (
	"encoding/json"
	"io"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// SchemaVersion is raised when a program that reads reports would have to be changed. A field that is
// new does not raise it.
const SchemaVersion = 1

// Document is a report as programs get it. docs/precheck-report.schema.json describes it.
type Document struct {
	// Schema is the version of this document's shape.
	Schema int `json:"schema"`
	// Passed tells whether an upgrade may begin: there is no blocker, and everything could be checked.
	Passed bool `json:"passed"`
	upgrade.Report
}

// NewDocument returns the document of a report. It has a list of findings even if there are none, and not
// what only tells what has changed since.
func NewDocument(r upgrade.Report) Document {
	if r.Findings == nil {
		r.Findings = []upgrade.Finding{}
	}
	r.Parts = nil
	return Document{Schema: SchemaVersion, Passed: r.Passed(), Report: r}
}

func writeJSON(out io.Writer, r upgrade.Report) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(NewDocument(r))
}
