package huawei

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// identify finds out who calls, and reads the request. Where there are both a signature and a
// token, the signature counts: SDKs sign always.
func (a *api) identify(ctx context.Context, c *call) error {
	signatures := c.request.Header.Values("Authorization")
	tokens := c.request.Header.Values("X-Auth-Token")
	switch {
	case len(signatures) == 1:
		return a.bySignature(ctx, c, signatures[0])
	case len(signatures) > 1:
		return refuse(codeUnauthenticated, msgBadAuthorization)
	case len(tokens) == 1:
		return a.byToken(ctx, c, tokens[0])
	case len(tokens) > 1:
		return refuse(codeUnauthenticated, msgBadToken)
	}
	return refuse(codeUnauthenticated, msgNoCredentials)
}

func (a *api) bySignature(ctx context.Context, c *call, header string) error {
	auth, bad := parseAuthorization(header)
	if bad != nil {
		return bad
	}
	c.who = "access key " + auth.accessKey + " (not verified)"
	if _, bad := auth.signedAt(c.request, a.now()); bad != nil {
		return bad
	}
	if bad := c.read(); bad != nil {
		return bad
	}
	at, bad := auth.signedAt(c.request, a.now()) // once more: now the request is complete
	if bad != nil {
		return bad
	}
	caller, err := a.keyOf(ctx, auth.accessKey)
	if err != nil {
		return err
	}
	if bad := auth.verify(c.request, c.query, c.body, caller.Secret); bad != nil {
		return bad
	}
	c.is(caller)
	return a.refuseReplay(ctx, c, auth.signature, at)
}

// refuseReplay lets a signature change something once only. This API has no nonce, so whoever saw a
// request could send it again for as long as its date is good.
func (a *api) refuseReplay(ctx context.Context, c *call, signature []byte, at time.Time) error {
	if c.request.Method == http.MethodGet || c.request.Method == http.MethodHead {
		return nil
	}
	return a.control.UseNonce(ctx, c.caller.KeyID, hashed(signature), at.Add(maxSkew))
}

// hashed is what the record keeps of a signature.
func hashed(signature []byte) string {
	sum := sha256.Sum256(signature)
	return hex.EncodeToString(sum[:])
}

func (a *api) byToken(ctx context.Context, c *call, text string) error {
	t, ok := parseToken(text)
	if !ok {
		return refuse(codeUnauthenticated, msgBadToken)
	}
	c.who = "access key " + t.accessKey + " (not verified)"
	caller, err := a.keyOf(ctx, t.accessKey)
	if err != nil {
		return err
	}
	if !t.genuine(caller.Secret, a.now()) {
		return refuse(codeUnauthenticated, msgBadToken)
	}
	if bad := c.read(); bad != nil {
		return bad
	}
	c.is(caller)
	return nil
}

// is notes who the caller has proved to be.
func (c *call) is(caller control.Caller) {
	c.caller, c.who = caller, "access key "+caller.KeyID
}

// keyOf returns an access key. One that is unknown or disabled has no secret, and nothing can be
// signed with that.
func (a *api) keyOf(ctx context.Context, id string) (control.Caller, error) {
	caller, err := a.control.Caller(ctx, id)
	if _, unknown := errors.AsType[*upgrade.NotFound](err); unknown {
		return control.Caller{}, nil
	}
	if err != nil || caller.Disabled {
		return control.Caller{}, err
	}
	return caller, nil
}
