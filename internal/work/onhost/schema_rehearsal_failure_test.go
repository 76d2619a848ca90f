package onhost

import (
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgbin"
)

// What stands beside a refused setting may be a secret, and so may its own value.
func TestRehearsalFailuresHideSettings(t *testing.T) {
	const others = "ALTER ROLE \"app\" SET \"app.token\" TO 'hush';\nALTER ROLE \"app\" SET \"bytea_output\" TO 'hush too';\n"
	for name, statement := range map[string]pgbin.Statement{
		"one that is known":      {SQL: others, Error: `invalid value for parameter "bytea_output": "hush too"`},
		"one that is not told":   {SQL: others, Error: `something else`},
		"one of a database":      {SQL: `ALTER DATABASE "shop" SET "bytea_output" TO 'hush too';`, Error: `invalid value for parameter "bytea_output": "hush too"`},
		"one of a name in error": {SQL: others, Error: `unrecognized configuration parameter "bytea_output"`},
	} {
		f := rehearsalFailure("shop", statement)
		if strings.Contains(f.SQL+f.Error+f.Undo, "hush") || f.Error == "" {
			t.Errorf("%s: got %+v", name, f)
		}
	}
	if f := rehearsalFailure("shop", pgbin.Statement{SQL: `CREATE VIEW "public"."v" AS SELECT 1`, Error: "x"}); f.SQL == "" {
		t.Error("the statement of a view is hidden")
	}
}
