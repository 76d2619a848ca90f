package precheck

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestRehearsalFindings(t *testing.T) {
	long := strings.Repeat("é", maxShownSQL)
	facts := &Facts{Host: Host{SchemaRehearsal: Known(SchemaRehearsal{
		Refused: []RehearsalFailure{
			{
				Database: "shop", Kind: "view", Object: `public."Or ders"`, Error: "column x does not\n  exist", SQL: "CREATE VIEW y AS\n\tSELECT x;",
				Undo: `DROP VIEW "public"."Or ders"`, In: "shop",
			},
			{Kind: "setting", Object: "role app", Error: "gone: unrecognized", Undo: `ALTER ROLE "app" RESET "gone"`, In: "postgres"},
			{Database: "shop", Error: "no such locale", SQL: "CREATE DATABASE " + long},
		},
		LeftOut:    []RehearsalFailure{{Database: "old", Error: "it has more than 100000 large objects"}},
		Unfinished: "there may be more",
	}, nil)}}
	refused, err := schemaRehearsal.Find(context.Background(), facts, Session{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Found{
		{
			Object: `shop.public."Or ders"`, Note: "view; column x does not exist; the statement was CREATE VIEW y AS SELECT x",
			SQL: `DROP VIEW "public"."Or ders"`, Database: "shop",
		},
		{Object: "role app", Note: "gone: unrecognized", SQL: `ALTER ROLE "app" RESET "gone"`, Database: "postgres"},
		{Object: "shop", Note: "no such locale; the statement was CREATE DATABASE " + strings.Repeat("é", (maxShownSQL-len("CREATE DATABASE "))/2) + " ..."},
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	left, err := notRehearsed.Find(context.Background(), facts, Session{})
	if err != nil {
		t.Fatal(err)
	}
	want = []Found{
		{Object: "old", Note: "it has more than 100000 large objects", Severity: upgrade.Warning},
		{Object: "schema rehearsal", Note: "there may be more", Severity: upgrade.Warning},
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

// A rehearsal that failed by itself says nothing of the schema: it stands in the way of nothing.
func TestRehearsalThatCouldNotBe(t *testing.T) {
	facts := &Facts{Host: Host{SchemaRehearsal: Known(SchemaRehearsal{}, errors.New("no space"))}}
	refused, err := schemaRehearsal.Find(context.Background(), facts, Session{})
	if len(refused) > 0 || err != nil {
		t.Errorf("got %+v, %v", refused, err)
	}
	left, err := notRehearsed.Find(context.Background(), facts, Session{})
	if err != nil || len(left) != 1 || left[0].Note != "no space" || left[0].Severity != upgrade.Warning {
		t.Errorf("got %+v, %v", left, err)
	}
}

func TestWhatIsForetoldIsNotToldAgain(t *testing.T) {
	blocker := func(object string) located { return located{Found: Found{Object: object, Severity: upgrade.Blocker}} }
	r := round{seen: seen{found: map[string][]located{
		"schema-rehearsal":  {blocker("role app"), blocker(`shop.public.f(integer)`), blocker("shop.public.t"), blocker("shop.public.v"), blocker("shop.s.counted")},
		"removed-functions": {blocker("shop.s.counted.b")},
		"role-settings":     {blocker("role app")},
		"function-settings": {blocker("shop.f(integer)")},
		"replica-identity":  {blocker("shop.public.t")},
		"removed-columns":   {{Found: Found{Object: "shop.public.v", Severity: upgrade.Warning}}},
	}}}
	r.withoutRehearsed()
	want := []string{"shop.public.t", "shop.public.v"}
	var got []string
	for _, l := range r.found["schema-rehearsal"] {
		got = append(got, l.Object)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
