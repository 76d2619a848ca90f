package precheck

import "testing"

func TestPasteable(t *testing.T) {
	for sql, want := range map[string]string{
		`DROP TABLE public.t`:                                 `DROP TABLE public.t`,
		`DROP TABLE "Größe"."T ""x"" \y"`:                     `DROP TABLE "Größe"."T ""x"" \y"`,
		"DROP TABLE a.\"two\nlines\"":                         `DROP TABLE a.U&"two\+00000Alines"`,
		"DROP TABLE a.\"tab\t \\ \"\"x\"":                     `DROP TABLE a.U&"tab\+000009 \\ ""x"`,
		"DROP TABLE a.\"\u202egnp\"":                          `DROP TABLE a.U&"\+00202Egnp"`,
		"ROLLBACK PREPARED 'it''s\n'":                         `ROLLBACK PREPARED E'it''s\U0000000A'`,
		"ROLLBACK PREPARED E'a\\\\b\n'":                       `ROLLBACK PREPARED E'a\\b\U0000000A'`,
		"SELECT f(E'a\r', 'b')":                               `SELECT f(E'a\U0000000D', 'b')`,
		"SELECT f('a', 'it''s \"quoted\"', \"b\nc\", '\x1b')": `SELECT f('a', 'it''s "quoted"', U&"b\+00000Ac", E'\U0000001B')`,
		`DROP TABLE "E"'x'`:                                   `DROP TABLE "E"'x'`,
		"":                                                    "",
	} {
		if got := pasteable(sql); got != want {
			t.Errorf("%q: got %s, want %s", sql, got, want)
		}
	}
}

// Whatever a name is, nothing unseen is left of it, and what was to be seen stays.
func FuzzPasteable(f *testing.F) {
	f.Add("DROP TABLE a.\"two\nlines\"; SELECT 'it''s \\\t'")
	f.Add("'")
	f.Add(`E'\\'`)
	f.Fuzz(func(t *testing.T, name string) {
		sql := "DROP TABLE " + quoted(name)
		got := pasteable(sql)
		for _, r := range got {
			if r < ' ' || r == 0x7f || r == 0x202e {
				t.Errorf("%q became %q", sql, got)
			}
		}
		if again := pasteable(got); again != got {
			t.Errorf("%q became %q, then %q", sql, got, again)
		}
	})
}
