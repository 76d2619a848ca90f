package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/pgleap/pgleap/internal/upgrade"
)

//go:embed report.html
var page string

// writeHTML writes a page that needs nothing else: it can be sent around, opened from a disk and printed. It
// has no script, and html/template escapes what the checks found.
func writeHTML(out io.Writer, r upgrade.Report) error {
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"scripts": scripts, "acceptance": acceptance, "printable": printable, "name": name,
		"more": func(f upgrade.Finding) int { return more(f, len(f.Objects)) },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	word, sentence := Verdict(r)
	return t.Execute(out, map[string]any{
		"Report": r, "Headline": headline(r), "Word": word, "Sentence": sentence,
		"Configuration": configurationText(r.Configuration), "Estimate": estimateText(r.Estimate), "Particulars": particulars(r), "Groups": groups(r), "NotCheckedTitle": notCheckedTitle,
		"Tiles": []tile{
			{"blocker", count(r, upgrade.Blocker), "blockers"},
			{"warning", count(r, upgrade.Warning), "warnings"},
			{"info", count(r, upgrade.Info), "good to know"},
			{"unknown", len(r.NotChecked), "not checked"},
		},
	})
}

// tile is a number at the top of the page.
type tile struct {
	Class string
	Count int
	Label string
}
