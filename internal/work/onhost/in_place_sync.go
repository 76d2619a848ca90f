package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// fileSystems are those that hold what pg_upgrade makes of a target. pg_upgrade itself would fsync each file
// (file_utils.c, sync_pgdata), those that it has only linked too, and each fsync may have the disk empty its
// cache: with thousands of tables that is a good part of the outage. Here each file system is synced once.
//
// They are held open from before anything is written: syncfs tells of what could not be written since its
// descriptor was opened, whoever wrote it and whenever (syncfs(2)).
type fileSystems []*os.File

// syncsAtOnce tells whether the target of an upgrade may be synced by file systems instead of by
// pg_upgrade: that must be able to leave it (since 15), and the kernel must be able to tell what failed. With
// swap the order in which files get to the disk matters, and pg_upgrade knows it. The kinds are those of all its
// file systems, as statfs(2) tells them.
func syncsAtOnce(target upgrade.Major, transfer pgbin.Transfer, release string, kinds []int64) bool {
	return target >= 15 && transfer != pgbin.TransferSwap && syncfsNumber() != 0 && syncfsTells(release) &&
		!slices.ContainsFunc(kinds, syncsOnlyByFsync)
}

// syncsOnlyByFsync tells of kinds of file systems (include/uapi/linux/magic.h) whose syncfs is not to be relied on:
// FUSE has none that reaches its daemon, and overlayfs tells what failed below it only in newer kernels.
func syncsOnlyByFsync(kind int64) bool {
	const fuse, overlay = 0x65735546, 0x794c7630
	return kind == fuse || kind == overlay
}

// fileSystemKinds are those of the file systems of some directories.
func fileSystemKinds(dirs ...string) ([]int64, error) {
	kinds := make([]int64, len(dirs))
	for i, dir := range dirs {
		var stat syscall.Statfs_t
		if err := syscall.Statfs(dir, &stat); err != nil {
			return nil, fmt.Errorf("ask for the file system of %s: %w", dir, err)
		}
		kinds[i] = int64(stat.Type) //nolint:unconvert // it is narrower elsewhere
	}
	return kinds, nil
}

// targetDirs are a target's data directory, that of its WAL, and its tablespaces.
func targetDirs(plan upgrade.Plan, spaces []string) []string {
	dirs := []string{plan.Target.Pgdata, filepath.Join(plan.Target.Pgdata, "pg_wal")}
	for _, space := range spaces {
		dirs = append(dirs, filepath.Dir(space)) // the directory within it is not made yet
	}
	return dirs
}

// openTargets opens the file systems of a target that is made of a clone; none if pg_upgrade is to sync it.
func openTargets(plan upgrade.Plan, files files) (fileSystems, error) {
	dirs := targetDirs(plan, nil)
	if files.has(noteTablespacesDir) {
		dirs = append(dirs, tablespacesDir(plan))
	}
	kinds, err := fileSystemKinds(dirs...)
	if err != nil || !syncsAtOnce(plan.Target.Version.Major(), pgbin.TransferLink, kernelRelease(), kinds) {
		return nil, err
	}
	return openFileSystems(dirs...)
}

// openFileSystems opens those of some directories, each once.
func openFileSystems(dirs ...string) (fileSystems, error) {
	var opened fileSystems
	seen := map[uint64]bool{}
	for _, dir := range dirs {
		var stat syscall.Stat_t
		file, err := os.Open(dir)
		if err == nil {
			opened = append(opened, file)
			err = syscall.Fstat(int(file.Fd()), &stat) //nolint:gosec // descriptors are small
		}
		if err != nil {
			opened.close()
			return nil, fmt.Errorf("open the file system of %s: %w", dir, err)
		}
		if seen[stat.Dev] {
			_ = file.Close()
			opened = opened[:len(opened)-1]
		}
		seen[stat.Dev] = true
	}
	return opened, nil
}

// sync makes durable what was written to them.
func (f fileSystems) sync(ctx context.Context) error {
	for _, file := range f {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, _, errno := syscall.Syscall(syncfsNumber(), file.Fd(), 0, 0); errno != 0 {
			return fmt.Errorf("sync the file system of %s: %w", file.Name(), errno)
		}
	}
	return nil
}

func (f fileSystems) close() {
	for _, file := range f {
		_ = file.Close()
	}
}

// syncfsNumber is the number of syncfs, which package syscall does not know everywhere (the kernel's
// arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h); 0 where it is not known here.
func syncfsNumber() uintptr {
	switch runtime.GOARCH {
	case "amd64":
		return 306
	case "arm64", "riscv64":
		return 267
	}
	return 0
}

// syncfsTells tells whether a kernel's syncfs reports what could not be written: since 5.8 (syncfs(2)).
func syncfsTells(release string) bool {
	first, rest, _ := strings.Cut(release, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	return errors.Join(errMajor, errMinor) == nil && (major > 5 || major == 5 && minor >= 8)
}

// kernelRelease is that of uname(2), such as "6.1.0-13-amd64"; empty if it is not told.
func kernelRelease() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(release))
}
