package postgres

import "testing"

func TestSameWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, one, other string
		want             bool
	}{
		{
			"constraint", `CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[])))`,
			`CHECK (((v)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s'::character varying)::text])))`, true,
		},
		{
			"constraint", `CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))`,
			`CHECK (((v)::text = ANY (ARRAY[('a'::character varying)::text, ('c'::character varying)::text])))`, false,
		},
		{"expression", `(ARRAY['1'::text])::integer[]`, `(ARRAY['1'::text])::bigint[]`, false},
		{"query", ` SELECT t.a, t."B c" FROM public.t WHERE (t.a > 1);`, ` SELECT a, "B c" FROM public.t WHERE (a > 1);`, true},
		{"query", ` SELECT "T".a FROM public."T";`, ` SELECT a FROM public."T";`, true},
		{"query", ` SELECT t.a FROM public.t WHERE (t.a > 1);`, ` SELECT a FROM public.t WHERE (a > 2);`, false},
		{"query", ` SELECT t.a FROM public.t, public.u WHERE (u.b = 1);`, ` SELECT t.a FROM public.t, public.u WHERE (t.b = 1);`, false},
		{"query", ` SELECT t.a FROM public.t WHERE (t.b = 't.x'::text);`, ` SELECT a FROM public.t WHERE (b = 't.x'::text);`, true},
		{"query", ` SELECT t.a FROM public.t WHERE (t.b = 't.x'::text);`, ` SELECT a FROM public.t WHERE (b = 'x'::text);`, false},
		{"expression", `'"x"'::text`, `'x'::text`, false},
		{"expression", `'"x"'::"json"`, `'"x"'::json`, true},
		{"query", ` SELECT t.a, u.b FROM public.t, public.u;`, ` SELECT a, b FROM public.t, public.u;`, false},
		{"expression", `(t.a > 1)`, `(a > 1)`, false},
		{"query", ` SELECT public.f(t.a) FROM public.t;`, ` SELECT public.f(a) FROM public.t;`, true},
		{"query", ` SELECT public.f(t.a) FROM public.t;`, ` SELECT other.f(a) FROM public.t;`, false},
	} {
		one, other := Definition{Kind: c.kind, Text: c.one}, Definition{Kind: c.kind, Text: c.other}
		if sameWords(one, other) != c.want || sameWords(other, one) != c.want {
			t.Errorf("%s\n%s\nsame: %v, want %v", c.one, c.other, !c.want, c.want)
		}
	}
}
