package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgleap/pgleap/internal/postgres"
)

// compareShapes compares all that has a definition, and privileges.
func (r *run) compareShapes(ctx context.Context, db *database) error {
	var shapes [2]postgres.Shape
	err := db.brieflyOnBoth(ctx, func(ctx context.Context, side Side, conn *pgx.Conn) (err error) {
		shapes[side], err = postgres.ReadShape(ctx, conn)
		return err
	})
	if err == nil {
		err = r.reconcile(ctx, db, shapes)
	}
	if err != nil {
		return r.unlessRefused(db, "the catalogs", err)
	}
	only := map[string]*[2][]string{}
	for side := range shapes {
		for _, line := range shapes[side].Without(shapes[1-side]) {
			subject := subject(line)
			if only[subject] == nil {
				only[subject] = &[2][]string{}
			}
			only[subject][side] = append(only[subject][side], strings.TrimLeft(strings.TrimPrefix(line, subject), ": "))
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(only)) {
		kind, object := kindOf(subject)
		r.differs(Difference{
			Kind: kind, Database: db.Database, Object: object,
			Detail: contrast(linesOf(only[subject][Source]), linesOf(only[subject][Target])),
		})
	}
	return nil
}

// reconcile has definitions that are worded differently printed by one server. Where that can be done, it is in sessions of
// their own: a transaction that holds a snapshot for long is not to write.
func (r *run) reconcile(ctx context.Context, db *database, shapes [2]postgres.Shape) error {
	var definitions postgres.Reconciler
	for _, side := range []Side{Target, Source} {
		if len(shapes[Source].Without(shapes[Target])) == 0 {
			return nil
		}
		if r.Join == nil {
			if err := definitions.Reconcile(ctx, shapes[Source], shapes[Target], db.conns()[side]); err != nil {
				return err
			}
			continue
		}
		printer, err := r.Join(ctx, side, db.Database)
		if err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, printer, func(tx pgx.Tx) error {
			if err := postgres.FixOutput(ctx, tx.Conn()); err != nil {
				return err
			}
			return definitions.Reconcile(ctx, shapes[Source], shapes[Target], tx.Conn())
		})
		_ = printer.Close(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

// longKinds are the kinds of objects that are more than one word.
var longKinds = regexp.MustCompile(`^(materialized view|default privileges|foreign table column|foreign table|foreign-data wrapper|user mapping|access method|event trigger|` +
	`operator (?:class|family|of access method)|function of access method|statistics object|text search (?:parser|template|dictionary|configuration)|` +
	`publication (?:relation|namespace)|row security) `)

// kindOf takes the kind of an object from a line's subject.
func kindOf(subject string) (kind, object string) {
	if long := longKinds.FindStringSubmatch(subject); long != nil {
		return long[1], strings.TrimPrefix(subject, long[0])
	}
	kind, object, _ = strings.Cut(subject, " ")
	return kind, object
}

// linesOf joins what is said of an object on one side only.
func linesOf(lines []string) *string {
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	joined := strings.Join(lines, "; ")
	if joined == "" {
		joined = "it is there"
	}
	return &joined
}

// The lines of these begin with the name of an object, and go on without a colon.
var namedFirst = regexp.MustCompile(`^(?:column|sequence|relation|function) (?:(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)\.?)+(?:\([^)]*\))?`)

// subject is the part of a shape's line that says what it is about.
func subject(line string) string {
	if name := namedFirst.FindString(line); name != "" && !longKinds.MatchString(line) {
		return name
	}
	name, _, _ := strings.Cut(line, ": ")
	return name
}

const maxDetail = 300

// contrast says what is on each side, nil for nothing.
func contrast(source, target *string) string {
	say := func(text *string) string {
		if text == nil {
			return "nothing"
		}
		if short := []rune(*text); len(short) > maxDetail {
			return string(short[:maxDetail]) + "..."
		}
		return *text
	}
	return fmt.Sprintf("source: %s; target: %s", say(source), say(target))
}

// compareFacts compares what the catalogs say besides. Sums come first: of large objects there may be millions.
func (r *run) compareFacts(ctx context.Context, db *database) error {
	for _, set := range postgres.FactSets() {
		if err := r.compareFactSet(ctx, db, set); err != nil {
			if err := r.unlessRefused(db, set.Name(), err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) compareFactSet(ctx context.Context, db *database, set postgres.FactSet) error {
	var sums [2]string
	err := db.brieflyOnBoth(ctx, func(ctx context.Context, side Side, conn *pgx.Conn) (err error) {
		sums[side], err = set.Sum(ctx, conn)
		return err
	})
	if err != nil || sums[Source] == sums[Target] {
		return err
	}
	var facts [2]map[postgres.CatalogFact]string // by all but the value
	err = db.brieflyOnBoth(ctx, func(ctx context.Context, side Side, conn *pgx.Conn) error {
		read, err := set.Read(ctx, conn)
		facts[side] = make(map[postgres.CatalogFact]string, len(read))
		for _, fact := range read {
			value := fact.Value
			fact.Value = ""
			facts[side][fact] = value
		}
		return err
	})
	if err != nil {
		return err
	}
	r.contrastFacts(db, facts)
	return nil
}

func (r *run) contrastFacts(db *database, facts [2]map[postgres.CatalogFact]string) {
	all := maps.Clone(facts[Source])
	maps.Copy(all, facts[Target])
	order := slices.SortedFunc(maps.Keys(all), func(a, b postgres.CatalogFact) int {
		return strings.Compare(a.Kind+a.Object+a.Property, b.Kind+b.Object+b.Property)
	})
	for _, fact := range order {
		var values [2]*string
		for side := range facts {
			if value, found := facts[side][fact]; found {
				values[side] = &value
			} else if fact.Property == "owner" && fact.Kind != "large object" {
				value = "the bootstrap superuser, or there is no such object"
				values[side] = &value
			}
		}
		if facts[Source][fact] != facts[Target][fact] || values[Source] == nil || values[Target] == nil {
			r.differs(Difference{
				Kind: fact.Kind, Database: db.Database, Object: fact.Object,
				Detail: postgres.Plain(fact.Property) + ": " + contrast(values[Source], values[Target]),
			})
		}
	}
}

// unlessRefused leaves out what PostgreSQL would not show; any other error ends the comparison.
func (r *run) unlessRefused(db *database, object string, err error) error {
	if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
		return err
	}
	r.leaveOut(db.Database, object, err.Error())
	return nil
}
