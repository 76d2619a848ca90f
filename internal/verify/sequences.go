package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// compareSequences compares where sequences stand. What they are is in the shapes.
func (r *run) compareSequences(ctx context.Context, db *database) error {
	given := [2][]postgres.Sequence{db.SourceSequences, db.TargetSequences}
	var stand [2]map[string]postgres.Sequence
	err := db.brieflyOnBoth(ctx, func(ctx context.Context, side Side, conn *pgx.Conn) error {
		read := given[side]
		if read == nil {
			names, err := postgres.Sequences(ctx, conn)
			if err != nil {
				return err
			}
			if read, err = postgres.ReadSequences(ctx, conn, names, postgres.SequencesAtOnce(1)); err != nil {
				return err
			}
		}
		stand[side] = make(map[string]postgres.Sequence, len(read))
		for _, sequence := range read {
			sequence.Name = postgres.Plain(sequence.Name)
			stand[side][sequence.Name] = sequence
		}
		return nil
	})
	if err != nil {
		return r.unlessRefused(db, "the sequences", err)
	}
	all := maps.Clone(stand[Source])
	maps.Copy(all, stand[Target])
	for _, name := range slices.Sorted(maps.Keys(all)) {
		source, target := position(stand[Source], name), position(stand[Target], name)
		if source == nil || target == nil || *source != *target {
			r.differs(Difference{Kind: "sequence", Database: db.Database, Object: name, Detail: contrast(source, target)})
		}
	}
	return nil
}

// position says where a sequence stands.
func position(sequences map[string]postgres.Sequence, name string) *string {
	s, found := sequences[name]
	if !found {
		return nil
	}
	text := fmt.Sprintf("last value %d", s.LastValue)
	if !s.IsCalled {
		text += ", not called yet"
	}
	return &text
}
