package catalogtest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

func clientTokens(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	token := catalog.ClientToken{Account: "1", Action: "Upgrade", Token: "t"}
	take := func(t *testing.T, c *catalog.Catalog, token catalog.ClientToken, digest string, seconds int) *catalog.ClientAnswer {
		t.Helper()
		before, err := c.TakeClientToken(t.Context(), token, digest, after(seconds))
		must(t, err)
		return before
	}

	t.Run("remember what became of a request", func(t *testing.T) {
		c := open(t)
		same(t, "the first time", take(t, c, token, "digest", 0), nil)
		same(t, "while it is carried out", take(t, c, token, "other", 1), &catalog.ClientAnswer{Digest: "digest", CreatedAt: kept})
		must(t, c.AnswerClientToken(t.Context(), token, "done"))
		answer := "done"
		want := &catalog.ClientAnswer{Digest: "digest", Answer: &answer, CreatedAt: kept}
		same(t, "afterwards", take(t, c, token, "digest", 2), want)
		must(t, c.ReturnClientToken(t.Context(), token, noon))
		same(t, "what is answered is not returned", take(t, c, token, "digest", 2), want)
	})

	t.Run("can be returned", func(t *testing.T) {
		c := open(t)
		must(t, c.ReturnClientToken(t.Context(), token, noon))
		same(t, "the first time", take(t, c, token, "digest", 0), nil)
		must(t, c.ReturnClientToken(t.Context(), token, noon))
		same(t, "the second time", take(t, c, token, "other", 1), nil)
		must(t, c.ReturnClientToken(t.Context(), token, noon)) // by who has lost it
		same(t, "while the second is carried out", take(t, c, token, "other", 2) != nil, true)
		if err := c.AnswerClientToken(t.Context(), catalog.ClientToken{Token: "never taken"}, "done"); err == nil {
			t.Error("a request that was not taken got an answer")
		}
	})

	t.Run("belong to an account and an action", func(t *testing.T) {
		c := open(t)
		same(t, "the first", take(t, c, token, "digest", 0), nil)
		for _, change := range []func(*catalog.ClientToken){
			func(o *catalog.ClientToken) { o.Account = "2" },
			func(o *catalog.ClientToken) { o.Action = "Precheck" },
			func(o *catalog.ClientToken) { o.Token = "T" },
			func(o *catalog.ClientToken) { o.Token = "a\x00\xff" },
		} {
			other := token
			change(&other)
			same(t, "another", take(t, c, other, "digest", 0), nil)
			must(t, c.AnswerClientToken(t.Context(), other, "done"))
			same(t, "is answered", take(t, c, other, "digest", 0).Answer != nil, true)
		}
		same(t, "the first is not", take(t, c, token, "digest", 0).Answer == nil, true)
	})

	t.Run("are taken by one of many", func(t *testing.T) {
		c := open(t)
		var taken atomic.Int64
		must(t, errors.Join(together(func(int) error {
			before, err := c.TakeClientToken(t.Context(), token, "digest", noon)
			if err == nil && before == nil {
				taken.Add(1)
			}
			return err
		})...))
		same(t, "taken", taken.Load(), 1)
	})
}
