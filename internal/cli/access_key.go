package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/authz"
)

func newAccessKeyCommand(o *options) *cobra.Command {
	return group("access-key", "Make and manage the keys that open the vendors' APIs",
		newAccessKeyCreateCommand(o), newAccessKeyListCommand(o), newAccessKeyDisableCommand(o),
		newAccessKeyEnableCommand(o), newAccessKeyRotateCommand(o))
}

func (o *options) completeAccessKey(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completeFirst(cmd, args, func(ctx context.Context, api *client.Client) []string {
		keys, _ := listAccessKeys(ctx, api)
		ids := make([]string, 0, len(keys))
		for _, k := range keys {
			ids = append(ids, k.Id)
		}
		return ids
	})
}

func listAccessKeys(ctx context.Context, api *client.Client) ([]client.AccessKey, error) {
	return decode[[]client.AccessKey](api.ListAccessKeys(ctx))
}

// printSecret prints what the key's owner needs. The server can say it this once only.
func printSecret(out io.Writer, k client.AccessKey) error {
	fmt.Fprintln(out)
	err := table(out, [][]string{{"Access key id:", k.Id}, {"Access key secret:", k.Secret}})
	fmt.Fprintln(out, "\nThe secret is not shown again: keep it now.")
	return err
}

// What the policies that have names allow.
var (
	everything = permission{"everything", "do everything that the vendors' APIs offer"}
	looking    = permission{"read-only", "look at everything, and change nothing"}
)

// permission is what a key may do, in short and as a part of a sentence.
type permission struct{ short, long string }

// permissionOf puts a policy into words.
func permissionOf(document json.RawMessage) permission {
	policy, err := authz.Parse(document)
	if err != nil {
		return permission{"unknown", "do what its policy says"}
	}
	switch string(policy.Document()) {
	case string(authz.FullAccess().Document()):
		return everything
	case string(authz.ReadOnly().Document()):
		return looking
	}
	var parts struct{ Statement []json.RawMessage }
	if err := json.Unmarshal(policy.Document(), &parts); err != nil {
		return permission{"unknown", "do what its policy says"}
	}
	switch n := len(parts.Statement); n {
	case 0:
		return permission{"nothing", "do nothing, since its policy has no statements"}
	case 1:
		return permission{"1 statement", "do what the one statement of its policy says"}
	default:
		return permission{fmt.Sprintf("%d statements", n), fmt.Sprintf("do what the %d statements of its policy say", n)}
	}
}
