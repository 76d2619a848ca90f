package onhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The bounds of a calibration: long enough to see past a disk's own memory, short enough to disturb nobody.
const (
	calibrationBytes = 256 << 20
	calibrationTime  = 1500 * time.Millisecond // for each direction
	calibrationBlock = 1 << 20
	// calibrationShare is the part of the free space that it may take.
	calibrationShare = 20
)

// calibrate measures how fast a file of the target's file system is written, up to the disk, and read from
// it. The file has no name, so nothing is left of it, whatever happens.
func (s *scratch) calibrate(ctx context.Context) (upgrade.Speed, error) {
	progressOf(ctx).text("measuring the disk")
	user, err := owner(s.plan)
	if err != nil {
		return upgrade.Speed{}, err
	}
	free, err := freeSpace(s.dir)
	if err != nil {
		return upgrade.Speed{}, err
	}
	most := min(calibrationBytes, free.Bytes/calibrationShare)
	if most < calibrationBlock {
		return upgrade.Speed{}, errors.New("there is no room to measure the disk")
	}
	var speed upgrade.Speed
	err = user.Do(func() error {
		file, err := nameless(s.dir)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // it goes with its descriptor
		if speed.WriteRate, err = writeRate(ctx, file, most); err != nil {
			return err
		}
		speed.ReadRate, err = readRate(ctx, file)
		return err
	})
	if err != nil {
		return upgrade.Speed{}, fmt.Errorf("measure the disk: %w", err)
	}
	return speed, nil
}

// writeRate writes until enough was written or enough time has passed, and waits for the disk. What is
// written cannot be compressed. The disk is waited for at each sixteenth, so that a slow one does not
// make it last.
func writeRate(ctx context.Context, file *os.File, most int64) (float64, error) {
	block := make([]byte, calibrationBlock)
	if _, err := rand.Read(block); err != nil {
		return 0, err
	}
	begun := time.Now()
	written, flushed := int64(0), int64(0)
	for written+calibrationBlock <= most && time.Since(begun) < calibrationTime && ctx.Err() == nil {
		n, err := file.Write(block)
		written += int64(n)
		if err != nil {
			return 0, err
		}
		if written-flushed >= calibrationBytes/16 {
			if err := syscall.Fdatasync(int(file.Fd())); err != nil {
				return 0, err
			}
			flushed = written
		}
	}
	if err := errors.Join(syscall.Fdatasync(int(file.Fd())), ctx.Err()); err != nil {
		return 0, err
	}
	return perSecond(written, time.Since(begun)), nil
}

// readRate reads what was written. The kernel is asked to forget it before; where it does not, the page cache
// is measured, which is what a base backup of such a file would find as well.
func readRate(ctx context.Context, file *os.File) (float64, error) {
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dontNeed, 0, 0)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	block := make([]byte, calibrationBlock)
	begun := time.Now()
	read := int64(0)
	for time.Since(begun) < calibrationTime && ctx.Err() == nil {
		n, err := file.Read(block)
		read += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return perSecond(read, time.Since(begun)), nil
}

func perSecond(bytes int64, took time.Duration) float64 {
	return float64(bytes) / max(took.Seconds(), 1e-6)
}
