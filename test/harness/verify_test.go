package harness

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// The proof is worth as much as its eye for what is wrong: after real load everything is found right,
// and each kind of harm is found.
func TestVerifyFindsWhatIsWrong(t *testing.T) {
	major := pgtest.Versions(t)[0]
	pgtest.Bindir(t, major)
	w, err := NewWorkplace("pgleap-harness-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Clear(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	c, err := w.NewCluster(ctx, major, map[string]string{"fsync": "off"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fill(ctx, 1); err != nil {
		t.Fatal(err)
	}
	record, err := NewRecord(filepath.Join(w.Dir, "record"))
	if err != nil {
		t.Fatal(err)
	}
	load := StartLoad(ctx, LoadConfig{
		Port: c.Port, Clients: map[Kind]int{TPCB: 2, Entry: 3, Order: 2}, Rate: 40, Scale: 1, Record: record,
	})
	if err := load.AwaitProgress(ctx, 300, time.Minute); err != nil {
		t.Error(err)
	}
	summary := load.Stop()
	if len(summary.Errors) > 0 {
		t.Fatalf("transactions failed: %s", strings.Join(summary.Errors, "\n"))
	}

	verify := func(t *testing.T) *Verdict {
		t.Helper()
		v, err := Verify(ctx, c, record)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verify(t)
	if !v.Good() || v.Acknowledged != summary.Count(Acknowledged) {
		t.Fatalf("after %d transactions: %+v", summary.Count(Acknowledged), v)
	}
	for _, test := range []struct {
		name, database, harm, mend string
		want                       Verdict // its numbers
		problem                    string
	}{
		{
			"a posting is lost", Bank, `CREATE TABLE kept AS SELECT * FROM ledger.postings LIMIT 1; DELETE FROM ledger.postings WHERE id IN (SELECT id FROM kept)`,
			`INSERT INTO ledger.postings SELECT * FROM kept; DROP TABLE kept`,
			Verdict{Lost: 1},
			"same amounts",
		},
		{
			"a trail is there twice", Bank, `INSERT INTO ledger.trail SELECT ref, 1, 1, 1 FROM ledger.trail LIMIT 1`,
			`DELETE FROM ledger.trail WHERE receipt = 1`,
			Verdict{Duplicated: 1},
			"more than once",
		},
		{
			"an order is there that nobody made", Shop, `INSERT INTO orders (ref) VALUES ('order-forged')`,
			`DELETE FROM orders WHERE ref = 'order-forged'`,
			Verdict{Unexpected: 1},
			"two lines",
		},
		{
			"a balance is wrong", Bank, `UPDATE ledger.accounts SET balance = balance + 1 WHERE id = 7`,
			`UPDATE ledger.accounts SET balance = balance - 1 WHERE id = 7`,
			Verdict{},
			"balance of each account",
		},
		{
			"a sequence has gone back", Bank, `SELECT setval('ledger.countdown', -1)`,
			`SELECT setval('ledger.countdown', -1000000)`,
			Verdict{},
			"ledger.countdown",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			restore := `SELECT setval('ledger.untouched', 42, false), setval('ledger.preset', 100, false)`
			if err := c.Exec(ctx, Bank, restore); err != nil { // each Verify takes a value
				t.Fatal(err)
			}
			if err := c.Exec(ctx, test.database, test.harm); err != nil {
				t.Fatal(err)
			}
			v := verify(t)
			if err := c.Exec(ctx, test.database, test.mend); err != nil {
				t.Fatal(err)
			}
			if v.Lost != test.want.Lost || v.Duplicated != test.want.Duplicated || v.Unexpected != test.want.Unexpected || v.Good() {
				t.Errorf("lost %d, duplicated %d, unexpected %d; want %d, %d, %d; problems %q",
					v.Lost, v.Duplicated, v.Unexpected, test.want.Lost, test.want.Duplicated, test.want.Unexpected, v.Problems)
			}
			if text := strings.Join(v.Problems, "\n"); !strings.Contains(text, test.problem) {
				t.Errorf("problems do not tell of %q:\n%s", test.problem, text)
			}
		})
	}
}
