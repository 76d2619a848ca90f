package control

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"time"

	"github.com/pgleap/pgleap/internal/authz"
	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// AccessKey is what signs requests to the vendors' APIs, without its secret.
type AccessKey struct {
	ID          string
	Account     string
	Description string
	Policy      authz.Policy
	Disabled    bool
	CreatedAt   time.Time
	RotatedAt   *time.Time // when it got its present secret, unless with its creation
	LastUsedAt  *time.Time // within a minute
}

// NewAccessKey is what a user wants of a key.
type NewAccessKey struct {
	Account     string // empty: DefaultAccount
	Description string
	Policy      []byte // a policy document; empty: everything is allowed
}

// DefaultAccount is the account of keys that were made without one. Accounts stand in resource
// names and keep client tokens apart; instances belong to none.
const DefaultAccount = "pgleap"

var accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// CreateAccessKey makes an access key and returns its secret, which is told this once.
func (c *Control) CreateAccessKey(ctx context.Context, who Actor, wanted NewAccessKey) (key AccessKey, secret string, err error) {
	defer func() { c.audit(ctx, who, "create access key", key.ID, err) }()
	if wanted.Account == "" {
		wanted.Account = DefaultAccount
	}
	if !accountName.MatchString(wanted.Account) {
		return key, "", &Invalid{
			Reason: fmt.Sprintf("%q cannot be an account's name", wanted.Account),
			Remedy: "choose 1 to 64 letters, digits, hyphens and underscores",
		}
	}
	policy := authz.FullAccess()
	if len(wanted.Policy) > 0 {
		if policy, err = authz.Parse(wanted.Policy); err != nil {
			return key, "", &Invalid{Reason: "the policy cannot be read: " + err.Error(), Remedy: "see docs/policies.md"}
		}
	}
	// As long as the vendors' ids: some clients check.
	key = AccessKey{
		ID: "PGLEAP" + rand.Text()[:14], Account: wanted.Account, Description: wanted.Description,
		Policy: policy, CreatedAt: c.now(),
	}
	secret = rand.Text()
	err = c.catalog.AddAccessKey(ctx, catalog.AccessKey{
		ID: key.ID, Account: key.Account, Description: key.Description, Secret: c.seal(key.ID, secret),
		Policy: string(policy.Document()), CreatedAt: key.CreatedAt,
	})
	if err != nil {
		return AccessKey{}, "", err
	}
	c.callers.forget(key.ID)
	return key, secret, nil
}

// AccessKeys returns all access keys, the oldest first.
func (c *Control) AccessKeys(ctx context.Context) ([]AccessKey, error) {
	recorded, err := c.catalog.AccessKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]AccessKey, 0, len(recorded))
	for _, k := range recorded {
		key, err := accessKey(k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// DisableAccessKey closes the door to a key, or opens it again.
func (c *Control) DisableAccessKey(ctx context.Context, who Actor, id string, disabled bool) (_ AccessKey, err error) {
	what := "enable access key"
	if disabled {
		what = "disable access key"
	}
	defer func() { c.audit(ctx, who, what, id, err) }()
	if err := c.catalog.DisableAccessKey(ctx, id, disabled); err != nil {
		return AccessKey{}, err
	}
	return c.changedKey(ctx, id)
}

// RotateAccessKey gives a key another secret, which is told this once. The former one is void.
func (c *Control) RotateAccessKey(ctx context.Context, who Actor, id string) (_ AccessKey, secret string, err error) {
	defer func() { c.audit(ctx, who, "rotate access key", id, err) }()
	secret = rand.Text()
	if err := c.catalog.RotateAccessKey(ctx, id, c.seal(id, secret), c.now()); err != nil {
		return AccessKey{}, "", err
	}
	key, err := c.changedKey(ctx, id)
	return key, secret, err
}

func (c *Control) changedKey(ctx context.Context, id string) (AccessKey, error) {
	c.callers.forget(id)
	recorded, err := c.catalog.AccessKey(ctx, id)
	if err != nil {
		return AccessKey{}, err
	}
	return accessKey(recorded)
}

func accessKey(k catalog.AccessKey) (AccessKey, error) {
	policy, err := authz.Parse([]byte(k.Policy))
	if err != nil {
		return AccessKey{}, fmt.Errorf("read policy of access key %s: %w", k.ID, err)
	}
	return AccessKey{
		ID: k.ID, Account: k.Account, Description: k.Description, Policy: policy, Disabled: k.Disabled,
		CreatedAt: k.CreatedAt, RotatedAt: k.RotatedAt, LastUsedAt: k.LastUsedAt,
	}, nil
}

// secretLabel ties a sealed secret to its key: one that is copied to another row is of no use.
func secretLabel(id string) []byte { return []byte("access key " + id) }

func (c *Control) seal(id, secret string) string {
	return base64.StdEncoding.EncodeToString(c.sealer.Seal([]byte(secret), secretLabel(id)))
}

func (c *Control) unseal(id, sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("read secret of access key %s: %w", id, err)
	}
	secret, err := c.sealer.Open(raw, secretLabel(id))
	if err != nil {
		return "", &Unavailable{
			Reason: fmt.Sprintf("the secret of access key %s cannot be read", id),
			Remedy: "restore the key file access.key in the state directory, or rotate the access key",
			Cause:  upgrade.CauseCatalogue, Err: err,
		}
	}
	return string(secret), nil
}
