package run

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Do does something with the rights of u: what u may not read, an agent that runs as root must not
// read for him either, for example through a link that he has laid. On Linux a raw system call
// changes the ids of one thread alone (nptl(7)); the thread is given back only if all was put back.
// do must use files only, in its own goroutine.
func (u User) Do(do func() error) error {
	if u.Name == "" || u.UID == os.Geteuid() {
		return do()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := becomeOnThread(u.UID, u.GID, u.Groups); err != nil {
			done <- fmt.Errorf("become user %s: %w", u.Name, err)
			return // the locked thread ends with its goroutine
		}
		err := do()
		if unbecomeOnThread() == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// keep leaves an id as it is, in setresuid and setresgid.
const keep = ^uintptr(0)

// becomeOnThread sets the effective ids and the supplementary groups: the user last, since only
// root may set the others.
func becomeOnThread(uid, gid int, groups []uint32) error {
	if err := setGroups(groups); err != nil {
		return err
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, uintptr(gid), keep); errno != 0 { //nolint:gosec // gids are not negative
		return errno
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 { //nolint:gosec // uids are not negative
		return errno
	}
	return nil
}

func unbecomeOnThread() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(os.Getuid()), keep); errno != 0 { //nolint:gosec // uids are not negative
		return errno
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, uintptr(os.Getgid()), keep); errno != 0 { //nolint:gosec // gids are not negative
		return errno
	}
	own, err := os.Getgroups()
	if err != nil {
		return err
	}
	groups := make([]uint32, len(own))
	for i, gid := range own {
		groups[i] = uint32(gid) //nolint:gosec // gids are not negative
	}
	return setGroups(groups)
}

func setGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0]) //nolint:gosec // the kernel only reads it
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	return nil
}

// ReadFile reads a file with the rights of u.
func (u User) ReadFile(path string) (content []byte, err error) {
	err = u.Do(func() error {
		content, err = os.ReadFile(path)
		return err
	})
	return content, err
}
