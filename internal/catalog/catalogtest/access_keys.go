package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

func anAccessKey(id string, created int) catalog.AccessKey {
	return catalog.AccessKey{
		ID: id, Account: "123456789", Description: "the operator", Secret: "sealed " + id,
		Policy: `{"Version": "1"}`, CreatedAt: keptAfter(created),
	}
}

func accessKeys(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	read := func(t *testing.T, c *catalog.Catalog, id string) catalog.AccessKey {
		t.Helper()
		key, err := c.AccessKey(t.Context(), id)
		must(t, err)
		return key
	}

	t.Run("are read as they were added, the oldest first", func(t *testing.T) {
		c := open(t)
		none, err := c.AccessKeys(t.Context())
		must(t, err)
		same(t, "none", none, nil)
		disabled := anAccessKey("b", 2)
		disabled.Disabled = true
		for _, key := range []catalog.AccessKey{anAccessKey("c", 2), anAccessKey("a", 3), disabled, anAccessKey("d", 1)} {
			must(t, c.AddAccessKey(t.Context(), key))
			same(t, "key", read(t, c, key.ID), key)
		}
		all, err := c.AccessKeys(t.Context())
		must(t, err)
		same(t, "all", all, []catalog.AccessKey{anAccessKey("d", 1), disabled, anAccessKey("c", 2), anAccessKey("a", 3)})
		if err := c.AddAccessKey(t.Context(), anAccessKey("a", 4)); err == nil {
			t.Error("a key was given out twice")
		}
	})

	t.Run("are disabled and enabled", func(t *testing.T) {
		c := open(t)
		want := anAccessKey("a", 0)
		must(t, c.AddAccessKey(t.Context(), want))
		must(t, c.AddAccessKey(t.Context(), anAccessKey("b", 0)))
		for _, disabled := range []bool{true, true, false} {
			must(t, c.DisableAccessKey(t.Context(), "a", disabled))
			want.Disabled = disabled
			same(t, "key", read(t, c, "a"), want)
		}
		same(t, "the other", read(t, c, "b"), anAccessKey("b", 0))
	})

	t.Run("get another secret", func(t *testing.T) {
		c := open(t)
		want := anAccessKey("a", 0)
		must(t, c.AddAccessKey(t.Context(), want))
		must(t, c.AddAccessKey(t.Context(), anAccessKey("b", 0)))
		must(t, c.RotateAccessKey(t.Context(), "a", "sealed again", after(9)))
		at := keptAfter(9)
		want.Secret, want.RotatedAt = "sealed again", &at
		same(t, "key", read(t, c, "a"), want)
		same(t, "the other", read(t, c, "b"), anAccessKey("b", 0))
	})

	t.Run("that do not exist", func(t *testing.T) {
		c := open(t)
		for _, id := range []string{"none", "", "a\x00b", "\xff"} {
			_, err := c.AccessKey(t.Context(), id)
			missing(t, err, "access key")
			missing(t, c.DisableAccessKey(t.Context(), id, true), "access key")
			missing(t, c.RotateAccessKey(t.Context(), id, "sealed", noon), "access key")
		}
	})
}
