package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
)

// manyRows are more than a statement writes or deletes.
const manyRows = 1203

func nonce(key, text string) catalog.Nonce {
	return catalog.Nonce{AccessKey: key, Nonce: text, ExpiresAt: after(900)}
}

func aCall(seconds int, requestID string) catalog.AuditEntry {
	return catalog.AuditEntry{
		At: keptAfter(seconds), Who: "access key a", What: "aliyun DescribeRegions", Object: "", Result: "ok", RequestID: requestID,
	}
}

func written(t *testing.T, c *catalog.Catalog, b catalog.APIBatch) []bool {
	t.Helper()
	fresh, err := c.WriteAPIBatch(t.Context(), b)
	must(t, err)
	return fresh
}

func apiCalls(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("tell until when nonces count", func(t *testing.T) {
		c := open(t)
		last := func() time.Time {
			t.Helper()
			at, err := c.LastNonceExpiry(t.Context())
			must(t, err)
			return at
		}
		same(t, "none", last(), time.UnixMicro(0).UTC())
		soon := nonce("a", "2")
		soon.ExpiresAt = after(1)
		written(t, c, catalog.APIBatch{Nonces: []catalog.Nonce{nonce("a", "1"), soon}})
		same(t, "of two", last(), keptAfter(900))
	})

	t.Run("use a nonce once", func(t *testing.T) {
		c := open(t)
		used := func(nonces ...catalog.Nonce) []bool {
			t.Helper()
			return written(t, c, catalog.APIBatch{Nonces: nonces})
		}
		same(t, "nothing", used(), nil)
		same(t, "new ones", used(nonce("a", "2"), nonce("a", "1")), []bool{true, true})
		same(t, "twice in a batch", used(nonce("a", "3"), nonce("a", "3"), nonce("a", "4"), nonce("a", "3")), []bool{true, false, true, false})
		same(t, "used before", used(nonce("a", "5"), nonce("a", "1"), nonce("a", "3")), []bool{true, false, false})
		same(t, "another key", used(nonce("b", "1"), nonce("a", "1"), nonce("b", "1")), []bool{true, false, false})
		other := nonce("a", "6")
		other.ExpiresAt = after(9000) // another request: it may be refused or not, and must not hide the first one
		used(nonce("a", "6"), other)
		same(t, "with another time", used(other, nonce("a", "6")), []bool{false, false})
		same(t, "whatever it is", used(nonce("a", ""), nonce("a", "\xff\x00'"), nonce("a", "\xff\x00'")), []bool{true, true, false})
	})

	t.Run("may be many at once", func(t *testing.T) {
		c := open(t)
		var batch catalog.APIBatch
		for i := range manyRows {
			batch.Nonces = append(batch.Nonces, nonce("a", fmt.Sprint(i)), nonce("b", fmt.Sprint(i%1000)))
			batch.Calls = append(batch.Calls, aCall(i, fmt.Sprint("r", i)))
		}
		fresh := written(t, c, batch)
		for i := range manyRows {
			same(t, fmt.Sprint("nonces ", i), fresh[2*i:2*i+2], []bool{true, i < 1000})
		}
		if slices.Contains(written(t, c, batch), true) {
			t.Error("a nonce was new again")
		}
		calls, err := c.Calls(t.Context(), 0)
		must(t, err)
		same(t, "calls", len(calls), manyRows)
	})

	t.Run("are recorded once, the newest first", func(t *testing.T) {
		c := open(t)
		odd := aCall(2, "r3")
		odd.Who, odd.What, odd.Object, odd.Result = "\x00", "\xff", "orders", "IncorrectTask: a\x00b"
		written(t, c, catalog.APIBatch{Calls: []catalog.AuditEntry{aCall(2, "r1"), aCall(1, "r9"), odd}})
		written(t, c, catalog.APIBatch{Calls: []catalog.AuditEntry{aCall(2, "r1"), aCall(3, "r2")}})
		odd.Who, odd.What, odd.Result = "\uFFFD", "\uFFFD", "IncorrectTask: a\uFFFDb"
		want := []catalog.AuditEntry{aCall(3, "r2"), odd, aCall(2, "r1"), aCall(1, "r9")}
		all, err := c.Calls(t.Context(), 0)
		must(t, err)
		same(t, "all", all, want)
		last, err := c.Calls(t.Context(), 2)
		must(t, err)
		same(t, "the last two", last, want[:2])
		audited, err := c.AuditEntries(t.Context(), 0)
		must(t, err)
		same(t, "audit record", audited, nil)
	})

	t.Run("tell when a key was used last", func(t *testing.T) { lastUse(t, open(t)) })
	t.Run("are forgotten when they expire", func(t *testing.T) { forgotten(t, open(t)) })
	t.Run("many are forgotten little by little", func(t *testing.T) { forgottenByAndBy(t, open(t)) })
	t.Run("are no more than there may be", func(t *testing.T) { trimmed(t, open(t)) })
	t.Run("of several servers do not hinder each other", func(t *testing.T) { batchesAtOnce(t, open(t)) })
}

func lastUse(t *testing.T, c *catalog.Catalog) {
	must(t, c.AddAccessKey(t.Context(), anAccessKey("a", 0)))
	must(t, c.AddAccessKey(t.Context(), anAccessKey("b", 0)))
	for _, seconds := range []int{5, 9, 7} { // another server's batch may come later
		written(t, c, catalog.APIBatch{Used: map[string]time.Time{"a": after(seconds), "gone": after(seconds)}})
	}
	keys, err := c.AccessKeys(t.Context())
	must(t, err)
	at := keptAfter(9)
	want := []catalog.AccessKey{anAccessKey("a", 0), anAccessKey("b", 0)}
	want[0].LastUsedAt = &at
	same(t, "keys", keys, want)
}

// graceful is for how many seconds nonces are kept that have expired.
const graceful = 5 * 60

func forgotten(t *testing.T, c *catalog.Catalog) {
	old := aCall(-int(catalog.CallRetention/time.Second), "old")
	nonces := []catalog.Nonce{
		{AccessKey: "a", Nonce: "past", ExpiresAt: after(-graceful - 1)},
		{AccessKey: "a", Nonce: "now", ExpiresAt: after(-graceful)},
		// By the clock of another server, which is a little behind, it may not have expired.
		{AccessKey: "a", Nonce: "kept", ExpiresAt: after(1 - graceful)},
	}
	written(t, c, catalog.APIBatch{Nonces: nonces, Calls: []catalog.AuditEntry{old, aCall(0, "new")}})
	kind := func(token string, seconds int) catalog.ClientToken {
		taken := catalog.ClientToken{Account: "1", Action: "Upgrade", Token: token}
		_, err := c.TakeClientToken(t.Context(), taken, "digest", after(seconds))
		must(t, err)
		return taken
	}
	day := int(catalog.ClientTokenRetention / time.Second)
	expired, valid := kind("expired", -day), kind("valid", 1-day)

	for _, step := range []struct {
		name       string
		now        time.Time
		past, call bool // whether they are forgotten
	}{
		{"before", noon.Add(-time.Hour), false, false},
		{"at noon", noon, true, false},
		{"a second later", after(1), true, true},
	} {
		more, err := c.ForgetExpired(t.Context(), step.now)
		must(t, err)
		same(t, step.name+": more", more, false)
		calls, err := c.Calls(t.Context(), 0)
		must(t, err)
		want := []catalog.AuditEntry{aCall(0, "new"), old}
		if step.call {
			want = want[:1]
		}
		same(t, step.name+": calls", calls, want)
	}
	used := written(t, c, catalog.APIBatch{Nonces: nonces})
	same(t, "what is new again", used, []bool{true, true, false})
	for token, want := range map[catalog.ClientToken]bool{expired: false, valid: true} {
		before, err := c.TakeClientToken(t.Context(), token, "digest", noon)
		must(t, err)
		same(t, token.Token+" is remembered", before != nil, want)
	}
}

func forgottenByAndBy(t *testing.T, c *catalog.Catalog) {
	var batch catalog.APIBatch
	for i := range 2*manyRows + 1 {
		batch.Nonces = append(batch.Nonces, nonce("a", fmt.Sprint(i)))
	}
	batch.Nonces[manyRows].ExpiresAt = after(901)
	written(t, c, batch)
	for _, more := range []bool{true, true, false, false} {
		got, err := c.ForgetExpired(t.Context(), after(901+graceful))
		must(t, err)
		same(t, "more", got, more)
	}
	fresh := written(t, c, batch)
	same(t, "the one that had not expired", slices.Index(fresh, false), manyRows)
	fresh[manyRows] = true
	same(t, "another one that had not expired", slices.Index(fresh, false), -1)
}

func trimmed(t *testing.T, c *catalog.Catalog) {
	var batch catalog.APIBatch
	for i := range 2*manyRows + 1 {
		batch.Calls = append(batch.Calls, aCall(i, fmt.Sprint("r", i)))
	}
	written(t, c, batch)
	for _, step := range []struct{ keep, left int }{{3 * manyRows, 2*manyRows + 1}, {2*manyRows + 1, 2*manyRows + 1}, {100, 100}, {1, 1}} {
		must(t, c.TrimCalls(t.Context(), step.keep))
		calls, err := c.Calls(t.Context(), 0)
		must(t, err)
		same(t, fmt.Sprintf("calls left of %d", step.keep), len(calls), step.left)
		same(t, "the newest one", calls[0].RequestID, fmt.Sprint("r", 2*manyRows))
	}
}

// batchesAtOnce lets servers write about the same keys and nonces, each in an order of its own.
func batchesAtOnce(t *testing.T, c *catalog.Catalog) {
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, key := range keys {
		must(t, c.AddAccessKey(t.Context(), anAccessKey(key, 0)))
	}
	const rounds = 10
	fresh := make([]int, workers)
	errs := together(func(worker int) error {
		for round := range rounds {
			batch := catalog.APIBatch{Used: map[string]time.Time{}}
			for _, key := range keys {
				batch.Nonces = append(batch.Nonces, nonce(key, fmt.Sprint(round)))
				batch.Used[key] = after(round)
			}
			if worker%2 == 1 {
				slices.Reverse(batch.Nonces)
			}
			got, err := c.WriteAPIBatch(t.Context(), batch)
			if err != nil {
				return err
			}
			for _, is := range got {
				if is {
					fresh[worker]++
				}
			}
		}
		return nil
	})
	must(t, errors.Join(errs...))
	var sum int
	for _, n := range fresh {
		sum += n
	}
	same(t, "nonces that were new", sum, rounds*len(keys))
}
