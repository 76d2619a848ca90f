package aliyun

import (
	"errors"
	"time"

	"github.com/pgleap/pgleap/internal/control"
)

const (
	timestampLayout = "2006-01-02T15:04:05Z"

	// maxSkew is how far the clock of a client may be from ours, either way.
	maxSkew = 15 * time.Minute
)

// checkTime returns the time at which a request says it was signed.
func checkTime(timestamp string, now time.Time) (time.Time, error) {
	signed, err := time.Parse(timestampLayout, timestamp)
	if err != nil || len(timestamp) != len(timestampLayout) {
		return signed, fail("InvalidTimeStamp.Format", "")
	}
	if skew := now.Sub(signed); skew > maxSkew || skew < -maxSkew {
		return signed, fail("InvalidTimeStamp.Expired", "")
	}
	return signed, nil
}

// replay says in the vendor's words that a request was sent before. A nonce is remembered as long as
// the request's time would let it in again. Only who knows the secret comes this far, so nobody can
// use up nonces of others.
func replay(err error) error {
	if _, replayed := errors.AsType[*control.Replayed](err); replayed {
		return fail("SignatureNonceUsed", "")
	}
	return err
}

// admit refuses a caller who asks too often, and says when to come back.
func (a *api) admit(keyID string) error {
	err := a.gate.Admit(keyID)
	if throttled, is := errors.AsType[*control.Throttled](err); is {
		e := fail("Throttling.User", "")
		e.retryAfter = max(throttled.RetryAfter, time.Millisecond)
		return e
	}
	return err
}
