package aliyun

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/pgleap/pgleap/internal/control"
)

const maxClientToken = 64

// once runs an operation once for each client token: who repeats a request gets the first answer
// again, and who uses the token for another request is refused.
func (a *api) once(ctx context.Context, x *exchange) ([]byte, error) {
	token := x.text("ClientToken")
	if !validClientToken(token) {
		return nil, fail("Parameters.Invalid", "ClientToken must be at most 64 ASCII characters.")
	}
	sum := sha256.Sum256(x.appendAsked(nil))
	answer, err := a.gate.Once(ctx, control.Once{
		Account: x.caller.Account, Action: x.action.name, Token: token, Digest: hex.EncodeToString(sum[:]),
	}, func(ctx context.Context) ([]byte, error) { return a.run(ctx, x) })
	if _, other := errors.AsType[*control.TokenMismatch](err); other {
		return nil, fail("IdempotentParameterMismatch", "")
	}
	if _, running := errors.AsType[*control.TokenBusy](err); running {
		return nil, fail("IdempotentProcessing", "")
	}
	return answer, err
}

func validClientToken(token string) bool {
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return false
		}
	}
	return len(token) <= maxClientToken
}
