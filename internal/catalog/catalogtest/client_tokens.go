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

	answered := func(t *testing.T, c *catalog.Catalog, token catalog.ClientToken, seconds int, answer string) bool {
		t.Helper()
		kept, err := c.AnswerClientToken(t.Context(), token, after(seconds), answer)
		must(t, err)
		return kept
	}

	t.Run("remember what became of a request", func(t *testing.T) {
		c := open(t)
		same(t, "the first time", take(t, c, token, "digest", 0), nil)
		same(t, "while it is carried out", take(t, c, token, "other", 1), &catalog.ClientAnswer{Digest: "digest", CreatedAt: kept})
		same(t, "answered", answered(t, c, token, 0, "done"), true)
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
		same(t, "answered without having been taken", answered(t, c, catalog.ClientToken{Token: "never taken"}, 0, "done"), false)
	})

	t.Run("keep the answer of who has them", func(t *testing.T) {
		c := open(t)
		take(t, c, token, "digest", 0)
		must(t, c.ReturnClientToken(t.Context(), token, noon))
		take(t, c, token, "digest", 200)
		same(t, "answered by who has lost it", answered(t, c, token, 0, "late"), false)
		same(t, "while the second is carried out", take(t, c, token, "digest", 201).Answer, nil)
		same(t, "answered", answered(t, c, token, 200, "done"), true)
		for _, seconds := range []int{0, 200} {
			same(t, "answered again", answered(t, c, token, seconds, "late"), false)
		}
		same(t, "the answer", *take(t, c, token, "digest", 202).Answer, "done")
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
			same(t, "answered", answered(t, c, other, 0, "done"), true)
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
