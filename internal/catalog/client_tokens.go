package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ClientTokenRetention is how long the answer to a request is kept for whoever repeats it.
const ClientTokenRetention = 24 * time.Hour

// ClientToken names a request that a client may repeat without its being carried out again.
type ClientToken struct {
	Account string
	Action  string
	Token   string
}

// ClientAnswer is what became of such a request.
type ClientAnswer struct {
	Digest    string // of its parameters
	Answer    *string
	CreatedAt time.Time
}

const (
	insertClientToken = `
INSERT INTO client_token (account, action, token, digest, answer, created_at)
VALUES ($1, $2, $3, $4, NULL, $5)
ON CONFLICT DO NOTHING`

	selectClientToken = `
SELECT digest, answer, created_at
  FROM client_token
 WHERE account = $1 AND action = $2 AND token = $3`

	answerClientToken = `
UPDATE client_token
   SET answer = $4
 WHERE account = $1 AND action = $2 AND token = $3 AND answer IS NULL AND created_at = $5`

	deleteClientToken = `
DELETE FROM client_token
 WHERE account = $1 AND action = $2 AND token = $3 AND answer IS NULL AND created_at = $4`
)

// TakeClientToken records that a request is being carried out, or returns what became of it before.
func (c *Catalog) TakeClientToken(ctx context.Context, t ClientToken, digest string, at time.Time) (before *ClientAnswer, err error) {
	err = c.change(ctx, func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, insertClientToken, legible(t.Account), t.Action, legible(t.Token), digest, instant{&at}))
		if err != nil || n == 1 {
			return err
		}
		before = &ClientAnswer{}
		var answer sql.Null[string]
		err = tx.QueryRowContext(ctx, selectClientToken, legible(t.Account), t.Action, legible(t.Token)).
			Scan(&before.Digest, &answer, instant{&before.CreatedAt})
		if answer.Valid {
			before.Answer = &answer.V
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take client token: %w", err)
	}
	return before, nil
}

// AnswerClientToken keeps the answer to a request that was taken at a moment. It tells whether it has: the token of one
// that somebody else has taken meanwhile is left to that, with its answer.
func (c *Catalog) AnswerClientToken(ctx context.Context, t ClientToken, at time.Time, answer string) (kept bool, err error) {
	n, err := changed(c.write.ExecContext(ctx, answerClientToken, legible(t.Account), t.Action, legible(t.Token), answer, instant{&at}))
	if err != nil {
		return false, fmt.Errorf("answer client token: %w", err)
	}
	return n == 1, nil
}

// ReturnClientToken forgets a request that was taken at a moment and came to nothing, so that it may
// be repeated. One that somebody else has taken meanwhile is left alone.
func (c *Catalog) ReturnClientToken(ctx context.Context, t ClientToken, at time.Time) error {
	if _, err := c.write.ExecContext(ctx, deleteClientToken, legible(t.Account), t.Action, legible(t.Token), instant{&at}); err != nil {
		return fmt.Errorf("return client token: %w", err)
	}
	return nil
}
