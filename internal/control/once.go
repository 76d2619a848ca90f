package control

import (
	"context"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
)

// Once names a request that a client may send again when it does not know what became of it.
type Once struct {
	Account string
	Action  string
	Token   string
	Digest  string // of the parameters that matter
}

// TokenMismatch tells that a client token was used for another request before.
type TokenMismatch struct{}

// Error says so.
func (*TokenMismatch) Error() string {
	return "this client token was used with other parameters before"
}

// TokenBusy tells that the request with a client token is still being carried out.
type TokenBusy struct{}

// Error says so.
func (*TokenBusy) Error() string {
	return "the request with this client token is still being carried out"
}

// abandonedAfter is when a request without an answer is taken for one whose server has died. Then
// it is carried out again: what it had begun stands in the record and stops a second time.
const abandonedAfter = 3 * time.Minute

// clockSkew is how far the clocks of servers with one record may be apart.
const clockSkew = 5 * time.Minute

// abandoned tells whether a request is, that was taken at a moment by the clock of the server that took it. If that was
// not this one, it may be at work on it still, unless nobody else writes the record.
func (c *Control) abandoned(taken time.Time) bool {
	after := abandonedAfter
	if _, alone := c.catalog.Alone(); !alone {
		after += clockSkew
	}
	return c.now().Sub(taken) >= after
}

// onceTimeout bounds a request with a client token. What it does after that, to say what became of a task that it had
// begun, takes four times the startTimeout at most, and to keep the answer once more: it must be over before anybody
// takes its token for abandoned.
const onceTimeout = 2 * time.Minute

// Once carries out a request unless it was carried out within the last day: then it returns what do
// returned at that time. A request that failed is not remembered.
func (c *Control) Once(ctx context.Context, o Once, do func(context.Context) ([]byte, error)) ([]byte, error) {
	token := catalog.ClientToken{Account: o.Account, Action: o.Action, Token: o.Token}
	for {
		at := c.now()
		before, err := c.catalog.TakeClientToken(ctx, token, o.Digest, at)
		if err != nil {
			return nil, ofRecord(err)
		}
		if before == nil {
			return c.answerOnce(ctx, token, at, do)
		}
		switch {
		case before.Digest != o.Digest:
			return nil, &TokenMismatch{}
		case before.Answer != nil:
			return []byte(*before.Answer), nil
		case !c.abandoned(before.CreatedAt):
			return nil, &TokenBusy{}
		}
		if err := c.catalog.ReturnClientToken(ctx, token, before.CreatedAt); err != nil {
			return nil, ofRecord(err)
		}
	}
}

func (c *Control) answerOnce(ctx context.Context, token catalog.ClientToken, at time.Time, do func(context.Context) ([]byte, error)) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, onceTimeout)
	answer, err := do(bounded)
	cancel()
	// What was done is done, whether the client still waits or not.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	if err != nil {
		if returned := c.catalog.ReturnClientToken(ctx, token, at); returned != nil {
			c.log.WarnContext(ctx, "client token of a failed request not returned", "error", returned)
		}
		return nil, err
	}
	kept, err := c.catalog.AnswerClientToken(ctx, token, at, string(answer))
	if err != nil {
		return nil, ofRecord(fmt.Errorf("keep the answer: %w", err))
	}
	if !kept { // it is true all the same, for whoever waits here
		c.log.WarnContext(ctx, "a request was taken for abandoned, and has been answered after all", "action", token.Action)
	}
	return answer, nil
}
