package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgleap/pgleap/internal/postgres"
)

// differingObjects looks into the large objects whose pages differ. Pages may differ where contents do
// not: a hole reads as zeros, and pg_dump writes them. What exists is compared with the catalogs.
func (r *run) differingObjects(ctx context.Context, db *database, pages []differing, complete bool) error {
	var oids []uint32
	for _, page := range pages {
		oid, err := strconv.ParseUint(page.any().Key[0], 10, 32)
		if err != nil {
			return fmt.Errorf("read the oid of a large object: %w", err)
		}
		oids = append(oids, uint32(oid))
	}
	slices.Sort(oids)
	oids = slices.Compact(oids)
	reported := 0
	for i, oid := range oids {
		if reported == r.MaxRows {
			complete = complete && i == len(oids)
			break
		}
		detail, err := r.compareObject(ctx, db, oid)
		if err != nil {
			return err
		}
		if detail != "" {
			reported++
			r.differs(Difference{Kind: "large object", Database: db.Database, Object: strconv.FormatUint(uint64(oid), 10), Detail: detail})
		}
	}
	if !complete {
		r.leaveOut(db.Database, "other large objects", "very many of them are not stored alike on both sides")
	}
	return nil
}

// objectPart is how much of a large object is compared at a time.
const objectPart = 1 << 20

// compareObject says where the contents of a large object differ, if they do.
func (r *run) compareObject(ctx context.Context, db *database, oid uint32) (string, error) {
	for offset := int64(0); ; offset += objectPart {
		if _, err := r.timeout(); err != nil {
			return "", err
		}
		var parts [2][]byte
		var absent [2]bool
		err := onBoth(ctx, func(ctx context.Context, side Side) error {
			return postgres.Briefly(ctx, db.conns()[side], func() (err error) {
				parts[side], err = postgres.ReadLargeObject(ctx, db.conns()[side], oid, offset, objectPart)
				if postgres.IsCode(err, "42704") {
					absent[side], err = true, nil
				}
				return err
			})
		})
		if err != nil {
			return "", err
		}
		if absent[Source] || absent[Target] {
			return "it is on one side only", nil
		}
		if !bytes.Equal(parts[Source], parts[Target]) {
			at := 0
			for at < min(len(parts[Source]), len(parts[Target])) && parts[Source][at] == parts[Target][at] {
				at++
			}
			return fmt.Sprintf("its contents differ from byte %d on", offset+int64(at)), nil
		}
		if len(parts[Source]) < objectPart {
			return "", nil
		}
	}
}
