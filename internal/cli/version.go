package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long:  "Print the version of this program. No server is asked.\n\nEXIT STATUS\n    0  Always.",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := buildVersion()
			if o.json() {
				return printJSON(cmd.OutOrStdout(), v)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "pgleap %s (%s, %s)\n", v.Version, orDash(v.Revision), v.Go)
			return nil
		},
	}
}

type programVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

// buildVersion is what the Go linker wrote into the program.
func buildVersion() programVersion {
	v := programVersion{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
