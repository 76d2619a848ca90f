package verify

import "testing"

func TestSubject(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`column public.t.a integer not null`:                       `column public.t.a`,
		`column "Odd Schema"."a ""b""".c numeric(10,2)`:            `column "Odd Schema"."a ""b""".c`,
		`sequence public.s as bigint start 1`:                      `sequence public.s`,
		`relation public.t (rpd)`:                                  `relation public.t`,
		`function public.f(integer, text) d41d8`:                   `function public.f(integer, text)`,
		`privilege on table public.t: SELECT to alice by postgres`: `privilege on table public.t`,
		`policy p on public.t: permissive r to public`:             `policy p on public.t`,
		`default of public.t.a: 'x: y'::text`:                      `default of public.t.a`,
		`constraint k on public.t (c)`:                             `constraint k on public.t (c)`,
	} {
		if got := subject(line); got != want {
			t.Errorf("subject(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"public"."t"`:           `public.t`,
		`"Odd Schema"."t"`:       `"Odd Schema".t`,
		`"a b"."select"`:         `"a b".select`,
		`"public"."a ""b"" c"`:   `public."a ""b"" c"`,
		`'x'::"json" and "y_1$"`: `'x'::json and y_1$`,
	} {
		if got := display(text); got != want {
			t.Errorf("display(%q) = %q, want %q", text, got, want)
		}
	}
}
