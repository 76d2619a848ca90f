package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Verdict is what counting came to.
type Verdict struct {
	Acknowledged int // transactions that must be there exactly once
	Lost         int // acknowledged ones that are not there
	Duplicated   int // ones that are there more than once
	Unexpected   int // ones that are there although they were rolled back, or nobody made them
	Undecided    int // ones of unknown outcome, for which there and not there is right
	// Checks are the sentences of what was found right, Problems those of what was not.
	Checks   []string
	Problems []string
}

// Good tells whether everything is as it must be.
func (v *Verdict) Good() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Unexpected == 0 && len(v.Problems) == 0
}

func (v *Verdict) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *Verdict) check(ok bool, format string, args ...any) {
	if ok {
		v.Checks = append(v.Checks, fmt.Sprintf(format, args...))
	} else {
		v.problem("not so: "+format, args...)
	}
}

// kept is where the references of a kind of transaction are, each once.
var kept = []struct {
	kind   Kind
	tables []string // with the column
}{
	{TPCB, []string{"pgbench_history.filler"}},
	{Entry, []string{"ledger.entries.ref", "ledger.trail.ref", "ledger.postings.ref"}},
	{Order, []string{"orders.ref"}},
}

// Verify compares what is in the cluster with what the clients know. Nobody may write meanwhile.
func Verify(ctx context.Context, c *Cluster, record *Record) (*Verdict, error) {
	v := &Verdict{}
	for _, database := range []string{Bank, Shop} {
		err := c.In(ctx, database, func(conn *pgx.Conn) error {
			return errors.Join(v.references(ctx, conn, database, record), v.invariants(ctx, conn, database), v.sequences(ctx, conn, database))
		})
		if err != nil {
			return nil, fmt.Errorf("verify database %s: %w", database, err)
		}
	}
	return v, nil
}

// references counts each transaction's reference in each of its tables.
func (v *Verdict) references(ctx context.Context, conn *pgx.Conn, database string, record *Record) error {
	for _, k := range kept {
		if _, at := k.kind.login(); at != database {
			continue
		}
		known := record.Of(k.kind)
		for i, place := range k.tables {
			found, err := countReferences(ctx, conn, place)
			if err != nil {
				return err
			}
			v.compare(k.kind, place, known, found, i == 0)
		}
	}
	return nil
}

func countReferences(ctx context.Context, conn *pgx.Conn, place string) (map[string]int, error) {
	dot := strings.LastIndexByte(place, '.')
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT %[2]s::text, count(*) FROM %[1]s GROUP BY 1`, place[:dot], place[dot+1:]))
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	var ref string
	var count int
	_, err = pgx.ForEachRow(rows, []any{&ref, &count}, func() error {
		found[strings.TrimRight(ref, " ")] = count // pgbench's filler is char(22)
		return nil
	})
	return found, err
}

// compare adds what one table shows. A transaction counts once as acknowledged, but is wrong if it is
// wrong in any of its tables.
func (v *Verdict) compare(kind Kind, place string, known map[string]Outcome, found map[string]int, first bool) {
	var lost, duplicated, unexpected []string
	acknowledged := 0
	for ref, outcome := range known {
		switch outcome {
		case Acknowledged:
			acknowledged++
			if found[ref] == 0 {
				lost = append(lost, ref)
			}
		case Unknown:
			if first {
				v.Undecided++
			}
		case RolledBack:
			if found[ref] > 0 {
				unexpected = append(unexpected, ref)
			}
		}
	}
	for ref, count := range found {
		if count > 1 {
			duplicated = append(duplicated, ref)
		}
		if _, mine := known[ref]; !mine {
			unexpected = append(unexpected, ref)
		}
	}
	if first {
		v.Acknowledged += acknowledged
	}
	v.Lost += len(lost)
	v.Duplicated += len(duplicated)
	v.Unexpected += len(unexpected)
	v.tell(place, "is lost", lost)
	v.tell(place, "is there more than once", duplicated)
	v.tell(place, "is there but should not be", unexpected)
	if len(lost)+len(duplicated)+len(unexpected) == 0 {
		v.Checks = append(v.Checks, fmt.Sprintf("%s: each of %d acknowledged transactions (%s) exactly once", place, acknowledged, kind))
	}
}

func (v *Verdict) tell(place, what string, refs []string) {
	if len(refs) > 0 {
		slices.Sort(refs)
		v.problem("%s: %d: %s %s", place, len(refs), strings.Join(refs[:min(5, len(refs))], ", "), what)
	}
}

// sums are what must hold in a database whoever wrote to it. Each query counts what is wrong.
var sums = map[string][]struct{ claim, sql string }{
	Bank: {
		{"the balance of each account is the sum of its entries", `
			SELECT count(*) FROM ledger.statement WHERE balance <> booked`},
		{"generated columns are what they are generated from", `
			SELECT count(*) FROM ledger.entries WHERE cents <> (amount * 100)::bigint`},
		{"the payload of each entry tells its reference and amount", `
			SELECT count(*) FROM ledger.entries WHERE payload->>'ref' <> ref OR (payload#>>'{nested,cents}')::bigint <> cents`},
		{"entries and postings have the same amounts", `
			SELECT count(*) FROM ledger.entries e FULL JOIN ledger.postings p USING (ref) WHERE e.amount IS DISTINCT FROM p.amount`},
		{"every posting is in its partition", `
			SELECT count(*) FROM ledger.postings WHERE tableoid <> CASE date_part('year', booked_on)
				WHEN 2024 THEN 'ledger.postings_2024'::regclass WHEN 2025 THEN 'ledger.postings_2025'::regclass
				ELSE 'ledger.postings_other'::regclass END`},
		{"receipts, countdowns, batches and slips were given out once each", `
			SELECT 4 * count(*) - count(DISTINCT receipt) - count(DISTINCT countdown) - count(DISTINCT batch)
				- count(DISTINCT slip) - count(*) FILTER (WHERE slip IS NULL)
			FROM ledger.trail`},
		{"the balances of pgbench's branches, tellers and accounts are the sum of its history", `
			SELECT count(*) FROM (SELECT coalesce(sum(delta), 0) AS total FROM pgbench_history) AS h
			WHERE total <> (SELECT sum(bbalance) FROM pgbench_branches)
				OR total <> (SELECT sum(tbalance) FROM pgbench_tellers)
				OR total <> (SELECT sum(abalance) FROM pgbench_accounts)`},
		{"each of pgbench's accounts has the sum of its history", `
			SELECT count(*)
			FROM (SELECT aid, abalance FROM pgbench_accounts WHERE abalance <> 0) a
			FULL JOIN (SELECT aid, sum(delta) AS total FROM pgbench_history GROUP BY aid HAVING sum(delta) <> 0) h USING (aid)
			WHERE abalance IS DISTINCT FROM total`},
	},
	Shop: {
		{"the total of each order is the sum of its lines", `
			SELECT count(*) FROM orders o
			WHERE total <> (SELECT sum(quantity * price) FROM order_lines l WHERE l.order_id = o.id)`},
		{"each article was sold as often as the orders say", `
			SELECT count(*) FROM articles a
			WHERE sold <> (SELECT coalesce(sum(quantity), 0) FROM order_lines l WHERE l.article_id = a.id)`},
		{"every order has two lines", `
			SELECT count(*) FROM orders o WHERE (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id) <> 2`},
	},
}

func (v *Verdict) invariants(ctx context.Context, conn *pgx.Conn, database string) error {
	for _, sum := range sums[database] {
		var wrong int64
		if err := conn.QueryRow(ctx, sum.sql).Scan(&wrong); err != nil {
			return fmt.Errorf("%s: %w", sum.claim, err)
		}
		if v.check(wrong == 0, "%s: %s", database, sum.claim); wrong != 0 {
			v.problem("%s: %d are wrong", database, wrong)
		}
	}
	return nil
}

// sequences are those of each database, with what they gave out so far.
var sequences = map[string][]struct{ name, last, next string }{
	Bank: {
		{"ledger.accounts_id_seq", `SELECT max(id) FROM ledger.accounts`, ">"},
		{"ledger.entries_id_seq", `SELECT max(id) FROM ledger.entries`, ">"},
		{"ledger.postings_id_seq", `SELECT max(id) FROM ledger.postings`, ">"},
		{"ledger.receipts", `SELECT coalesce(max(receipt), 999) FROM ledger.trail`, ">"},
		{"ledger.countdown", `SELECT coalesce(min(countdown), 0) FROM ledger.trail`, "<"},
		{"ledger.batches", `SELECT coalesce(max(batch), 0) FROM ledger.trail`, ">"},
		{"ledger.slips", `SELECT coalesce(max(slip), -32769) FROM ledger.trail`, ">"},
		{"ledger.untouched", `SELECT 42`, "="},
		{"ledger.preset", `SELECT 100`, "="},
	},
	Shop: {
		{"articles_id_seq", `SELECT max(id) FROM articles`, ">"},
		{"orders_id_seq", `SELECT coalesce(max(id), 0) FROM orders`, ">"},
	},
}

// sequences asks each sequence for its next value, which nobody may have had yet.
func (v *Verdict) sequences(ctx context.Context, conn *pgx.Conn, database string) error {
	for _, s := range sequences[database] {
		var ok bool
		var next, last int64
		err := conn.QueryRow(ctx, fmt.Sprintf(`
			SELECT next, last, next %s last
			FROM (SELECT nextval('%s') AS next, (%s)::bigint AS last) AS s`, s.next, s.name, s.last)).Scan(&next, &last, &ok)
		if err != nil {
			return fmt.Errorf("sequence %s: %w", s.name, err)
		}
		v.check(ok, "%s: the next value of %s, %d, is %s %d", database, s.name, next, s.next, last)
	}
	return nil
}

// VerifyService makes sure that a new write through the endpoint lands on the target, which is of the
// version, and that the source refuses the applications.
func VerifyService(ctx context.Context, v *Verdict, port int, source, target *Cluster, major int) error {
	ref := fmt.Sprintf("probe-%d", time.Now().UnixNano())
	served, id, err := probe(ctx, port, ref)
	if err != nil {
		return fmt.Errorf("write through the endpoint: %w", err)
	}
	v.check(served == major, "the endpoint leads to PostgreSQL %d", served)
	err = target.In(ctx, Bank, func(conn *pgx.Conn) error {
		var found bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM ledger.entries WHERE ref = $1 AND id = $2)`, ref, id).Scan(&found)
		v.check(found, "a new entry (id %d) is on the target", id)
		return err
	})
	if err != nil {
		return err
	}
	for role, database := range map[string]string{BankRole: Bank, ShopRole: Shop} {
		v.refuses(ctx, source, role, database)
	}
	return nil
}

// probe books an entry through the endpoint.
func probe(ctx context.Context, port int, ref string) (major int, id int64, err error) {
	conn, err := ConnectPooled(ctx, port, BankRole, Bank, "probe")
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := BookEntry(ctx, tx, ref); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			SELECT current_setting('server_version_num')::int / 10000, (SELECT id FROM ledger.entries WHERE ref = $1)`, ref).Scan(&major, &id)
	})
	return major, id, err
}

// refuses makes sure that a role cannot log in to the source, which runs.
func (v *Verdict) refuses(ctx context.Context, source *Cluster, role, database string) {
	conn, err := ConnectPooled(ctx, source.Port, role, database, "probe")
	if err == nil {
		conn.Close(ctx)
		v.problem("the source lets %s in", role)
		return
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	v.check(ok && strings.HasPrefix(refused.Code, "28"), "the source refuses %s: %v", role, err)
}
