package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// targetOptions are the flags that a precheck and an upgrade share: what is checked is what will
// be done.
type targetOptions struct{ wanted client.UpgradeRequest }

func (t *targetOptions) addFlags(cmd *cobra.Command) {
	flags, wanted, options := cmd.Flags(), &t.wanted, &t.wanted.Options
	flags.IntVar((*int)(&wanted.Target), "to", 0, "major `version` of the target, such as 17")
	flags.StringVar((*string)(&wanted.Mode), "mode", string(upgrade.ZeroDowntime), "mode of the upgrade: in-place, blue-green or zero-downtime")
	flags.StringVar(&wanted.TargetPgdata, "target-pgdata", "", "data `directory` of the target (default: beside the source's)")
	flags.IntVar(&wanted.TargetPort, "target-port", 0, "`port` of the target (default: a free one)")
	flags.StringArrayVar(&options.Accepted, "accept", nil, "finding to accept, as `check:object`; repeat it for more")
	flags.Var((*byteSize)(&options.MaxRetainedWAL), "max-retained-wal", "WAL that may be kept for the upgrade, which is given up beyond (default 16GB)")
	flags.IntVar(&options.Jobs, "jobs", 0, "parallelism of pg_upgrade and of the statistics (default: by the processors of the host, 2 to 8, and 2 for statistics)")
	flags.BoolVar(&options.FullIdentity, "full-identity", false, "give tables without a replica identity REPLICA IDENTITY FULL for the time of the upgrade")
	flags.IntVar(&options.TableGroups, "table-groups", 1, "share the tables of each database among so many subscriptions")
	flags.BoolVar(&options.SkipSwitchback, "no-switchback", false, "finish as soon as clients are on the target: without a way back")
	flags.StringVar((*string)(&options.Transfer), "transfer", "", "with --mode in-place: how the files are taken over: auto, clone, copy-file-range, copy, link or swap (default auto)")
	flags.BoolVar(&options.CloneOnly, "clone-only", false, "with --mode blue-green: upgrade a clone, and leave clients where they are")
	flags.StringVar(&options.CloneFrom, "clone-from", "", "copy the clone from this `standby`, to spare the source: its data directory, or HOST:PORT")
	flags.BoolVar(&options.SkipStandbys, "no-standbys", false, "make no standbys of the target, though the source has some on this host")
	flags.BoolVar(&options.WaitForStandbys, "wait-for-standbys", false, "let the switchover wait until the target has standbys as the source has; in modes in-place and\nblue-green clients wait for them")
	flags.BoolVar(&options.SkipSchemaRehearsal, "no-schema-rehearsal", false, "do not upgrade a copy of all definitions in the precheck")
	flags.DurationVar(&options.SchemaRehearsalTimeout, "schema-rehearsal-timeout", 0, "how long the upgrade of that copy may take (default 10m)")
	flags.Var((*byteSize)(&options.SchemaRehearsalDisk), "schema-rehearsal-disk", "disk that the copy may take (default 4GB)")
	cmd.MarkFlagsMutuallyExclusive("no-standbys", "wait-for-standbys")
	var transfers []string
	for _, transfer := range upgrade.Transfers() {
		transfers = append(transfers, string(transfer))
	}
	complete(cmd, "transfer", transfers...)
	complete(cmd, "mode", string(upgrade.InPlace), string(upgrade.BlueGreen), string(upgrade.ZeroDowntime))
}

// complete lets a shell complete the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // fails for an unknown flag only
}

// arguments wants an instance, and a version.
func (t *targetOptions) arguments(cmd *cobra.Command, args []string) error {
	if err := arguments("ID")(cmd, args); err != nil {
		return err
	}
	return t.wantVersion(cmd)
}

func (t *targetOptions) wantVersion(cmd *cobra.Command) error {
	if t.wanted.Target == 0 {
		return usage(cmd, errors.New("--to VERSION is missing"))
	}
	return nil
}
