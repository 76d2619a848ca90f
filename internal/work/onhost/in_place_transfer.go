package onhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// places are the directories between which pg_upgrade transfers files: the two data directories, and
// the tablespaces, each of which holds the files of both clusters.
type places struct {
	source string // the source's data directory
	target string // the target's, or the nearest directory above it
	spaces []string
}

// transferPlaces are the places of a plan, with a directory beside the target's that is there already.
func transferPlaces(plan upgrade.Plan, spaces map[uint32]string, beside string) (places, error) {
	at := places{source: plan.Source.Pgdata, target: beside}
	for _, space := range slices.Sorted(maps.Values(spaces)) {
		if isWithin(space, plan.Source.Pgdata) { // whoever removes the source some day would remove the target's tables
			return at, &upgrade.Refused{
				Reason: fmt.Sprintf("the tablespace at %s lies within the source's data directory", space),
				Remedy: "move its tables to another one (ALTER TABLE ... SET TABLESPACE), and drop it",
				Cause:  upgrade.CausePlace,
			}
		}
		at.spaces = append(at.spaces, space)
	}
	return at, nil
}

// tablespaces are the source's, by their oid.
func (w *Worker) tablespaces(ctx context.Context, plan upgrade.Plan) (spaces map[uint32]string, err error) {
	err = with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		spaces, err = postgres.TablespaceLocations(ctx, conn)
		return err
	})
	return spaces, err
}

// foreseeTransfer tries in a directory beside the target's place what the upgrade will try there, and leaves nothing.
func (w *Worker) foreseeTransfer(ctx context.Context, plan upgrade.Plan, beside string) (precheck.Transfer, error) {
	if plan.Mode != upgrade.InPlace {
		return precheck.Transfer{}, nil
	}
	user, err := owner(plan)
	if err != nil {
		return precheck.Transfer{}, err
	}
	spaces, err := w.tablespaces(ctx, plan)
	if err != nil {
		return precheck.Transfer{}, err
	}
	var chosen chosenTransfer
	at, err := transferPlaces(plan, spaces, beside)
	if err == nil {
		chosen, err = chooseTransfer(plan.Options.WithDefaults().Transfer, plan.Target.Version, at, user)
	}
	if refused, ok := errors.AsType[*upgrade.Refused](err); ok {
		return precheck.Transfer{Refused: refused.Error()}, nil
	}
	if err != nil {
		return precheck.Transfer{}, err
	}
	return precheck.Transfer{Chosen: upgrade.ChosenTransfer{
		Transfer: upgrade.Transfer(chosen.Transfer), Why: chosen.Why, WayBack: wayBack(chosen.Transfer),
	}}, nil
}

// chosenTransfer is how files are transferred, and why so.
type chosenTransfer struct {
	Transfer pgbin.Transfer `json:"transfer"`
	Why      string         `json:"why"`
}

// chooseTransfer takes what the user wants, if it works here. For auto it is the fastest that works and
// that can be taken back. Whether something works is tried with scratch files, not guessed.
func chooseTransfer(wanted upgrade.Transfer, version upgrade.VersionNum, at places, user run.User) (chosenTransfer, error) {
	switch wanted {
	case upgrade.TransferCopy:
		return chosenTransfer{pgbin.TransferCopy, "as asked for"}, nil
	case upgrade.TransferCopyFileRange, upgrade.TransferSwap:
		since := map[upgrade.Transfer]upgrade.Major{upgrade.TransferCopyFileRange: 17, upgrade.TransferSwap: 18}[wanted]
		if version.Major() < since {
			return chosenTransfer{}, &upgrade.Refused{
				Reason: fmt.Sprintf("pg_upgrade %s cannot transfer files by %s: that came with %d", version, wanted, since),
				Remedy: "choose another transfer, or auto", Cause: upgrade.CauseOption,
			}
		}
		if wanted == upgrade.TransferSwap { // it renames directories, which links show as well
			return asked(upgrade.TransferSwap, pgbin.TransferSwap, tryLink(at, user))
		}
		return chosenTransfer{pgbin.TransferCopyFileRange, "as asked for"}, nil
	case upgrade.TransferClone:
		return asked(wanted, pgbin.TransferClone, tryClone(at, user))
	case upgrade.TransferLink:
		return asked(wanted, pgbin.TransferLink, tryLink(at, user))
	case upgrade.TransferAuto:
	}
	noClone := tryClone(at, user)
	if noClone == nil {
		return chosenTransfer{pgbin.TransferClone, "the file system can share blocks between files, which takes no time and leaves the source as it is"}, nil
	}
	noLink := tryLink(at, user)
	if noLink == nil {
		return chosenTransfer{pgbin.TransferLink, fmt.Sprintf("the file system cannot clone files (%v), but it can link them, which takes no time and can be taken back until the target is started", noClone)}, nil
	}
	return chosenTransfer{pgbin.TransferCopy, fmt.Sprintf("files can neither be cloned (%v) nor linked (%v)", noClone, noLink)}, nil
}

// asked is a transfer that the user wants by name: it is refused rather than replaced.
func asked(wanted upgrade.Transfer, transfer pgbin.Transfer, failed error) (chosenTransfer, error) {
	if failed != nil {
		return chosenTransfer{}, &upgrade.Refused{
			Reason: fmt.Sprintf("files cannot be transferred by %s here: %v", wanted, failed),
			Remedy: "choose another transfer, or auto", Cause: upgrade.CauseOption,
		}
	}
	return chosenTransfer{transfer, "as asked for"}, nil
}

// tryClone clones a file of the source's beside the target, and one within each tablespace. The clones
// have no name, so nothing is left of them, whatever happens.
func tryClone(at places, user run.User) error {
	return user.Do(func() error {
		source, err := os.Open(filepath.Join(at.source, "PG_VERSION"))
		if err != nil {
			return err
		}
		defer source.Close() //nolint:errcheck // only read
		if err := cloneInto(source, at.target); err != nil {
			return fmt.Errorf("%s to %s: %w", at.source, at.target, err)
		}
		for _, space := range at.spaces {
			if err := cloneWithin(space); err != nil {
				return fmt.Errorf("within %s: %w", space, err)
			}
		}
		return nil
	})
}

func cloneWithin(dir string) error {
	scratch, err := nameless(dir)
	if err != nil {
		return err
	}
	defer scratch.Close() //nolint:errcheck // it goes with its descriptor
	if _, err := scratch.WriteString("pgleap\n"); err != nil {
		return err
	}
	return cloneInto(scratch, dir)
}

// ficlone is FICLONE of ioctl_ficlone(2), which pg_upgrade uses (file.c, cloneFile).
const ficlone = 0x40049409

func cloneInto(source *os.File, dir string) error {
	clone, err := nameless(dir)
	if err != nil {
		return err
	}
	defer clone.Close() //nolint:errcheck // it goes with its descriptor
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, clone.Fd(), ficlone, source.Fd()); errno != 0 {
		return errno
	}
	return nil
}

// nameless makes a file that is in a file system but in no directory (open(2), O_TMPFILE).
func nameless(dir string) (*os.File, error) {
	const tmpfile = 0x400000 | syscall.O_DIRECTORY
	return os.OpenFile(dir, os.O_RDWR|tmpfile, 0o600)
}

// tryLink links a file of the source's beside the target, as pg_upgrade itself tries it (file.c,
// check_hard_link). Tablespaces hold the files of both clusters in one file system.
func tryLink(at places, user run.User) error {
	return user.Do(func() error {
		link := filepath.Join(at.target, ".linktest.pgleap")
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		err := os.Link(filepath.Join(at.source, "PG_VERSION"), link)
		if linked, ok := errors.AsType[*os.LinkError](err); ok {
			return fmt.Errorf("%s to %s: %w", at.source, at.target, linked.Err)
		}
		return errors.Join(err, os.Remove(link))
	})
}

// wayBack says in plain words until when the source can be put back.
func wayBack(transfer pgbin.Transfer) string {
	switch transfer {
	case pgbin.TransferLink:
		return "source and target share their files: the source can be put back until the target is started for the first time, " +
			"and pgleap does so by itself if anything fails before; from then on only a backup brings the source back"
	case pgbin.TransferSwap:
		return "the source's files become the target's: the source can be put back until pg_upgrade begins to move them, " +
			"and pgleap does so by itself if anything fails before; from then on only a backup brings the source back"
	case pgbin.TransferCopy, pgbin.TransferClone, pgbin.TransferCopyFileRange:
	}
	return "the source's files are not touched: pgleap puts the source back by itself if anything fails before the target is started for the first time; " +
		"afterwards its data directory still holds everything but what was written to the target"
}
