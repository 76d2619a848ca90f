package catalogtest

import (
	"testing"

	"github.com/pgleap/pgleap/internal/catalog"
)

func settings(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	t.Run("keep their last value", func(t *testing.T) {
		c := open(t)
		_, err := c.Setting(t.Context(), "host")
		missing(t, err, "setting")
		for _, value := range []string{"db1", "db1", ""} {
			must(t, c.SetSetting(t.Context(), "host", value))
			got, err := c.Setting(t.Context(), "host")
			must(t, err)
			same(t, "host", got, value)
		}
	})
}
