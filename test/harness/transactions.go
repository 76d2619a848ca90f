package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Kind is a kind of transaction: in one database, by one role.
type Kind string

// The kinds: pgbench's, an entry in the ledger, and an order in the shop.
const (
	TPCB  Kind = "tpcb"
	Entry Kind = "entry"
	Order Kind = "order"
)

// login tells who does a kind of transaction where.
func (k Kind) login() (role, database string) {
	if k == Order {
		return ShopRole, Shop
	}
	return BankRole, Bank
}

// do carries out the statements of a transaction between BEGIN and COMMIT.
func (k Kind) do(ctx context.Context, tx pgx.Tx, ref string, scale int) error {
	switch k {
	case TPCB:
		return tpcb(ctx, tx, ref, scale)
	case Entry:
		return BookEntry(ctx, tx, ref)
	case Order:
		return order(ctx, tx, ref)
	}
	return fmt.Errorf("no transaction of kind %q", k)
}

// executor is a session or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

// statement is one with its arguments.
type statement struct {
	sql       string
	arguments []any
}

// inTurn sends one statement after the other, each when the last one is answered, as applications do.
func inTurn(ctx context.Context, tx executor, statements ...statement) error {
	for _, s := range statements {
		tag, err := tx.Exec(ctx, s.sql, s.arguments...)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("no row was there for: %s", s.sql)
		}
	}
	return nil
}

// tpcb is what pgbench does by default. The reference goes where pgbench leaves blanks.
func tpcb(ctx context.Context, tx pgx.Tx, ref string, scale int) error {
	account, teller, branch := 1+rand.IntN(100000*scale), 1+rand.IntN(10*scale), 1+rand.IntN(scale)
	delta := rand.IntN(10001) - 5000
	return inTurn(ctx, tx,
		statement{`UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2`, []any{delta, account}},
		statement{`SELECT abalance FROM pgbench_accounts WHERE aid = $1`, []any{account}},
		statement{`UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2`, []any{delta, teller}},
		statement{`UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2`, []any{delta, branch}},
		statement{`
			INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler)
			VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP, $5)`, []any{teller, branch, account, delta, ref}},
	)
}

// BookEntry books an entry in the ledger: the entry (whose trigger leaves a trail), the balance of the
// account, a posting; and now and then the trail of an earlier one is settled.
func BookEntry(ctx context.Context, tx executor, ref string) error {
	account, cents := 1+rand.IntN(200), 1+rand.IntN(100000)
	kind, sign := "deposit", 1
	switch rand.IntN(10) {
	case 0:
		kind, sign = "fee", -1
	case 1, 2, 3, 4:
		kind, sign = "withdrawal", -1
	}
	amount := fmt.Sprintf("%.2f", float64(sign*cents)/100)
	payload := fmt.Sprintf(`{"ref": %q, "tags": ["load", %q], "nested": {"cents": %d}}`, ref, kind, sign*cents)
	bookedOn := fmt.Sprintf("%d-%02d-15", 2023+rand.IntN(4), 1+rand.IntN(12))
	statements := []statement{
		{`
			INSERT INTO ledger.entries (ref, account_id, kind, amount, payload)
			VALUES ($1, $2, $3::text::ledger.kind, $4::text::numeric, $5::text::jsonb)`, []any{ref, account, kind, amount, payload}},
		{`UPDATE ledger.accounts SET balance = balance + $1::text::numeric WHERE id = $2`, []any{amount, account}},
		{`
			INSERT INTO ledger.postings (ref, booked_on, amount)
			VALUES ($1, $2::text::date, $3::text::numeric)`, []any{ref, bookedOn, amount}},
	}
	if rand.IntN(10) == 0 {
		statements = append(statements, statement{`UPDATE ledger.trail SET settled = true WHERE ref = $1`, []any{ref}})
	}
	return inTurn(ctx, tx, statements...)
}

// order sells two articles, the lower number first so that no two orders wait for each other.
func order(ctx context.Context, tx pgx.Tx, ref string) error {
	articles := []int{1 + rand.IntN(250), 251 + rand.IntN(250)}
	slices.Sort(articles)
	var id int64
	if err := tx.QueryRow(ctx, `INSERT INTO orders (ref) VALUES ($1) RETURNING id`, ref).Scan(&id); err != nil {
		return err
	}
	var statements []statement
	for line, article := range articles {
		quantity := 1 + rand.IntN(5)
		statements = append(statements,
			statement{`
				INSERT INTO order_lines (order_id, line, article_id, quantity, price)
				SELECT $1::bigint, $2::smallint, id, $3::int, price FROM articles WHERE id = $4::int`, []any{id, line + 1, quantity, article}},
			statement{`UPDATE articles SET sold = sold + $1 WHERE id = $2`, []any{quantity, article}})
	}
	statements = append(statements, statement{`
		UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_lines WHERE order_id = $1) WHERE id = $1`, []any{id}})
	return inTurn(ctx, tx, statements...)
}
