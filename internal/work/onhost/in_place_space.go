package onhost

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// enoughSpace refuses a transfer that copies what does not fit. The other ones need room for the target's
// catalogs and pg_upgrade's dumps only.
func (w *Worker) enoughSpace(ctx context.Context, plan upgrade.Plan, transfer pgbin.Transfer) error {
	const perDatabase = 20 << 20 // catalogs and dump of an empty one
	var databases int64
	err := with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM pg_database`).Scan(&databases)
	})
	if err != nil {
		return fmt.Errorf("count the source's databases: %w", err)
	}
	copied, err := w.copied(ctx, plan, upgrade.Transfer(transfer))
	if err != nil {
		return err
	}
	pgdata := existingDir(plan.Target.Pgdata)
	free, err := freeSpace(pgdata)
	if err != nil {
		return err
	}
	need := precheck.Space{Bytes: databases*perDatabase + copied.ToTarget.Bytes}
	return fits(append([]precheck.Room{{Dir: pgdata, Need: need, Free: free}}, copied.Elsewhere...))
}

// fits refuses where a file system has not room enough.
func fits(rooms []precheck.Room) error {
	for _, room := range rooms {
		if room.Free.Bytes < room.Need.Bytes {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("the file system of %s has %d MiB free, and the target needs %d MiB there", room.Dir, room.Free.Bytes>>20, room.Need.Bytes>>20),
				Remedy: "make room, or choose a transfer that copies nothing (clone or link)",
				Cause:  upgrade.CausePlace,
			}
		}
	}
	return nil
}

// foreseeCopies is what the transfer will copy that a precheck has found out, or what was asked for where it could not.
func (w *Worker) foreseeCopies(ctx context.Context, plan upgrade.Plan, transfer precheck.Transfer) (precheck.Copied, error) {
	if plan.Mode != upgrade.InPlace {
		return precheck.Copied{}, nil
	}
	chosen := transfer.Chosen.Transfer
	if chosen == "" {
		chosen = plan.Options.WithDefaults().Transfer
	}
	return w.copied(ctx, plan, chosen)
}

// copied is what a transfer writes anew of the source's data. Links, and files that are moved, take nothing; a clone of a
// file is a file of its own that shares its blocks.
func (w *Worker) copied(ctx context.Context, plan upgrade.Plan, transfer upgrade.Transfer) (precheck.Copied, error) {
	if transfer == upgrade.TransferLink || transfer == upgrade.TransferSwap || transfer == upgrade.TransferAuto {
		return precheck.Copied{}, nil
	}
	var sizes map[uint32]postgres.TablespaceSize
	err := with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		sizes, err = postgres.TablespaceSizes(ctx, conn)
		return err
	})
	if err != nil {
		return precheck.Copied{}, err
	}
	spaces, err := w.tablespaces(ctx, plan)
	if err != nil {
		return precheck.Copied{}, err
	}
	if transfer == upgrade.TransferClone {
		for oid, size := range sizes {
			sizes[oid] = postgres.TablespaceSize{Files: size.Files}
		}
	}
	return placeCopies(sizes, spaces, existingDir(plan.Target.Pgdata))
}

// placeCopies sums up by file systems: the files of a tablespace are copied where they are, all others to the target.
func placeCopies(sizes map[uint32]postgres.TablespaceSize, spaces map[uint32]string, target string) (copied precheck.Copied, err error) {
	for _, oid := range slices.Sorted(maps.Keys(sizes)) {
		size := precheck.Space{Bytes: sizes[oid].Bytes, Inodes: sizes[oid].Files}
		dir, elsewhere := spaces[oid]
		if !elsewhere || sameFileSystem(dir, target) {
			copied.ToTarget = copied.ToTarget.Plus(size)
			continue
		}
		shares := func(room precheck.Room) bool { return sameFileSystem(room.Dir, dir) }
		at := slices.IndexFunc(copied.Elsewhere, shares)
		if at < 0 {
			room := precheck.Room{Dir: dir}
			if room.Free, err = freeSpace(dir); err != nil {
				return copied, err
			}
			copied.Elsewhere = append(copied.Elsewhere, room)
			at = len(copied.Elsewhere) - 1
		}
		copied.Elsewhere[at].Need = copied.Elsewhere[at].Need.Plus(size)
	}
	return copied, nil
}
