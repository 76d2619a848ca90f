package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// reportOutput is how a report is written, and where to. Its --output takes the place of the one that
// every command has, and knows more formats.
type reportOutput struct {
	format reportFormat
	file   string
}

func (r *reportOutput) addFlags(cmd *cobra.Command) {
	r.format = reportFormat(report.Table)
	cmd.Flags().VarP(&r.format, "output", "o", "table, json, markdown or html")
	cmd.Flags().StringVar(&r.file, "file", "", "write the report to a `file`; its name tells the format: .html, .md, .json or .txt")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions( //nolint:errcheck // fails for an unknown flag only
		[]string{string(report.Table), string(report.JSON), string(report.Markdown), string(report.HTML)}, cobra.ShellCompDirectiveNoFileComp))
}

// reportFormat is the value of --output.
type reportFormat string

// String implements pflag.Value.
func (f *reportFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *reportFormat) Type() string { return "format" }

// Set implements pflag.Value.
func (f *reportFormat) Set(text string) error {
	if !slices.Contains(report.Formats(), report.Format(text)) {
		return errors.New("choose table, json, markdown or html")
	}
	*f = reportFormat(text)
	return nil
}

// settle decides on the format, before anything else is done: a precheck takes a while.
func (r *reportOutput) settle(cmd *cobra.Command) error {
	if r.file == "" || cmd.Flags().Changed("output") {
		return nil
	}
	named := report.FormatOf(r.file)
	if named == "" {
		return usage(cmd, fmt.Errorf("the name of %s does not tell the format: name it .html, .md, .json or .txt, or say --output", r.file))
	}
	r.format = reportFormat(named)
	return nil
}

// write writes the report to the file, with a line on the terminal, or to the terminal. The file is
// for whom the user gives it to: it names all that was found.
func (r *reportOutput) write(cmd *cobra.Command, found upgrade.Report) error {
	out := cmd.OutOrStdout()
	if r.file == "" {
		return report.Write(out, report.Format(r.format), found, reportStyle(out))
	}
	var page bytes.Buffer
	if err := report.Write(&page, report.Format(r.format), found, report.Style{Zone: time.Local}); err != nil {
		return err
	}
	if err := os.WriteFile(r.file, page.Bytes(), 0o600); err != nil {
		return &Error{Code: ExitRefused, Reason: "the report cannot be written", Cause: err, Remedy: "name another --file"}
	}
	word, sentence := report.Verdict(found)
	_, err := fmt.Fprintf(out, "%s: %s. The report is in %s.\n", word, sentence, r.file)
	return err
}

// reportStyle is that of a text for out. Colours are for terminals, unless somebody said that he wants none
// (no-color.org).
func reportStyle(out io.Writer) report.Style {
	return report.Style{Color: isTerminal(out) && os.Getenv("NO_COLOR") == "", Zone: time.Local}
}
