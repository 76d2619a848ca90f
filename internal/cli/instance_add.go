package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// addOptions are the flags of `instance add`.
type addOptions struct {
	id, pgdata, superuser               string
	port                                int
	pgbouncer                           string
	listenPort, poolSize                int
	authType                            string
	console, consoleUser, passfile, ini string
}

func newInstanceAddCommand(o *options) *cobra.Command {
	var a addOptions
	cmd := &cobra.Command{
		Use:   "add [ID]",
		Short: "Take a running cluster under pgleap's care",
		Long: `Take a running cluster under pgleap's care, named by its data directory or its port.
Without an ID one is derived from the cluster's name or data directory.

An instance has an endpoint, the address that applications connect to and that moves to the
target when an upgrade switches over: a PgBouncer that pgleap starts (--pgbouncer own) or one
that exists (--pgbouncer adopt).` + exitStatus(),
		Example: `  pgleap instance add orders --pgdata /var/lib/postgresql/15/main
  pgleap instance add orders --port 5432 --pgbouncer adopt --console /var/run/postgresql:6432 \
      --console-user pgbouncer --ini /etc/pgbouncer/pgbouncer.ini`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return arguments("ID")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.id = args[0]
			}
			return runInstanceAdd(cmd, o, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&a.pgdata, "pgdata", "", "data `directory` of the cluster")
	flags.IntVar(&a.port, "port", 0, "`port` of the cluster")
	flags.StringVar(&a.superuser, "superuser", "", "`role` to connect as (default: the bootstrap superuser)")
	flags.StringVar(&a.pgbouncer, "pgbouncer", "own", "endpoint: own, adopt or none")
	flags.IntVar(&a.listenPort, "listen-port", 0, "own: `port` that applications connect to (default: a free one)")
	flags.StringVar(&a.authType, "auth-type", "", "own: PgBouncer's auth_type")
	flags.IntVar(&a.poolSize, "pool-size", 0, "own: PgBouncer's default_pool_size")
	flags.StringVar(&a.console, "console", "", "adopt: `address` of its admin console, HOST:PORT or SOCKETDIR:PORT")
	flags.StringVar(&a.consoleUser, "console-user", "", "adopt: `user` of its admin console")
	flags.StringVar(&a.passfile, "console-passfile", "", "adopt: .pgpass `file` with that user's password")
	flags.StringVar(&a.ini, "ini", "", "adopt: its configuration `file`")
	cmd.RegisterFlagCompletionFunc("pgbouncer", cobra.FixedCompletions( //nolint:errcheck // fails for an unknown flag only
		[]string{"own", "adopt", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runInstanceAdd(cmd *cobra.Command, o *options, a addOptions) error {
	request, err := a.request()
	if err != nil {
		return usage(cmd, err)
	}
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	instance, err := decode[upgrade.Instance](api.AddInstance(cmd.Context(), request))
	if err != nil {
		return err
	}
	if o.json() {
		return printJSON(cmd.OutOrStdout(), instance)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Added instance %s: %s.\n", instance.ID, instance.Cluster)
	if instance.Endpoint.Driver != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "Applications connect to %s.\n", instance.Endpoint.Listen)
	}
	return nil
}

func (a addOptions) request() (client.AddInstanceRequest, error) {
	request := client.AddInstanceRequest{
		Id: a.id, Pgdata: a.pgdata, Port: a.port, Superuser: a.superuser,
		Pgbouncer: client.AddInstanceRequestPgbouncer(a.pgbouncer),
		Own:       client.OwnEndpoint{ListenPort: a.listenPort, AuthType: a.authType, PoolSize: a.poolSize},
	}
	if a.pgbouncer != string(client.Adopt) {
		return request, nil
	}
	console, err := parseAddress(a.console)
	if err != nil {
		return request, fmt.Errorf("--console: %w", err)
	}
	request.Adopt = client.AdoptEndpoint{
		Console: console, ConsoleUser: a.consoleUser, ConsolePassfile: a.passfile, Ini: a.ini,
	}
	return request, nil
}

// parseAddress reads HOST:PORT, [IPV6]:PORT or SOCKETDIR:PORT.
func parseAddress(text string) (upgrade.Address, error) {
	var host, port string
	if strings.HasPrefix(text, "/") {
		i := strings.LastIndex(text, ":")
		if i < 0 {
			return upgrade.Address{}, fmt.Errorf("%q has no port", text)
		}
		host, port = text[:i], text[i+1:]
	} else {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return upgrade.Address{}, fmt.Errorf("%q is not HOST:PORT or SOCKETDIR:PORT", text)
		}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || host == "" {
		return upgrade.Address{}, fmt.Errorf("%q is not HOST:PORT or SOCKETDIR:PORT", text)
	}
	return upgrade.Address{Host: host, Port: int(number)}, nil
}
