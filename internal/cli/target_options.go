package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetOptions are the flags that a precheck and an upgrade share: what is checked is what will
// be done.
type targetOptions struct {
	to             int
	mode           string
	pgdata         string
	port           int
	accepted       []string
	maxRetainedWAL byteSize
	jobs           int
	noStandbys     bool
	cloneFrom      string
	noRehearsal    bool // of the schema
	rehearsalTime  time.Duration
	rehearsalDisk  byteSize
}

func (t *targetOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&t.to, "to", 0, "major `version` of the target, such as 17")
	flags.StringVar(&t.mode, "mode", string(upgrade.ZeroDowntime), "mode of the upgrade: in-place, blue-green or zero-downtime")
	flags.StringVar(&t.pgdata, "target-pgdata", "", "data `directory` of the target (default: beside the source's)")
	flags.IntVar(&t.port, "target-port", 0, "`port` of the target (default: a free one)")
	flags.StringArrayVar(&t.accepted, "accept", nil, "finding to accept, as `check:object`; repeat it for more")
	flags.Var(&t.maxRetainedWAL, "max-retained-wal", "WAL that may be kept for the upgrade, which is given up beyond (default 16GB)")
	flags.IntVar(&t.jobs, "jobs", 0, "parallelism of pg_upgrade and of the statistics (default: by the processors of the host, 2 to 8, and 2 for statistics)")
	flags.BoolVar(&t.noStandbys, "no-standbys", false, "make no standbys of the target, though the source has some on this host")
	flags.StringVar(&t.cloneFrom, "clone-from", "", "copy the clone from this `standby`, to spare the source: its data directory, or HOST:PORT")
	flags.BoolVar(&t.noRehearsal, "no-schema-rehearsal", false, "do not upgrade a copy of all definitions in the precheck")
	flags.DurationVar(&t.rehearsalTime, "schema-rehearsal-timeout", 0, "how long the upgrade of that copy may take (default 10m)")
	flags.Var(&t.rehearsalDisk, "schema-rehearsal-disk", "disk that the copy may take (default 4GB)")
	cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions( //nolint:errcheck // fails for an unknown flag only
		[]string{string(upgrade.InPlace), string(upgrade.BlueGreen), string(upgrade.ZeroDowntime)}, cobra.ShellCompDirectiveNoFileComp))
}

// arguments wants an instance, and a version.
func (t *targetOptions) arguments(cmd *cobra.Command, args []string) error {
	if err := arguments("ID")(cmd, args); err != nil {
		return err
	}
	return t.wantVersion(cmd)
}

func (t *targetOptions) wantVersion(cmd *cobra.Command) error {
	if t.to == 0 {
		return usage(cmd, errors.New("--to VERSION is missing"))
	}
	return nil
}

func (t *targetOptions) request() client.UpgradeRequest {
	return client.UpgradeRequest{
		Target: upgrade.Major(t.to), Mode: upgrade.Mode(t.mode),
		TargetPgdata: t.pgdata, TargetPort: t.port,
		Options: upgrade.Options{
			Accepted: t.accepted, MaxRetainedWAL: int64(t.maxRetainedWAL), Jobs: t.jobs,
			SkipStandbys: t.noStandbys, CloneFrom: t.cloneFrom,
			SkipSchemaRehearsal: t.noRehearsal, SchemaRehearsalTimeout: t.rehearsalTime, SchemaRehearsalDisk: int64(t.rehearsalDisk),
		},
	}
}
