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
		`operator public.-(a,b): b`:                                `operator public.-(a,b)`,
		`function of access method function 1 (a) of public.o: f`:  `function of access method function 1 (a) of public.o`,
		`foreign-data wrapper w: - -`:                              `foreign-data wrapper w`,
		`server s`:                                                 `server s`,
		`constraint k on public.t (c)`:                             `constraint k on public.t (c)`,
	} {
		if got := subject(line); got != want {
			t.Errorf("subject(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string][2]string{
		"column public.t.a":                            {"column", "public.t.a"},
		"materialized view public.m":                   {"materialized view", "public.m"},
		"operator public.###(integer,integer)":         {"operator", "public.###(integer,integer)"},
		"operator class public.own USING hash":         {"operator class", "public.own USING hash"},
		"user mapping alice on server s":               {"user mapping", "alice on server s"},
		"foreign table column public.abroad.a":         {"foreign table column", "public.abroad.a"},
		"text search configuration public.searched":    {"text search configuration", "public.searched"},
		"publication of_all":                           {"publication", "of_all"},
		"publication relation public.t in publication": {"publication relation", "public.t in publication"},
		"it": {"it", ""},
	} {
		if kind, object := kindOf(subject); [2]string{kind, object} != want {
			t.Errorf("kindOf(%q) = %q, %q, want %q", subject, kind, object, want)
		}
	}
}
