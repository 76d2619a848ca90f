package native

import (
	"context"

	"github.com/pgleap/pgleap/internal/control"
)

// ListAccessKeys implements StrictServerInterface.
func (a *api) ListAccessKeys(ctx context.Context, _ ListAccessKeysRequestObject) (ListAccessKeysResponseObject, error) {
	keys, err := a.control.AccessKeys(ctx)
	if err != nil {
		return nil, err
	}
	answer := make([]AccessKey, 0, len(keys))
	for _, k := range keys {
		answer = append(answer, wireKey(k))
	}
	return ListAccessKeys200JSONResponse(answer), nil
}

// CreateAccessKey implements StrictServerInterface.
func (a *api) CreateAccessKey(ctx context.Context, r CreateAccessKeyRequestObject) (CreateAccessKeyResponseObject, error) {
	key, secret, err := a.control.CreateAccessKey(ctx, actor(ctx), control.NewAccessKey{
		Account: r.Body.Account, Description: r.Body.Description, Policy: r.Body.Policy,
	})
	if err != nil {
		return nil, err
	}
	return CreateAccessKey201JSONResponse(withSecret(key, secret)), nil
}

// DisableAccessKey implements StrictServerInterface.
func (a *api) DisableAccessKey(ctx context.Context, r DisableAccessKeyRequestObject) (DisableAccessKeyResponseObject, error) {
	key, err := a.control.DisableAccessKey(ctx, actor(ctx), r.Id, true)
	if err != nil {
		return nil, err
	}
	return DisableAccessKey200JSONResponse(wireKey(key)), nil
}

// EnableAccessKey implements StrictServerInterface.
func (a *api) EnableAccessKey(ctx context.Context, r EnableAccessKeyRequestObject) (EnableAccessKeyResponseObject, error) {
	key, err := a.control.DisableAccessKey(ctx, actor(ctx), r.Id, false)
	if err != nil {
		return nil, err
	}
	return EnableAccessKey200JSONResponse(wireKey(key)), nil
}

// RotateAccessKey implements StrictServerInterface.
func (a *api) RotateAccessKey(ctx context.Context, r RotateAccessKeyRequestObject) (RotateAccessKeyResponseObject, error) {
	key, secret, err := a.control.RotateAccessKey(ctx, actor(ctx), r.Id)
	if err != nil {
		return nil, err
	}
	return RotateAccessKey200JSONResponse(withSecret(key, secret)), nil
}

func wireKey(k control.AccessKey) AccessKey {
	return AccessKey{
		Id: k.ID, Account: k.Account, Description: k.Description, Policy: k.Policy.Document(), Disabled: k.Disabled,
		CreatedAt: k.CreatedAt, RotatedAt: k.RotatedAt, LastUsedAt: k.LastUsedAt,
	}
}

// withSecret is for the two answers that tell a secret.
func withSecret(k control.AccessKey, secret string) AccessKey {
	key := wireKey(k)
	key.Secret = secret
	return key
}
