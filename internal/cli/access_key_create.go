package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
	"github.com/pgleap/pgleap/internal/authz"
)

// The policies that have names.
const (
	policyFull     = "full"
	policyReadOnly = "read-only"
)

func newAccessKeyCreateCommand(o *options) *cobra.Command {
	var request client.AccessKeyRequest
	var policy string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an access key, and show its secret",
		Long: `Make an access key, and show its secret: this once, and never again. The vendors' SDKs and tools
sign their requests with it. As long as there is no key, the vendors' APIs are closed.

What the key may do is said by its policy: full, read-only, or a file with a policy document in
the language of Alibaba Cloud's RAM.` + exitStatus(),
		Example: `  pgleap access-key create --description "terraform, staging"
  pgleap access-key create --policy read-only --output json
  pgleap access-key create --account 1234 --policy ./only-orders.json`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := readPolicy(policy)
			if err != nil {
				return usage(cmd, err)
			}
			request.Policy = document
			return runAccessKeyCreate(cmd, o, request)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Account, "account", "", "`name` of the account that the key belongs to (default: pgleap)")
	flags.StringVar(&request.Description, "description", "", "what the key is for")
	flags.StringVar(&policy, "policy", policyFull, "full, read-only, or a `file` with a policy document")
	cmd.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions( //nolint:errcheck // fails for an unknown flag only
		[]string{policyFull, policyReadOnly}, cobra.ShellCompDirectiveDefault))
	return cmd
}

// readPolicy returns the policy document that the flag means. The server judges what is in it.
func readPolicy(flag string) (json.RawMessage, error) {
	switch flag {
	case policyFull:
		return authz.FullAccess().Document(), nil
	case policyReadOnly:
		return authz.ReadOnly().Document(), nil
	}
	document, err := os.ReadFile(flag)
	if err != nil {
		return nil, fmt.Errorf("--policy is not full or read-only, and no file: %w", err)
	}
	if !json.Valid(document) {
		return nil, fmt.Errorf("--policy: the file %s is not JSON", flag)
	}
	return document, nil
}

func runAccessKeyCreate(cmd *cobra.Command, o *options, request client.AccessKeyRequest) error {
	api, err := o.connect(cmd)
	if err != nil {
		return err
	}
	key, err := decode[client.AccessKey](api.CreateAccessKey(cmd.Context(), request))
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.json() {
		return printJSON(out, key)
	}
	fmt.Fprintf(out, "Created access key %s of account %s. It may %s.\n", key.Id, key.Account, permissionOf(key.Policy).long)
	return printSecret(out, key)
}
