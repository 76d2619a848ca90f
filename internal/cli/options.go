package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// The formats of output.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// options are the flags of every command.
type options struct {
	server   string
	stateDir string
	format   format
}

func (o *options) addFlags(root *cobra.Command) {
	o.format = formatTable
	flags := root.PersistentFlags()
	flags.StringVar(&o.server, "server", "", "server's `URL` (default: what it left in its state directory; env PGLEAP_SERVER)")
	flags.StringVar(&o.stateDir, "state-dir", "", "server's state `directory`, with its address and token (default: /var/lib/pgleap\nfor root, else ~/.local/state/pgleap; env PGLEAP_STATE_DIR)")
	flags.VarP(&o.format, "output", "o", "table or json")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions( //nolint:errcheck // fails for an unknown flag only
		[]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
}

// json tells whether programs read the output.
func (o *options) json() bool { return o.format == formatJSON }

// format is the value of --output.
type format string

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	if text != formatTable && text != formatJSON {
		return fmt.Errorf("choose %s or %s", formatTable, formatJSON)
	}
	*f = format(text)
	return nil
}

// StateDir is the server's state directory: that of the flag, of the environment, or the default.
func StateDir(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("state-dir"); flag != nil && flag.Value.String() != "" {
		return flag.Value.String()
	}
	if dir := os.Getenv("PGLEAP_STATE_DIR"); dir != "" {
		return dir
	}
	return DefaultStateDir()
}

// printJSON prints what the API said, as the API says it.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// table prints rows in columns. The first row is the head.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// isTerminal tells whether a person looks at the output as it appears.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
