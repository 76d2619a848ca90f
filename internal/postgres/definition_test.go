package postgres

import "testing"

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"public"."t"`:           `public.t`,
		`"Odd Schema"."t"`:       `"Odd Schema".t`,
		`"a b"."select"`:         `"a b".select`,
		`"public"."a ""b"" c"`:   `public."a ""b"" c"`,
		`'x'::"json" and "y_1$"`: `'x'::json and y_1$`,
		`'"x"'::"text"`:          `'"x"'::text`,
		`'it''s "x"', "y"`:       `'it''s "x"', y`,
		`"it's"."y" = '"z"'`:     `"it's".y = '"z"'`,
	} {
		if got := Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
	}
}
